"""What becomes of the jobs of a server process that drains, or ends."""

import pytest

from greencoro.compute.job import HandedBack
from greencoro.errors import ComputationClosed, CoroTerminated
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import sleep
from tests.compute.job_hosts import job, job_host, queue, run
from tests.support.polling import poll_until


@pytest.fixture
def host():
    with job_host() as host:
        yield host


def test_queued_jobs_that_come_while_the_server_drains_fail_and_it_is_drained_after_those_before(host):
    host.host.assign("right")
    go_on = Completion()
    host.loader.functions = {"last": lambda: go_on.wait() and "done"}
    last = queue(host, 1, "last")
    poll_until(lambda: ("began", 1, "last") in host.heard, 5)
    host.host.drain()
    late = queue(host, 2, "last")
    with pytest.raises(ComputationClosed, match="takes no more jobs"):
        late.value(5)
    assert "drained" not in host.heard
    go_on.set()
    assert last.value(5) == "done"
    poll_until(lambda: host.heard[-1] == "drained", 5)
    assert host.host.job_count == 0


def test_server_without_jobs_is_drained_at_once(host):
    host.host.assign("right")
    host.host.drain()
    poll_until(lambda: host.heard == ["drained"], 5)


def test_job_that_waits_for_its_turn_keeps_a_server_from_being_drained(host):
    host.host.assign("right")
    go_on = Completion()
    host.loader.functions = {"wait": go_on.wait, "next": lambda: None}
    queue(host, 1, "wait", lane="a")
    after = run(host, 2, "next", lane="a")
    poll_until(lambda: ("began", 1, "wait") in host.heard, 5)
    host.host.drain()
    go_on.set()
    after.value(5)
    poll_until(lambda: host.heard[-1] == "drained", 5)
    assert host.heard.index("drained") > host.heard.index(("over", 2, "next"))


def test_queued_jobs_that_have_not_begun_are_handed_back_when_the_server_drains(host):
    host.host.assign("right")
    go_on, order = Completion(), []
    host.loader.functions = {
        "wait": lambda: go_on.wait() and order.append("wait"),
        "next": lambda: order.append("next"),
    }
    running = queue(host, 1, "wait", lane="a")
    queued = [queue(host, watch, "next", lane="a") for watch in (2, 3)]
    referred_to = run(host, 4, "next", lane="a")
    poll_until(lambda: len(host.host._in_line) == 2, 5)
    host.host.drain()
    for coro in queued:
        with pytest.raises(HandedBack, match="its node is ending"):
            coro.value(5)
    # One at a time, as before: those that went did not let the one behind them begin.
    assert running.is_alive() and referred_to.is_alive()
    assert order == []
    go_on.set()
    referred_to.value(5)
    assert order == ["wait", "next"]
    poll_until(lambda: host.heard[-1] == "drained", 5)
    assert not {("began", 2, "next"), ("began", 3, "next")} & set(host.heard)


def test_J2_a_job_whose_turn_has_come_is_not_handed_back(host):
    host.host.assign("right")
    go_on = Completion()
    host.loader.functions = {"wait": go_on.wait, "next": lambda: sleep(0.01) or "ran"}
    queue(host, 1, "wait", lane="a")
    after = queue(host, 2, "next", lane="a")
    poll_until(lambda: host.host._in_line, 5)

    def begin_and_drain():
        # Its turn has come, and it has not been woken yet.
        next(iter(host.host._in_line.values())).set()
        host.host._hand_back()

    Coro(begin_and_drain).value(5)
    assert after.value(5) == "ran"
    go_on.set()


def test_queued_job_that_the_hub_has_not_come_to_is_handed_back(host):
    host.host.assign("right")
    host.loader.functions = {"next": lambda: "ran"}

    def queue_and_drain():
        coro = queue(host, 1, "next")
        host.host._hand_back()
        return coro

    with pytest.raises(HandedBack):
        Coro(queue_and_drain).value(5).value(5)


def test_J1_jobs_that_the_end_of_the_process_ends_are_told_nothing_of(host):
    """Their client hears that the server is gone, and may run them again: nobody wanted them terminated."""
    host.host.assign("right")
    go_on, cleaned_up = Completion(), Completion()

    def translate():
        try:
            go_on.wait()
        except BaseException as error:
            raise ValueError("the job failed") from error

    def return_all_the_same():
        try:
            go_on.wait()
        except BaseException:
            cleaned_up.wait()
            return "in time"

    host.loader.functions = {"wait": go_on.wait, "translate": translate, "return": return_all_the_same}
    queue(host, 1, "wait", lane="a")
    queue(host, 2, "wait", lane="a")
    queue(host, 3, "translate")
    queue(host, 4, "return")
    poll_until(
        lambda: (
            {("began", watch, name) for watch, name in [(1, "wait"), (3, "translate"), (4, "return")]}
            <= {each for each in host.heard if isinstance(each, tuple)}
        ),
        5,
    )
    jobs = list(host.host._jobs.values())
    host.host.end(lambda: [coro.terminate() for coro in jobs])
    poll_until(lambda: host.host.job_count == 1, 5)
    cleaned_up.set()
    poll_until(lambda: host.host.job_count == 0, 5)
    assert {watch: coro.value(5) for watch, coro in host.runtime.watches.items()} == {4: "in time"}


def test_job_that_was_terminated_before_the_process_began_to_end_is_told_of(host):
    host.host.assign("right")
    host.loader.functions = {"wait": Completion().wait}
    coro = queue(host, 1, "wait")
    coro.terminate()
    poll_until(lambda: host.host.job_count == 0, 5)
    host.host.end(lambda: None)
    with pytest.raises(CoroTerminated):
        host.runtime.watches[1].value(5)


def test_jobs_that_were_to_be_handed_back_before_the_process_ends_are(host):
    host.host.assign("right")
    host.loader.functions = {"wait": Completion().wait}
    running = queue(host, 1, "wait", lane="a")
    after = queue(host, 2, "wait", lane="a")
    poll_until(lambda: host.host._in_line, 5)
    host.host.drain()
    host.host.end(lambda: Coro(lambda: [coro.terminate() for coro in (running, after)]))
    with pytest.raises(HandedBack):
        after.value(5)
    poll_until(lambda: host.runtime.watches == {2: after}, 5)


def test_process_that_ends_takes_no_more_jobs(host):
    host.host.assign("right")
    ended = Completion()
    host.host.end(ended.set)
    assert ended.wait(5)
    with pytest.raises(HandedBack):
        queue(host, 1, "any").value(5)
    failures = []
    request = job(2, "any")
    request.fail = failures.append
    host.runtime.handlers["server.run"](request)
    assert [type(error) for error in failures] == [ComputationClosed]
