"""What RemoteCoroScheduler does where a job cannot be sent, and with places at servers."""

import itertools
import threading

import pytest

from greencoro import Computation, ComputationClosed, Coro, CoroTerminated, LocalCluster, RemoteCoroScheduler
from greencoro.errors import BusyResource
from tests.compute.inline_cluster import inline_cluster
from tests.support.polling import poll_until


@pytest.fixture
def computation(tmp_path):
    with inline_cluster(tmp_path), Computation() as computation:
        yield computation


def receive(coro=None):
    return coro.receive()


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


def test_people_are_shown_what_a_computation_is_at(computation):
    computation.wait_for_servers()
    server = str(computation.servers()[0])
    assert server in computation._repr_html_()
    scheduler = RemoteCoroScheduler(computation)
    running = [computation.run(receive), scheduler.schedule(receive)]
    assert repr(computation) == f"<Computation at {server}: 1 server, 2 jobs at servers, 0 waiting>"
    assert repr(scheduler) == "<RemoteCoroScheduler: 1 server, 1 job not over>"
    assert computation.cancel(running) == 2
    poll_until(lambda: repr(scheduler) == "<RemoteCoroScheduler: 1 server, 0 jobs not over>")
    computation.close()
    assert repr(computation) == "<Computation: closed>"
    assert repr(scheduler) == "<RemoteCoroScheduler of <Computation: closed>>"
    assert "closed" in computation._repr_html_()
    assert repr(Computation()) == "<Computation: not scheduled>"
    assert "not scheduled" in Computation()._repr_html_()


def test_cancel_ends_a_flow_that_has_more_elements_to_send(computation):
    scheduler = RemoteCoroScheduler(computation)
    flow = scheduler.imap(lambda x, coro=None: coro.receive(), itertools.count(), window=1)
    taking = Coro(next, flow)
    poll_until(lambda: scheduler._dispatcher.outstanding)
    assert scheduler.cancel() == 1
    with pytest.raises(CoroTerminated, match="cancelled"):
        taking.value(5)
    assert list(flow) == []


@pytest.mark.parametrize("jobs", [3, "job", [3]])
def test_what_is_no_job_is_refused_by_a_sentence(computation, jobs):
    for cancel in (RemoteCoroScheduler(computation).cancel, computation.cancel):
        with pytest.raises(TypeError, match=r"a job is cancelled by its reference, and .* is none"):
            cancel(jobs)


def test_what_is_no_computation_is_refused_by_a_sentence():
    with pytest.raises(TypeError, match="the jobs of a Computation, not None"):
        RemoteCoroScheduler(None)


def test_what_is_no_number_of_servers_is_refused_by_a_sentence(computation):
    with pytest.raises(TypeError, match="whole number of servers, not 'x'"):
        computation.wait_for_servers("x")
    with pytest.raises(TypeError, match="whole number of servers, not 'x'"):
        LocalCluster(servers="x")
