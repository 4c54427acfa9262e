"""What RemoteCoroScheduler does where a job cannot be sent, and with places at servers."""

import itertools
import threading

import pytest

from greencoro import Computation, ComputationClosed, Coro, CoroTerminated, RemoteCoroScheduler
from greencoro.errors import BusyResource
from tests.compute.inline_cluster import inline_cluster
from tests.support.polling import poll_until


@pytest.fixture
def computation(tmp_path):
    with inline_cluster(tmp_path), Computation() as computation:
        yield computation


def refuse(*args, **kwargs):
    raise BusyResource("no room")


@pytest.mark.parametrize("where", ["open", "queue"])
def test_job_that_cannot_be_sent_is_that_elements_outcome_and_takes_no_place(computation, monkeypatch, where):
    scheduler = RemoteCoroScheduler(computation)
    with monkeypatch.context() as patch:
        patch.setattr(computation._jobs.client.transport, where, refuse)
        results = scheduler.map_results(len, ["a", "b", "c"])
        # With a place that stays taken, the second would have waited for ever: depth is one before the first is over.
        assert [type(each) for each in results] == [BusyResource] * 3
    assert scheduler.map_results(len, ["a", "bc"]) == [1, 2]
    assert scheduler.execute(len, "abc") == 3


def test_a_schedule_that_cannot_be_sent_takes_no_place(computation, monkeypatch):
    scheduler = RemoteCoroScheduler(computation)
    with monkeypatch.context() as patch:
        patch.setattr(computation._jobs.client.transport, "open", refuse)
        for _ in range(3):
            with pytest.raises(BusyResource):
                scheduler.schedule(len, "a")
    assert scheduler.execute(len, "abc") == 3


def test_an_input_that_raises_ends_the_map_and_what_is_under_way(computation):
    def inputs():
        yield "a"
        raise KeyError("input")

    scheduler = RemoteCoroScheduler(computation)
    with pytest.raises(KeyError, match="input"):
        scheduler.map_results(len, inputs())
    scheduler.finish()
    assert scheduler.execute(len, "abc") == 3


def test_steps_before_the_close_run_while_jobs_can_be_run(computation):
    seen = []
    computation.before_close(lambda: seen.append(computation.run(len, "abc").value(5)))
    computation.close()
    computation.close()
    assert seen == [3]


def test_what_cannot_be_scheduled_any_more_says_so(computation):
    scheduler = RemoteCoroScheduler(computation)
    computation.close()
    for call in (scheduler.schedule, scheduler.execute, scheduler.submit):
        with pytest.raises(ComputationClosed):
            call(len, "a")
    with pytest.raises(ComputationClosed):
        scheduler.map_results(len, ["a"])
    scheduler.finish()


def test_threads_share_the_servers(computation):
    scheduler = RemoteCoroScheduler(computation)
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(scheduler.map_results(len, ["a"] * 50))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert results == [[1] * 50] * 4


def test_notebooks_are_shown_what_a_computation_is_at(computation):
    computation.wait_for_servers()
    assert str(computation.servers()[0]) in computation._repr_html_()
    computation.close()
    assert "over" in computation._repr_html_()
    assert "new" in Computation()._repr_html_()


def test_cancel_ends_a_flow_that_has_more_elements_to_send(computation):
    scheduler = RemoteCoroScheduler(computation)
    flow = scheduler.imap(lambda x, coro=None: coro.receive(), itertools.count(), window=1)
    taking = Coro(next, flow)
    poll_until(lambda: scheduler._dispatcher.outstanding)
    assert scheduler.cancel() == 1
    with pytest.raises(CoroTerminated, match="cancelled"):
        taking.value(5)
    assert list(flow) == []
