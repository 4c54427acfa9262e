"""What waits in an executor, how much of it may, and what becomes of it."""

import asyncio
import concurrent.futures
import gc
import sys
import threading
import time
import weakref

import pytest

from greencoro import (
    Computation,
    ComputationClosed,
    Coro,
    CoroTerminated,
    Executor,
    LocalCluster,
    WouldBlock,
)
from greencoro.compute import feeder, future_teller, workplace
from greencoro.compute.client_phase import Phase
from greencoro.compute.inline import current_inline_server
from greencoro.compute.job_journal import journal
from greencoro.hub.completion import Completion
from tests.compute.executors import busy, opened_gate, receive, square
from tests.compute.inline_cluster import inline_cluster
from tests.support.polling import poll_until


@pytest.fixture
def cluster(tmp_path):
    with inline_cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def executor(cluster):
    with Executor(cluster) as executor:
        yield executor


@pytest.fixture
def opened():
    with opened_gate() as opened:
        yield opened


def test_futures_that_are_over_are_gone_with_their_last_reference(executor):
    """Nothing of a job waits for the collector, which would stop the program the longer the more there are."""
    assert executor.submit(square, 1).result(5) == 1  # what is made once is made
    gc.collect()
    gc.disable()
    try:
        collected = []
        for _ in range(3):
            futures = [executor.submit(square, number) for number in range(100)]
            assert [future.result(5) for future in futures] == [number**2 for number in range(100)]
            left = [weakref.ref(future) for future in futures]
            del futures
            poll_until(lambda: not any(future() for future in left), 5)  # noqa: B023
            collected.append(gc.collect())
        # What other threads of the process leave is counted as well, at times.
        assert min(collected) < 100
    finally:
        gc.enable()


def test_futures_are_broken_where_what_sends_their_jobs_was_ended(cluster, opened):
    executor = Executor(cluster)
    busy(executor)
    waiting = executor.submit(square, 3)
    executor._feeder._coro.terminate()
    with pytest.raises(concurrent.futures.BrokenExecutor):
        waiting.result(5)
    opened()
    executor.shutdown()


def test_a_future_is_broken_where_what_sends_its_job_was_ended_meanwhile(cluster, monkeypatch):
    executor = Executor(cluster)
    begun, never = Completion(), Completion()
    monkeypatch.setattr(executor._feeder._launcher, "queue", lambda job: (begun.set(), never.wait()))
    future = executor.submit(square, 3)
    assert begun.wait(5)
    executor._feeder._coro.terminate()
    with pytest.raises(concurrent.futures.BrokenExecutor, match="ended while it was sent"):
        future.result(5)
    executor.shutdown()


def test_what_waits_for_a_coroutine_that_cannot_be_made_leaves_nothing(executor, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(feeder, "Coro", lambda *args: pytest.fail("no room for it"))
        with pytest.raises(pytest.fail.Exception):
            executor.submit(square, 3)
    assert (len(executor._waiting), executor._waiting._places, executor._waiting._bytes) == (0, 0, 0)
    assert executor._feeder._unfinished == 0
    assert executor.submit(square, 4).result(5) == 16


def test_no_thread_is_started_for_calls(executor, monkeypatch):
    """From Python 3.12 on there is none to be had once the script has ended."""

    def refuse(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(future_teller.native.Thread, "start", refuse)
    assert executor.submit(square, 3).result(5) == 9
    poll_until(lambda: executor._feeder._coro is None)
    assert executor.submit(square, 4).result(5) == 16


def test_the_thread_of_an_executor_ends_with_it(cluster, opened):
    executor = Executor(cluster)
    future = busy(executor)
    executor.shutdown(wait=False)
    assert not executor._feeder._teller._thread.join(0.05)
    opened()
    assert future.result(5) == "opened"
    assert executor._feeder._teller._thread.join(10)


def test_an_executor_that_is_dropped_shuts_itself_down_once_its_calls_are_over(cluster, opened):
    executor = Executor(cluster)
    running, waiting = busy(executor), executor.submit(square, 3)
    feeder_of_it, dropped = executor._feeder, weakref.ref(executor)
    del executor
    assert dropped() is None
    assert not feeder_of_it.ended.wait(0.05)
    opened()
    assert (running.result(5), waiting.result(5)) == ("opened", 9)
    assert feeder_of_it.ended.wait(10)
    assert feeder_of_it._teller._thread.join(10)


def test_an_idle_executor_that_is_dropped_gives_its_servers_back(cluster):
    executor = Executor(cluster)
    assert executor.submit(square, 2).result(5) == 4
    computation, thread = executor._computation, executor._feeder._teller._thread
    del executor
    poll_until(lambda: computation._jobs.client.phase is Phase.OVER)
    assert thread.join(10)


def test_where_the_end_of_a_dropped_executor_fails_that_is_logged_and_its_thread_ends(cluster, caplog, monkeypatch):
    def fail(self):
        raise OSError("no")

    executor = Executor(cluster)
    with monkeypatch.context() as patch:
        patch.setattr(Computation, "close", fail)
        feeder_of_it = executor._feeder
        del executor
        assert feeder_of_it.ended.wait(10)
        assert feeder_of_it._teller._thread.join(10)
    assert "what an executor was to do by itself failed" in caplog.text and "OSError: no" in caplog.text


def test_an_executor_without_a_thread_leaves_no_cluster_of_its_own(tmp_path, monkeypatch):
    def refuse(*args):
        raise RuntimeError("can't start new thread")

    monkeypatch.setenv("GREENCORO_SECRET_FILE", str(tmp_path / "secret"))
    monkeypatch.setattr(feeder, "FutureTeller", refuse)
    made = []

    class InlineCluster(LocalCluster):
        def __init__(self):
            super().__init__(inline=True)
            made.append(self)

    monkeypatch.setattr(workplace, "LocalCluster", InlineCluster)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        Executor()
    assert len(made) == 1 and current_inline_server() is None


def test_executors_leave_nothing_in_their_computation(cluster):
    with Computation() as computation:
        for _ in range(3):
            with Executor(computation) as executor:
                assert executor.submit(square, 2).result(5) == 4
        assert (computation._jobs.on_servers, computation._jobs.on_shortage) == ([], [])
        with pytest.raises(ComputationClosed, match="shut down"):
            executor._dispatcher.ask(alone=False)


def test_who_waits_for_a_place_when_places_are_closed_hears_that(cluster, opened):
    with Computation() as computation:
        executor = Executor(computation)
        running = busy(executor)
        ticket = executor._dispatcher.ask(alone=False)
        Coro(lambda: None).value(5)  # by then it was looked at, for the places were open
        executor._dispatcher.close()
        with pytest.raises(ComputationClosed, match="shut down"):
            ticket.result(5)
        opened()
        assert running.result(5) == "opened"
        executor.shutdown()


@pytest.fixture
def without_servers(cluster, monkeypatch):
    """Of an executor that is given none, though its computation has one."""
    monkeypatch.setattr(feeder.Feeder, "_use", lambda self, server: None)
    with Computation() as computation:
        yield Executor(computation)


def waits_for_a_place(executor):
    return bool(executor._dispatcher._waiting())


def test_cancelled_calls_want_no_server(without_servers):
    executor = without_servers
    futures = [executor.submit(square, number) for number in range(3)]
    poll_until(lambda: waits_for_a_place(executor))
    shortage = executor._computation._jobs.on_shortage
    assert sum(count() for count in shortage) == 3
    assert futures[0].cancel()
    assert futures[0]._on_cancelled is None  # nothing of the call is kept
    assert sum(count() for count in shortage) == 2
    assert all(future.cancel() for future in futures[1:])
    assert sum(count() for count in shortage) == 0
    assert not waits_for_a_place(executor)
    poll_until(lambda: executor._feeder._coro is None)  # which would keep the process
    again = executor.submit(square, 4)
    poll_until(lambda: waits_for_a_place(executor))
    assert again.cancel()
    executor.shutdown()


def test_others_hear_of_a_cancelled_call_at_once(without_servers):
    future = without_servers.submit(square, 3)
    others = without_servers.submit(square, 4)
    thread = threading.Thread(target=lambda: concurrent.futures.wait([future]), daemon=True)
    thread.start()
    assert future.cancel()
    thread.join(10)
    assert not thread.is_alive()
    assert others.cancel()
    without_servers.shutdown()


@pytest.mark.parametrize("way", ["shutdown", "sys.exit", "Ctrl-C"])
def test_an_executor_that_cancels_all_waits_for_no_server(without_servers, way):
    executor = without_servers
    if way == "shutdown":
        future = executor.submit(square, 3)
        poll_until(lambda: waits_for_a_place(executor))
        executor.shutdown(cancel_futures=True)
    else:
        with pytest.raises((SystemExit, KeyboardInterrupt)), executor:
            future = executor.submit(square, 3)
            poll_until(lambda: waits_for_a_place(executor))
            raise SystemExit if way == "sys.exit" else KeyboardInterrupt
    assert future.cancelled()
    assert executor._feeder.ended.wait(10)


def served_late(executor, monkeypatch):
    """Has calls find that the server they were to have is gone, and that there is no other."""
    submit = executor._dispatcher.submit
    taken = Completion()

    def shut(ticket, prepared, number):
        executor._dispatcher._change(executor._dispatcher._lanes.shut, ticket.server)
        executor._dispatcher._free(ticket, ran=False)
        monkeypatch.setattr(executor._dispatcher, "submit", submit)
        taken.set()

    monkeypatch.setattr(executor._dispatcher, "submit", shut)
    return taken


def test_a_call_whose_server_is_gone_is_not_disturbed_by_others_that_are_cancelled(cluster, monkeypatch):
    with Computation() as computation:
        executor = Executor(computation)
        taken = served_late(executor, monkeypatch)
        future = executor.submit(square, 3)
        assert taken.wait(5)
        poll_until(lambda: waits_for_a_place(executor))
        assert executor.submit(square, 4).cancel()
        assert waits_for_a_place(executor)
        for server in executor._dispatcher.used():
            executor._dispatcher.open(server)
        assert future.result(5) == 9
        executor.shutdown()


def test_a_call_whose_server_is_gone_waits_for_no_other_when_it_is_abandoned(cluster, monkeypatch):
    with Computation() as computation:
        executor = Executor(computation)
        taken = served_late(executor, monkeypatch)
        with pytest.raises(SystemExit), executor:
            future = executor.submit(square, 3)
            assert taken.wait(5)
            poll_until(lambda: waits_for_a_place(executor))
            raise SystemExit
        assert isinstance(future.exception(10), CoroTerminated)
        assert executor._feeder.ended.wait(10)


def test_a_call_that_is_terminated_while_it_is_sent_is_ended_when_it_was(executor, monkeypatch):
    submit = executor._dispatcher.submit
    taken, goes_on = Completion(), Completion()

    def submit_slowly(*args):
        taken.set()
        goes_on.wait()
        return submit(*args)

    monkeypatch.setattr(executor._dispatcher, "submit", submit_slowly)
    future = executor.submit(receive)
    assert taken.wait(5)
    assert not future.cancel()
    assert future.terminate()
    goes_on.set()
    with pytest.raises(CoroTerminated):
        future.result(10)
    assert not future.terminate()


def test_shutdown_waits_for_all_and_refuses_more(cluster, opened):
    executor = Executor(cluster)
    future = busy(executor)
    ended = Completion()
    thread = threading.Thread(target=lambda: (executor.shutdown(), ended.set()))
    thread.start()
    with pytest.raises(RuntimeError, match="after shutdown"):
        while True:
            executor.submit(square, 1)
            time.sleep(0.001)
    assert not ended.done
    opened()
    thread.join(10)
    assert ended.done
    assert future.result(0) == "opened"
    executor.shutdown()


def test_shutdown_cancels_what_was_not_sent(cluster, opened):
    executor = Executor(cluster)
    running, waiting = busy(executor), executor.submit(square, 3)
    executor.shutdown(wait=False, cancel_futures=True)
    assert waiting.cancelled()
    opened()
    assert running.result(5) == "opened"
    executor.shutdown()


def test_submit_waits_while_too_many_calls_wait(cluster, opened):
    with Executor(cluster, max_waiting=2) as executor:
        busy(executor)
        waiting = [executor.submit(square, x) for x in range(2)]
        third = Completion()
        thread = threading.Thread(target=lambda: third.set(executor.submit(square, 5)))
        thread.start()
        assert not third.wait(0.05)
        opened()
        assert third.result(5).result(5) == 25
        thread.join()
        assert [future.result(5) for future in waiting] == [0, 1]


def test_B1_submit_waits_while_calls_with_too_many_bytes_wait(cluster, opened):
    with Executor(cluster, max_waiting_bytes=25_000) as executor:
        busy(executor)
        waiting = [executor.submit(len, bytes(10_000)) for _ in range(2)]
        third = Completion()
        thread = threading.Thread(target=lambda: third.set(executor.submit(len, bytes(10_000))))
        thread.start()
        assert not third.wait(0.05)
        assert waiting[0].cancel()
        future = third.result(5)  # its place was free at once
        opened()
        assert future.result(5) == 10_000
        thread.join()
        assert waiting[1].result(5) == 10_000


def test_B1_what_a_function_without_a_name_holds_counts_too(cluster, opened):
    held = bytes(10_000)
    with Executor(cluster, max_waiting_bytes=15_000) as executor:
        busy(executor)
        executor.submit(lambda: len(held))
        second = Completion()
        thread = threading.Thread(target=lambda: second.set(executor.submit(lambda: len(held))))
        thread.start()
        assert not second.wait(0.05)
        opened()
        assert second.result(5).result(5) == 10_000
        thread.join()


@pytest.mark.parametrize("wrong", [{"max_waiting": 0}, {"max_waiting_bytes": 0}, {"max_waiting_bytes": 1.5}])
def test_limits_that_are_none_are_refused(wrong):
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        Executor(**wrong)


def test_submit_that_waits_at_the_end_of_its_computation_is_let_go(cluster, opened):
    refused = Completion()

    def submit():
        try:
            refused.set(executor.submit(square, 5).exception(10))
        except concurrent.futures.BrokenExecutor as error:
            refused.set(error)

    with Computation() as computation:
        executor = Executor(computation, max_waiting=1)
        busy(executor)
        executor.submit(square, 3)
        thread = threading.Thread(target=submit)
        thread.start()
        poll_until(lambda: executor._waiting._waiters)
    assert isinstance(refused.result(10), concurrent.futures.BrokenExecutor | ComputationClosed)
    thread.join(10)
    executor.shutdown()


def test_submit_that_waits_when_the_executor_is_shut_down_raises_and_leaves_nothing(cluster, opened):
    executor = Executor(cluster, max_waiting=1)
    busy(executor)
    executor.submit(square, 3)
    refused = Completion()

    def submit():
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.submit(receive)
        refused.set()

    thread = threading.Thread(target=submit)
    thread.start()
    poll_until(lambda: executor._waiting._waiters)
    executor.shutdown(wait=False)
    assert refused.wait(10)
    opened()
    thread.join(10)
    executor.shutdown()
    assert (executor._waiting._places, executor._waiting._bytes) == (0, 0)
    _, reports = journal.last(1)
    assert (reports[0]["name"], reports[0]["outcome"]) == ("receive", "not sent")


def test_neither_a_future_nor_its_job_keeps_anything_of_the_call_when_that_is_over(executor, monkeypatch):
    launcher, jobs = executor._feeder._launcher, []
    queue = launcher.queue
    monkeypatch.setattr(launcher, "queue", lambda job: (jobs.append(job), queue(job)))
    future = executor.submit(len, bytes(10_000))
    assert future.result(5) == 10_000
    assert (future._job, future._on_cancelled) == (None, None)
    job = jobs[0]
    poll_until(lambda: job.call.arguments == b"" and job.attempt.call is job.call, 5)
    assert (job.call.name, job.call.args, job.call.packages) == ("len", (), ())


def test_a_callback_that_would_end_the_program_keeps_no_other_future_from_being_told(executor, opened, caplog):
    first, second = busy(executor), executor.submit(square, 3)
    first.add_done_callback(lambda future: sys.exit("enough"))
    opened()
    assert first.result(20) == "opened"
    assert second.result(20) == 9
    assert executor.submit(square, 4).result(20) == 16
    assert "enough" in caplog.text


def test_a_future_explains_where_its_job_waited_and_ran_and_how_it_ended(executor, opened):
    running = busy(executor)
    waiting = [executor.submit(square, number) for number in range(3)]
    first, *rest = waiting[2].explain()
    assert first.startswith(f"job {waiting[2].number} square: submitted ")
    assert [line.split(": ")[-1] for line in rest] == ["for a server, behind 2 others"]
    assert rest[0].startswith("has been waiting for ")
    assert executor._computation.explain(waiting[2].number)[0].startswith(f"job {waiting[2].number} square: ")
    assert waiting[1].cancel()
    assert waiting[1].cancel()
    assert waiting[1].explain()[1].startswith("waited ")
    assert waiting[1].explain()[-1].startswith("cancelled after ")
    assert waiting[1].explain()[-1].endswith(": before it was sent")
    opened()
    assert running.result(5) == "opened"
    assert waiting[2].result(5) == 4
    _, waited, attempt, ended = waiting[2].explain()
    assert waited.startswith("waited ") and waited.endswith(": for a server, behind 2 others")
    assert attempt.startswith("attempt 1 at 127.0.0.1:")
    assert ended.startswith("finished after ")


def test_a_job_that_was_not_sent_explains_why(cluster, opened):
    with Computation() as computation:
        executor = Executor(computation)
        busy(executor)
        waiting = executor.submit(square, 3)
    assert waiting.exception(5)
    assert waiting.explain()[-1].startswith("not sent after ")
    assert ": ComputationClosed: the computation is " in waiting.explain()[-1]
    executor.shutdown()


def test_an_executor_says_what_it_is_at(cluster, opened):
    executor = Executor(cluster)
    assert repr(executor) == "<Executor: 0 servers, 0 calls waiting, 0 running>"
    running = busy(executor)
    future = executor.submit(square, 2)
    assert repr(executor) == "<Executor: 1 server, 1 call waiting, 1 running>"
    executor.shutdown(wait=False)
    assert repr(executor) == "<Executor: 1 server, 1 call waiting, 1 running, takes no more calls>"
    opened()
    executor.shutdown()
    assert repr(executor) == "<Executor: shut down>"
    assert (running.result(0), future.result(0)) == ("opened", 4)


def test_asyncio_programs_await_futures_and_are_never_stopped_by_submit(cluster, opened):
    with Executor(cluster, max_waiting=2) as executor:
        running = busy(executor)

        async def main():
            loop = asyncio.get_running_loop()
            waiting = [loop.run_in_executor(executor, square, x) for x in range(4)]
            with pytest.raises(WouldBlock):
                executor.submit(square, 5)
            opened()
            return await asyncio.gather(*waiting, asyncio.wrap_future(running))

        assert asyncio.run(main()) == [0, 1, 4, 9, "opened"]


def test_an_executor_whose_computation_is_closed_is_broken(cluster, opened):
    with Computation() as computation:
        executor = Executor(computation)
        busy(executor)
        waiting = executor.submit(square, 3)
    with pytest.raises(concurrent.futures.BrokenExecutor):
        waiting.result(5)
    with pytest.raises(concurrent.futures.BrokenExecutor):
        executor.submit(square, 3)
    executor.shutdown()
