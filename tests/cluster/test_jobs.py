"""Jobs on a cluster: what comes back, and where they ran."""

import os
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from greencoro import (
    Computation,
    Coro,
    CoroTerminated,
    DeadlineExceeded,
    Location,
    NoMatchingServer,
    PackagingError,
    RemoteCoroScheduler,
    RemoteError,
    ServerDied,
)
from greencoro.compute import big_parts

pytestmark = pytest.mark.cluster

OFFSET = 1000


class Refused(Exception):
    pass


class Point:
    def __init__(self, x):
        self.x = x


def add_offset(x):
    return x + OFFSET


def process_id():
    return os.getpid()


def fail(reason):
    raise Refused(reason)


def exit_when_told(coro=None):
    coro.receive()
    os._exit(3)


def echo(coro=None):
    while True:
        sender, message = coro.receive()
        if message is None:
            return "bye"
        sender.send((coro.name, message * 2))


def test_job_returns_its_result(computation):
    assert computation.run(add_offset, 1).value(10) == 1001


def test_job_runs_in_another_process(computation):
    assert computation.run(process_id).value(10) != os.getpid()


def test_run_works_from_coroutines_and_threads(computation):
    results = []

    def work():
        results.append(computation.run(add_offset, 5).value(10))

    coro = Coro(work)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    coro.value(10)
    assert results == [1005, 1005]


def test_messages_flow_both_ways(computation):
    job = computation.run(echo)

    def client(coro=None):
        for n in range(3):
            job.send((coro, n))
        answers = [coro.receive(timeout=5) for _ in range(3)]
        job.send((None, None))
        return answers

    assert Coro(client).value(10) == [("echo", 0), ("echo", 2), ("echo", 4)]
    assert job.value(5) == "bye"


def test_instances_of_the_clients_classes_travel_both_ways(computation):
    moved = computation.run(lambda point: Point(point.x + 1), Point(4)).value(10)
    assert type(moved) is Point
    assert moved.x == 5


def test_exception_of_a_job_is_raised_with_the_remote_traceback(computation):
    with pytest.raises(Refused, match="too late") as caught:
        computation.run(fail, "too late").value(10)
    cause = caught.value.__cause__
    assert isinstance(cause, RemoteError)
    assert "raise Refused(reason)" in cause.traceback_text
    assert cause.location in computation.servers()


def test_failed_job_does_not_disturb_others(computation):
    waiting = computation.run(echo)
    with pytest.raises(Refused):
        computation.run(fail, "x").value(10)
    waiting.send((None, None))
    assert waiting.value(5) == "bye"


def test_function_that_cannot_be_shipped_is_refused_with_the_path(computation):
    lock = threading.RLock()

    def locked():
        with lock:
            return 1

    with pytest.raises(PackagingError, match=r"lock.*RLock"):
        computation.run(locked)


def test_argument_that_cannot_be_shipped_is_refused_with_the_path(computation):
    with pytest.raises(PackagingError, match=r"job\.args\[0\]\.x.*RLock"):
        computation.run(add_offset, Point(threading.RLock()))


def test_wrong_arguments_are_refused_before_anything_is_sent(computation):
    with pytest.raises(TypeError, match="add_offset"):
        computation.run(add_offset, 1, 2)


def test_generator_function_is_refused_with_a_hint(computation):
    def old_style():
        yield 1

    with pytest.raises(TypeError, match="generator function"):
        computation.run(old_style)


def test_run_at_a_location_runs_there(computation):
    for location in computation.servers():
        assert computation.run_at(location, process_id).location == location


def test_run_at_an_address_runs_on_that_node(computation):
    job = computation.run_at("127.0.0.1", process_id)
    assert job.location in computation.servers()


def test_run_at_an_unknown_place_says_what_there_is(cluster):
    with Computation(timeout=0.5) as computation:
        cluster.wait_for_servers()
        with pytest.raises(NoMatchingServer, match=r"at 127\.0\.0\.1:1 within 0\.5 s: there are 127\.0\.0\.1:"):
            computation.run_at(Location("127.0.0.1", 1), process_id)


def test_jobs_are_spread_over_the_servers(computation):
    jobs = [computation.run(echo) for _ in range(6)]
    places = [job.location for job in jobs]
    assert {places.count(location) for location in computation.servers()} == {3}
    for job in jobs:
        job.terminate()
    for job in jobs:
        with pytest.raises(CoroTerminated):
            job.value(5)


def test_run_returns_while_the_server_computes(computation, tmp_path):
    def compute_until_there_is(path):
        while not os.path.exists(path):
            pass
        return os.getpid()

    location = computation.servers()[0]
    busy = computation.run_at(location, compute_until_there_is, str(tmp_path / "over"))
    second = computation.run_at(location, process_id)
    (tmp_path / "over").touch()
    assert second.value(10) == busy.value(10)


def test_value_with_a_deadline_leaves_the_job_running(computation):
    job = computation.run(echo)
    with pytest.raises(DeadlineExceeded):
        job.value(0.05)
    job.send((None, None))
    assert job.value(5) == "bye"


def test_nodes_and_servers_are_listed(computation):
    assert computation.nodes() == ["127.0.0.1"]
    assert len(set(computation.servers())) == 2


def test_partials_and_methods_are_jobs_too(computation):
    assert computation.run(partial(add_offset, 1)).value(10) == 1001
    assert computation.run([1, 2].index, 2).value(10) == 1


def test_jobs_at_one_server_share_its_globals_and_the_next_computation_sees_none(cluster, programs):
    program = programs.script(
        """
        import os
        from greencoro import Computation, LocalCluster

        def remember(value):
            global kept
            kept = value
            os.environ["LEFT"] = "behind"
            open("left.txt", "w").close()
            return os.getpid()

        def recall():
            return globals().get("kept"), os.environ.get("LEFT"), sorted(os.listdir(".")), os.getpid()

        with LocalCluster(servers=1) as cluster:
            with Computation([]) as first:
                pid = first.run(remember, 5).value(10)
                print(first.run(recall).value(10) == (5, "behind", ["left.txt"], pid))
            with Computation([]) as second:
                kept, left, files, other = second.run(recall).value(10)
                print(kept, left, files, other != pid)
        """
    )
    assert program.line() == "True"
    assert program.line() == "None None [] True"
    assert program.wait() == 0


def test_components_are_there_before_jobs_run(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "table.txt").write_text("42")
    with Computation(["data/table.txt", Point]) as computation:
        assert computation.run(Path("data/table.txt").read_text).value(10) == "42"


def test_component_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(PackagingError, match=r"components\[0\]"):
        Computation([str(tmp_path / "absent")])


def test_arguments_larger_than_a_server_takes_are_refused_and_the_others_are_not(computation, monkeypatch):
    monkeypatch.setattr(big_parts, "MAX_CONTENT_BYTES", 1000)
    with pytest.raises(PackagingError, match="1000 may be sent to a server"):
        computation.run(len, bytes(2000))
    results = RemoteCoroScheduler(computation).map_results(len, [bytes(10), bytes(2000), bytes(20)])
    assert results[0::2] == [10, 20]
    assert isinstance(results[1], PackagingError)


def test_big_arguments_and_results_arrive_whole(computation):
    data = os.urandom(3_000_000)
    assert computation.run(lambda data: data[::-1], data).value(20) == data[::-1]


def test_coroutines_started_by_a_job_are_ended_with_the_computation(cluster):
    def start():
        return Coro(echo)

    with Computation() as computation:
        child = computation.run(start).value(10)
    assert child.deliver("anybody there?", timeout=2) == 0


def test_server_that_a_job_ends_is_explained_and_replaced(computation):
    def crash():
        import sys

        print("the reactor core is melting", file=sys.stderr, flush=True)
        os._exit(3)

    bystander = computation.run(echo)
    jobs = [computation.run_at(bystander.location, crash), bystander]
    with pytest.raises(ServerDied, match=r"ran crash .* ended with exit code 3(.|\n)*core is melting"):
        jobs[0].value(10)
    with pytest.raises(ServerDied, match=r"ran echo .* exit code 3"):
        jobs[1].value(10)
    assert RemoteCoroScheduler(computation).map_results(add_offset, range(10)) == list(range(1000, 1010))


def test_a_job_waits_for_a_large_package_that_was_sent_before_it(computation):
    table = bytes(range(256)) * 8000  # more than a record: it travels in chunks, and the request that needs it does not

    def total():
        return sum(table)

    assert computation.run(total).value(20) == sum(table)


def test_whoever_monitors_short_jobs_hears_of_each_once_though_they_are_over(computation):
    def follow(coro=None):
        jobs = [computation.run(add_offset, n) for n in range(20)]
        for job in jobs:
            job.value(20)
        failed = computation.run(fail, "no")
        with pytest.raises(Refused):
            failed.value(20)
        jobs += [failed, computation.run(exit_when_told)]
        jobs[-1].send("exit")
        assert [coro.monitor(job) for job in jobs] == [0] * len(jobs)
        return jobs, [coro.receive(20) for _ in jobs], coro.receive(0, "no more")

    jobs, notices, more = Coro(follow).value(60)
    assert more == "no more"
    told = {notice.coro: notice for notice in notices}
    assert set(told) == set(jobs)
    assert [told[job].value for job in jobs[:20]] == [1000 + n for n in range(20)]
    assert isinstance(told[jobs[20]].error, Refused)
    assert (told[jobs[21]].kind, type(told[jobs[21]].error)) == ("lost", ServerDied)


def test_a_job_for_the_place_of_a_dead_server_is_refused_at_once(computation):
    place = computation.servers()[0]
    with pytest.raises(ServerDied):
        computation.run_at(place, os._exit, 3).value(20)
    began = time.monotonic()
    with pytest.raises(NoMatchingServer, match=f"no server at {place} any more: it ended with exit code 3"):
        computation.run_at(place, add_offset, 1)
    assert time.monotonic() - began < 5
