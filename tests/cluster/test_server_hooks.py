"""The functions that a RemoteCoroScheduler calls for its servers."""

from __future__ import annotations

import contextlib
import os
import time

import pytest

from greencoro import (
    Computation,
    Coro,
    LocalCluster,
    NoMatchingServer,
    RemoteCoroScheduler,
    ServerDied,
    Status,
    Terminated,
    sleep,
)
from greencoro.hub.completion import Completion
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster

OFFSET = 1000


def add_offset(x):
    return x + OFFSET


def process_id():
    return os.getpid()


def note(x):
    globals().setdefault("notes", []).append(x)
    return x


def noted():
    return globals().get("notes", [])


def lanes_of(scheduler):
    with scheduler._dispatcher._lock:
        return list(scheduler._dispatcher._lanes._lanes.values())


def test_a_set_up_that_is_at_work_when_the_computation_is_closed_is_ended_without_a_word(
    cluster: LocalCluster, caplog: pytest.LogCaptureFixture
) -> None:
    begun, ended, closed = [], [], []

    def set_up(location):
        begun.append(location)
        if len(begun) == 2:
            try:
                scheduler.execute_at(location, time.sleep, 600)
            finally:
                ended.append(location)

    computation = Computation()
    scheduler = RemoteCoroScheduler(computation, proc_available=set_up, proc_close=lambda *about: closed.append(about))
    with computation:
        poll_until(lambda: len(begun) == 2, 30)
        assert scheduler.execute(os.getpid) > 0
    assert ended == begun[1:]
    # Of that one there was nothing to be cleaned up.
    assert closed == [(Status.ServerInitialized, begun[0])]
    assert caplog.text == ""


def test_a_set_up_that_will_not_end_does_not_keep_the_computation_open(
    cluster: LocalCluster, caplog: pytest.LogCaptureFixture
) -> None:
    begun, gate = [], []

    def set_up(location):
        begun.append(location)
        while not gate:
            with contextlib.suppress(Terminated):
                sleep(0.01)

    computation = Computation()
    RemoteCoroScheduler(computation, proc_available=set_up)
    with computation:
        poll_until(lambda: len(begun) == 2, 30)
    gate.append("open")
    assert "is not used" not in caplog.text


def test_a_set_up_may_close_the_computation(cluster: LocalCluster) -> None:
    ended = []

    def set_up(location):
        computation.close()
        ended.append(location)

    computation = Computation()
    RemoteCoroScheduler(computation, proc_available=set_up)
    computation.schedule()
    poll_until(lambda: ended, 30)
    computation.close()


def test_hooks_hear_of_servers_and_prepare_them_before_jobs_run_there(cluster):
    calls, prepared = [], {}

    def status(code, info):
        calls.append((Status(code, info).name, info))

    def available(location):
        prepared[location] = computation.run_at(location, note, "prepared").value(10)

    def close(code, location):
        calls.append(("close", code, computation.run_at(location, noted).value(10)))

    computation = Computation()
    scheduler = RemoteCoroScheduler(computation, status, available, close)
    assert computation.status_coro is scheduler.status_coro
    with computation:
        cluster.wait_for_servers()
        poll_until(lambda: len(prepared) == len(lanes_of(scheduler)) == 2)
        found = scheduler.map_results(lambda x: (globals().get("notes", []), sleep(0.001)), range(10))
        assert {tuple(notes) for notes, _ in found} == {("prepared",)}
        servers = set(computation.servers())
        assert set(prepared) == servers
        scheduler.finish(close=True)
    names = [call[0] for call in calls]
    assert names.count("ServerInitialized") == 2
    assert names.index("ServerDiscovered") < names.index("ServerInitialized")
    assert [call[1:] for call in calls if call[0] == "close"] == [(Status.ServerInitialized, ["prepared"])] * 2


@pytest.mark.parametrize("hook", ["proc_status", "proc_available"])
def test_a_server_that_a_hook_refuses_gets_no_jobs_of_the_scheduler(cluster, hook):
    refused = []

    def refuse(*about):
        if hook == "proc_status" and about[0] != Status.ServerInitialized:
            return None
        if not refused:
            refused.append(about[-1])
            return 1
        return 0

    computation = Computation()
    scheduler = RemoteCoroScheduler(computation, **{hook: refuse})
    with computation:
        cluster.wait_for_servers()
        locations = {scheduler.schedule(process_id).location for _ in range(6)}
        assert locations == set(computation.servers()) - set(refused)
        assert computation.run_at(refused[0], process_id).value(10) > 0


def test_where_all_servers_are_refused_that_is_said(cluster):
    def refuse(location):
        raise RuntimeError("not this one")

    computation = Computation(timeout=0.5)
    scheduler = RemoteCoroScheduler(computation, proc_available=refuse)
    with computation:
        cluster.wait_for_servers()
        with pytest.raises(NoMatchingServer, match="refused by proc_available"):
            scheduler.execute(process_id)


def test_a_slow_hook_holds_up_no_other_server(cluster):
    first = []
    gate = Completion()

    def slow_first(location):
        if not first:
            first.append(location)
            gate.wait()

    computation = Computation()
    scheduler = RemoteCoroScheduler(computation, proc_available=slow_first)
    with computation:
        cluster.wait_for_servers()
        assert {scheduler.schedule(process_id).location for _ in range(3)} == set(computation.servers()) - set(first)
        gate.set()
        poll_until(lambda: len(lanes_of(scheduler)) == 2)


def test_a_server_that_dies_is_told_to_proc_close_and_its_successor_is_prepared(cluster):
    closed, available = [], []
    computation = Computation()
    scheduler = RemoteCoroScheduler(
        computation, proc_available=available.append, proc_close=lambda *about: closed.append(about)
    )
    with computation:
        cluster.wait_for_servers()
        location = computation.servers()[0]
        with pytest.raises(ServerDied):
            scheduler.execute_at(location, os._exit, 3)
        poll_until(lambda: closed == [(Status.ServerClosed, location)])
        poll_until(lambda: len(available) == 3)
        assert scheduler.execute(add_offset, 1) == 1001
    assert [code for code, _ in closed[1:]] == [Status.ServerInitialized] * 2


def test_status_messages_that_are_passed_on_reach_proc_status(cluster):
    names = []

    def pass_on(coro=None):
        while True:
            message = coro.receive()
            scheduler.status_coro.send(message)
            if isinstance(message, Status) and message.status == Status.ComputationClosed:
                return

    passing = Coro(pass_on)
    computation = Computation(status_coro=passing)
    scheduler = RemoteCoroScheduler(computation, lambda code, info: names.append(Status(code, info).name))
    with computation:
        assert scheduler.execute(add_offset, 1) == 1001
    passing.value(10)
    poll_until(lambda: "ComputationClosed" in names)
    assert names.count("ServerInitialized") == names.count("ServerDiscovered")


@pytest.mark.parametrize("hook", ["proc_status", "proc_available", "proc_close"])
def test_hooks_that_do_not_take_their_arguments_are_refused_at_once(hook):
    with pytest.raises(TypeError):
        RemoteCoroScheduler(Computation(), **{hook: lambda: None})
