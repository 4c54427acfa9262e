"""Executor over server processes."""

import asyncio
import concurrent.futures
import os
import signal
import subprocess
import threading
import time

import pytest

from greencoro import (
    Computation,
    Coro,
    Executor,
    Job,
    Location,
    NoMatchingServer,
    RemoteError,
    ServerDied,
    as_completed,
)
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


def test_calls_run_at_the_servers_of_the_scheduler_of_this_process(cluster):
    with Executor(cluster.scheduler) as executor:
        assert executor.submit(square, 7).result(20) == 49


def test_calls_run_in_server_processes_one_at_a_time_at_each(cluster):
    with Executor(cluster) as executor:
        executor.submit(process_id).result(20)
        cluster.wait_for_servers()
        pids = list(executor.map(compute, [0.02] * 10))
        assert len(set(pids)) == 2
        assert os.getpid() not in pids


def test_a_future_explains_where_its_job_is(cluster, tmp_path):
    with Executor(cluster) as executor:
        stuck = [executor.submit(wait_for, str(tmp_path / "go")) for _ in range(500)]
        first, last = stuck[0], stuck[-1]
        poll_until(first.running, 20)
        assert " wait_for: submitted " in first.explain()[0]
        assert "attempt 1 at 127.0.0.1:" in first.explain()[-1]
        assert last.explain()[-1].startswith("has been waiting for ")
        assert ": for a server, behind " in last.explain()[-1]
        assert last.cancel()
        assert last.explain()[-1].endswith(": before it was sent")
        (tmp_path / "go").touch()
        assert first.result(20) > 0
        assert first.explain()[-1].startswith("finished after ")
        failed = executor.submit(fail, "x")
        assert failed.exception(20)
        assert failed.explain()[-1].endswith(": KeyError")


def test_futures_come_in_the_order_in_which_they_are_over_and_the_way_is_shown(cluster, tmp_path, capsys):
    with Executor(cluster, progress=True) as executor:
        slow = executor.submit(wait_for, str(tmp_path / "go"))
        fast = [executor.submit(square, x) for x in range(20)]
        coming = as_completed([slow, *fast], timeout=30)
        assert {next(coming) for _ in fast} == set(fast)
        (tmp_path / "go").touch()
        assert list(coming) == [slow]
        assert executor.submit(fail, "x").exception(20)
    shown = capsys.readouterr().err
    assert "22 of 22" in shown
    assert "1 failed" in shown


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


def test_all_calls_that_wait_for_want_of_servers_are_counted(cluster):
    with (
        Computation(timeout=3, node_filters=[lambda facts: False]) as computation,
        Executor(computation) as executor,
    ):
        futures = [executor.submit(square, x) for x in range(5)]
        poll_until(lambda: computation._jobs.shortage()[0] == 5, 5)
        assert "5 waiting>" in repr(computation)
        executor.shutdown(wait=False, cancel_futures=True)
        assert all(future.cancelled() or future.exception(20) for future in futures)


def test_B1_a_loop_that_submits_without_end_takes_bounded_memory(programs):
    """Of 600 MB of arguments, whose futures are all kept."""
    program = programs.script(
        """
        import resource
        from greencoro import Executor, LocalCluster

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

        if __name__ == "__main__":
            with LocalCluster(servers=2) as cluster, Executor(cluster, max_waiting_bytes=16_000_000) as executor:
                assert executor.submit(len, bytes(2_000_000)).result() == 2_000_000
                before = peak()
                futures = [executor.submit(len, bytes(2_000_000)) for _ in range(300)]
                assert all(future.result() == 2_000_000 for future in futures)
                print(peak() - before)
        """
    )
    assert int(program.line(90)) < 150
    assert program.wait() == 0


def test_where_there_is_no_scheduler_futures_say_so(cluster):
    with Executor(Location("127.0.0.1", 1)) as executor, pytest.raises(concurrent.futures.BrokenExecutor):
        executor.submit(square, 1).result(30)


def test_a_program_ends_when_its_calls_are_over_and_leaves_nothing(programs):
    program = programs.script(
        """
        import os, time
        import psutil
        from greencoro import Executor

        def work(path):
            time.sleep(0.3)
            open(path, "w").close()

        if __name__ == "__main__":
            executor = Executor()  # a cluster of its own, never shut down
            print(psutil.Process().children()[0].pid)
            executor.submit(work, os.path.abspath("done"))
        """
    )
    pid = int(program.line())
    assert program.wait(60) == 0
    assert (programs.directory / "done").exists()
    poll_until(lambda: not os.path.exists(f"/proc/{pid}"), 10)


def test_coroutines_submit_calls_when_the_script_has_ended(programs):
    """From Python 3.12 on no thread can be started then."""
    program = programs.script(
        """
        import _thread, time
        from greencoro import Coro, Executor, sleep

        def late():
            deadline = time.monotonic() + 1
            while time.monotonic() < deadline:
                try:
                    _thread.start_new_thread(lambda: None, ())
                except RuntimeError:
                    break
                sleep(0.01)
            print(executor.submit(abs, -7).result(20), flush=True)

        if __name__ == "__main__":
            executor = Executor()
            Coro(late)
        """
    )
    assert program.wait(60) == 0
    assert program.rest().strip() == "7", program.errors()


def test_calls_that_are_sent_when_the_script_has_ended_are_run_all_the_same(programs):
    """From Python 3.12 on no thread can be started then."""
    program = programs.script(
        """
        import _thread, os, time
        from greencoro import Computation, Executor

        schedule = Computation.schedule

        def late(computation, location=None):
            deadline = time.monotonic() + 1
            while time.monotonic() < deadline:
                try:
                    _thread.start_new_thread(lambda: None, ())
                except RuntimeError:
                    break
                time.sleep(0.01)
            return schedule(computation, location)

        Computation.schedule = late

        if __name__ == "__main__":
            executor = Executor()
            executor.submit(print, "done", flush=True).add_done_callback(lambda future: print(future.exception()))
        """
    )
    assert program.wait(60) == 0
    assert "done" in program.rest() + program.errors()


@pytest.mark.parametrize("leaves", ["signal", "exit"])
def test_who_leaves_an_executor_by_ctrl_c_or_exit_does_not_wait_for_what_runs(programs, leaves):
    program = programs.script(
        f"""
        import sys, time
        from greencoro import Executor, LocalCluster

        def work(n):
            print("works", flush=True)
            time.sleep(600)

        with LocalCluster(servers=1) as cluster, Executor(cluster) as executor:
            futures = [executor.submit(work, n) for n in range(3)]
            while not futures[0].running():
                time.sleep(0.01)
            print("waits", flush=True)
            if {leaves == "exit"}:
                sys.stdin.readline()
                sys.exit(4)
            futures[0].result()
        """,
        stdin=subprocess.PIPE,
    )
    assert {program.line().split()[-1], program.line().split()[-1]} == {"works", "waits"}
    if leaves == "signal":
        os.kill(program.pid, signal.SIGINT)
    else:
        program.process.stdin.write(b"\n")
        program.process.stdin.flush()
    program.all_gone_within(15)
    assert program.wait() == (4 if leaves == "exit" else -signal.SIGINT)
