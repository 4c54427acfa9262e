"""Jobs in the process of their client."""

import functools
import os
import sys
import threading
from types import SimpleNamespace

import pytest

from greencoro import (
    Computation,
    ComputationClosed,
    ComputeError,
    Coro,
    CoroTerminated,
    DeadlineExceeded,
    Job,
    JobTimeLimit,
    LocalCluster,
    NoMatchingServer,
    PackagingError,
    RemoteCoroScheduler,
    RemoteError,
    Status,
    sleep,
)
from greencoro.compute.client_phase import Phase
from greencoro.compute.parts import Entry
from greencoro.compute.source_packaging import SourcePackager
from greencoro.hub.completion import Completion
from tests.compute.inline_cluster import inline_cluster
from tests.support.polling import poll_until

begun = Completion()


class Thing:
    def __init__(self):
        self.lock = None


@pytest.fixture
def cluster(tmp_path):
    with inline_cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def computation(cluster):
    with Computation() as computation:
        cluster.wait_for_servers()
        yield computation


def fail(reason):
    raise KeyError(reason)


def receive(coro=None):
    return coro.receive()


def change(things):
    things.append("changed")
    return things


def test_job_runs_in_this_process_at_its_one_server(cluster, computation):
    assert computation.run(os.getpid).value(5) == os.getpid() == cluster.pid
    assert computation.servers() == [cluster.location]


def test_jobs_are_functions_of_this_process_so_that_debuggers_and_coverage_see_their_lines(computation):
    seen = []

    def trace(frame, event, argument):
        if frame.f_code is change.__code__:
            seen.append((event, frame.f_lineno - change.__code__.co_firstlineno))
            return trace
        return None

    threading.settrace(trace)
    try:
        job = computation.run(change, [])
        job.value(5)
    finally:
        threading.settrace(None)
        Coro(sys.settrace, None).value(5)
    assert ("line", 1) in seen
    assert ("line", 2) in seen


def test_arguments_and_results_are_copies_as_elsewhere(computation):
    things = ["mine"]
    assert computation.run(change, things).value(5) == ["mine", "changed"]
    assert things == ["mine"]
    kept = []

    def keep():
        kept.append(["result"])
        return kept[0]

    assert computation.run(keep).value(5) is not kept[0]


def test_functions_and_classes_are_not_copied(computation):
    assert computation.run(lambda what: what is Thing, Thing).value(5)
    assert computation.run(lambda: fail).value(5) is fail


def test_what_cannot_travel_is_found(computation):
    thing = Thing()
    thing.lock = threading.RLock()
    with pytest.raises(PackagingError, match=r"job\.args\[0\]\.lock"):
        computation.run(len, thing)
    with pytest.raises(RemoteError, match="result of <lambda> could not be transferred"):
        computation.run(lambda: threading.RLock()).value(5)


def test_what_a_job_raises_is_raised_and_not_logged_as_nobodys(computation, caplog):
    job = computation.run(fail, "x")
    with pytest.raises(KeyError, match="x"):
        job.value(5)
    assert not [record for record in caplog.records if "fail" in record.getMessage()]


def test_a_job_that_fails_before_who_starts_it_goes_on_is_not_logged_either(computation, caplog, monkeypatch):
    begin = Coro.at_home

    def begin_and_wait(*args):
        coro = begin(*args)
        poll_until(lambda: not coro.is_alive(), 10)
        return coro

    monkeypatch.setattr(Coro, "at_home", begin_and_wait)
    job = computation.run(fail, "x")
    with pytest.raises(KeyError, match="x"):
        job.value(5)
    assert not [record for record in caplog.records if "fail" in record.getMessage()]


def test_jobs_get_messages_and_can_be_terminated(computation):
    job = computation.run(receive)
    job.send("hello")
    assert job.value(5) == "hello"
    job = computation.run(receive)
    job.terminate()
    with pytest.raises(CoroTerminated):
        job.value(5)


def test_a_job_has_its_time_limit(computation):
    job = computation.run(Job(receive, time_limit=0.05))
    with pytest.raises(JobTimeLimit):
        job.value(5)


def test_jobs_of_a_scheduler_run_one_at_a_time(computation):
    state = SimpleNamespace(running=0, most=0)

    def overlap():
        state.running += 1
        state.most = max(state.most, state.running)
        sleep(0.001)
        state.running -= 1

    RemoteCoroScheduler(computation).map_results(overlap, [()] * 30)
    assert state.most == 1


def test_jobs_are_ended_with_their_computation_and_the_next_one_has_its_turn(cluster):
    with Computation() as computation:
        job = computation.run(receive)
        second = Computation()
        waiting = Coro(second.schedule)
        poll_until(lambda: second._jobs.client.phase is Phase.QUEUED)
    with pytest.raises((ComputationClosed, CoroTerminated)):
        job.value(5)
    assert waiting.value(5) == 0
    assert second.run(len, "abc").value(5) == 3
    second.close()


def test_J1_who_waits_for_a_place_hears_that_the_computation_was_closed(cluster, capfd):
    with Computation() as computation:
        scheduler = RemoteCoroScheduler(computation)
        running = scheduler.schedule(receive)
        waiting = Coro(scheduler.schedule, receive)
        poll_until(scheduler._dispatcher._waiting)
        assert running.is_alive()
    with pytest.raises(ComputationClosed):
        waiting.value(5)
    poll_until(lambda: computation._jobs.counts == (0, 0))
    assert capfd.readouterr().err == ""


def test_the_status_coroutine_hears_what_it_hears_elsewhere(cluster):
    names = []

    def listen(coro=None):
        while not names or names[-1] != "ComputationClosed":
            message = coro.receive()
            if isinstance(message, Status):
                names.append(message.name)

    listener = Coro(listen)
    with Computation(status_coro=listener) as computation:
        computation.run(len, "abc").value(5)
    listener.value(5)
    assert names == [
        "ComputationScheduled",
        "NodeDiscovered",
        "ServerDiscovered",
        "NodeInitialized",
        "ServerInitialized",
        "CoroCreated",
        "ServerClosed",
        "NodeClosed",
        "ComputationClosed",
    ]


def test_a_cluster_that_is_closed_ends_its_computation(tmp_path):
    with inline_cluster(tmp_path):
        computation = Computation()
        computation.schedule()
        job = computation.run(receive)
    with pytest.raises((ComputationClosed, CoroTerminated)):
        job.value(5)
    poll_until(lambda: computation._jobs.client.over.done)


def test_there_is_one_inline_cluster_with_one_server(cluster):
    with pytest.raises(ComputeError, match="already"):
        LocalCluster(inline=True)
    with pytest.raises(ValueError, match="one server"):
        LocalCluster(2, inline=True)
    with pytest.raises(DeadlineExceeded):
        cluster.wait_for_servers(2, timeout=0.05)


def test_notebooks_are_shown_what_there_is(cluster):
    assert "jobs run in this process" in cluster._repr_html_()
    assert str(cluster.location) in cluster._repr_html_()
    cluster.close()
    assert "closed" in cluster._repr_html_()


def test_hooks_run_around_the_jobs_in_their_order(cluster):
    order = []

    def noting(name):
        return lambda: order.append(name)

    names = ("node_setup", "server_setup", "server_cleanup", "node_cleanup")
    with Computation(**{name: noting(name) for name in names}) as computation:
        computation.run(noting("job")).value(5)
    assert order == ["node_setup", "server_setup", "job", "server_cleanup", "node_cleanup"]


def test_a_server_that_a_hook_cannot_set_up_is_not_used_and_it_is_said_why(cluster, caplog):
    hook = functools.partial(fail, "no licence")
    with Computation(timeout=0.2, server_setup=hook) as computation, pytest.raises(NoMatchingServer):
        computation.run(os.getpid)
    assert "could not be set up: server_setup fail raised KeyError: 'no licence'" in caplog.text


def test_a_clean_up_that_does_not_end_is_terminated(cluster):
    ended = []

    def hang(coro=None):
        try:
            coro.receive()
        finally:
            ended.append(True)

    with Computation(timeout=0.1, server_cleanup=hang):
        cluster.wait_for_servers()
    assert ended == [True]


def test_jobs_have_one_object_that_was_scattered(cluster):
    with Computation() as computation:
        thing = Thing()
        things = [thing]
        scattered = computation.scatter(things)
        assert computation.run(change, scattered).value(5)[1:] == ["changed"]
        jobs = RemoteCoroScheduler(computation)
        deep = jobs.map_results(
            lambda whole, n: (id(whole["deep"][0]), len(whole["deep"][0])), [({"deep": [scattered]}, 1)] * 3
        )
        assert len(set(deep)) == 1
        assert deep[0][1] == 2
        assert things == [thing]
        scattered.free()
        with pytest.raises(PackagingError, match="was freed"):
            computation.run(change, scattered)
    with Computation() as other, pytest.raises(PackagingError, match="another computation"):
        other.run(change, scattered)


def test_a_job_that_exits_is_nobodys_exit(computation):
    job = computation.run(sys.exit, 3)
    for result in (job.value, lambda: RemoteCoroScheduler(computation).execute(sys.exit, 3)):
        with pytest.raises(RemoteError, match="SystemExit: 3"):
            result()


class FromSource(Computation):
    _new_packager = staticmethod(lambda: SourcePackager(Entry("none", "none")))


def doubles(n, coro=None):
    received = yield coro.receive()
    yield halves_of(received)
    raise StopIteration([n * 2, received])


def halves_of(n):
    yield n / 2


def test_a_generator_job_runs_as_one(cluster):
    with FromSource() as computation:
        job = computation.run(doubles, 4)
        job.send("message")
        # The message is no number.
        with pytest.raises(TypeError, match="unsupported operand"):
            job.value(5)
        job = computation.run(doubles, 4)
        job.send(3)
        assert job.value(5) == [8, 3]
