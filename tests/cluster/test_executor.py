"""Executor over server processes."""

import asyncio
import concurrent.futures
import os
import signal
import threading
import time

import pytest

from greencoro import Computation, Coro, Executor, Job, Location, NoMatchingServer, RemoteError, ServerDied
from greencoro.hub.completion import Completion
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster


def square(x):
    return x * x


def fail(x):
    raise KeyError(x)


def process_id():
    return os.getpid()


def compute(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return os.getpid()


def receive(coro=None):
    return coro.receive()


def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.001)
    return os.getpid()


def test_calls_run_in_server_processes_one_at_a_time_at_each(cluster):
    with Executor(cluster) as executor:
        executor.submit(process_id).result(20)
        cluster.wait_for_servers()
        pids = list(executor.map(compute, [0.02] * 10))
        assert len(set(pids)) == 2
        assert os.getpid() not in pids


def test_exceptions_come_with_their_remote_traceback(cluster):
    with Executor(cluster) as executor:
        error = executor.submit(fail, "x").exception(20)
    assert isinstance(error, KeyError)
    assert isinstance(error.__cause__, RemoteError)
    assert "raise KeyError(x)" in error.__cause__.traceback_text


def test_map_of_thousands_keeps_its_order(cluster):
    with Executor(cluster) as executor:
        assert list(executor.map(square, range(3000))) == [x * x for x in range(3000)]
        assert list(executor.map(square, range(3000), chunksize=100)) == [x * x for x in range(3000)]


def test_a_server_that_dies_fails_its_calls_unless_they_may_run_again(cluster, tmp_path):
    with Executor(cluster) as executor:
        with pytest.raises(ServerDied, match="exit code 3"):
            executor.submit(os._exit, 3).result(20)
        assert executor.submit(square, 3).result(20) == 9

    def die_once(path):
        if not os.path.exists(path):
            open(path, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return "alive"

    with Executor(cluster, retries=2) as executor:
        assert executor.submit(die_once, str(tmp_path / "died")).result(30) == "alive"


def test_arguments_are_those_of_the_call(cluster, tmp_path):
    with Executor(cluster) as executor:
        blocking = [executor.submit(wait_for, str(tmp_path / "go")) for _ in range(2)]
        things = ["at the call"]
        future = executor.submit(list, things)
        things.append("later")
        (tmp_path / "go").touch()
        assert future.result(20) == ["at the call"]
        assert all(each.result(20) for each in blocking)


def test_a_loop_goes_on_while_futures_are_awaited(cluster):
    async def main():
        loop = asyncio.get_running_loop()
        turns = 0
        with Executor(cluster) as executor:
            waiting = asyncio.gather(*(loop.run_in_executor(executor, compute, 0.05) for _ in range(4)))
            while not waiting.done():
                turns += 1
                await asyncio.sleep(0.001)
            return turns, await waiting

    turns, pids = asyncio.run(main())
    assert turns > 5
    assert len(pids) == 4


def test_cells_of_a_notebook_use_it_in_a_thread_with_a_loop(cluster):
    # A kernel runs cells as code of a coroutine of its loop: what waits there stops the loop, and nothing else.
    found = Completion()

    async def cell():
        with Executor(cluster) as executor:
            futures = [executor.submit(square, x) for x in range(5)]
            found.set([future.result(20) for future in futures])

    thread = threading.Thread(target=lambda: asyncio.run(cell()))
    thread.start()
    assert found.result(30) == [0, 1, 4, 9, 16]
    thread.join(20)


def test_coroutines_wait_for_results(cluster):
    with Executor(cluster) as executor:
        coros = [Coro(lambda x: executor.submit(square, x).result(20), x) for x in range(20)]
        assert [coro.value(30) for coro in coros] == [x * x for x in range(20)]


def test_computing_calls_have_a_time_limit(cluster):
    with Executor(cluster) as executor:
        future = executor.submit(Job(receive, time_limit=0.1))
        with pytest.raises(concurrent.futures.TimeoutError):
            future.result(20)


def test_J1_without_a_server_futures_fail_in_time(cluster):
    with Computation(timeout=0.3, node_filters=[lambda facts: False]) as computation, Executor(computation) as executor:
        futures = [executor.submit(square, x) for x in range(5)]
        for future in futures:
            assert isinstance(future.exception(10), NoMatchingServer)


def test_where_there_is_no_scheduler_futures_say_so(cluster):
    with Executor(Location("127.0.0.1", 1)) as executor, pytest.raises(concurrent.futures.BrokenExecutor):
        executor.submit(square, 1).result(30)


def test_a_program_ends_when_its_calls_are_over_and_leaves_nothing(programs):
    program = programs.script(
        """
        import os, time
        from greencoro import Executor

        def work(path):
            time.sleep(0.3)
            open(path, "w").close()

        if __name__ == "__main__":
            executor = Executor()  # a cluster of its own, never shut down
            print(executor._cluster.pid)
            executor.submit(work, os.path.abspath("done"))
        """
    )
    pid = int(program.line())
    assert program.wait(60) == 0
    assert (programs.directory / "done").exists()
    poll_until(lambda: not os.path.exists(f"/proc/{pid}"), 10)
