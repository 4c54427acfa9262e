"""What concurrent.futures promises of an executor, kept by one that runs jobs of a computation."""

import concurrent.futures
import gc
import io
import itertools
import os
import sys
import threading

import psutil
import pytest

from greencoro import (
    Computation,
    Coro,
    CoroTerminated,
    Executor,
    Job,
    PackagingError,
    Scheduler,
    as_completed,
    sleep,
)
from greencoro.compute import client as clients
from greencoro.compute.client_state import Phase
from greencoro.compute.job_handle import JobHandle
from greencoro.compute.job_journal import journal
from greencoro.hub.completion import Completion
from tests.compute.executors import busy, opened_gate, receive, square, wait
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


def fail(x):
    raise KeyError(x)


noted = []


def note(x):
    noted.append(x)


def test_submit_gives_a_future_of_the_result(executor):
    future = executor.submit(pow, 2, exp=5)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result(5) == 32
    assert future.done()
    assert not future.running()
    assert future.exception(5) is None


def test_what_a_job_raises_is_the_futures_exception(executor):
    future = executor.submit(fail, "x")
    with pytest.raises(KeyError, match="x"):
        future.result(5)
    assert isinstance(future.exception(5), KeyError)


def test_what_cannot_be_sent_is_refused_at_the_call(executor):
    with pytest.raises(PackagingError, match=r"args\[0\]"):
        executor.submit(square, threading.RLock())
    with pytest.raises(TypeError, match="square"):
        executor.submit(square)


def test_a_future_runs_from_being_sent_and_can_be_cancelled_before(executor, opened):
    running, waiting = busy(executor), executor.submit(square, 3)
    assert not waiting.running()
    assert waiting.cancel()
    assert waiting.cancelled()
    with pytest.raises(concurrent.futures.CancelledError):
        waiting.result(5)
    assert not running.cancel()
    opened()
    assert running.result(5) == "opened"


def test_a_future_that_runs_can_be_terminated(executor, opened):
    running, waiting = executor.submit(receive), executor.submit(receive)
    poll_until(running.running)
    assert running.terminate()
    with pytest.raises(CoroTerminated):
        running.result(5)
    assert not running.terminate()
    assert waiting.terminate()


def test_arguments_are_those_of_the_call(executor, opened):
    busy(executor)
    things = ["at the call"]
    future = executor.submit(list, things)
    things.append("later")
    opened()
    assert future.result(5) == ["at the call"]


def test_result_has_a_time_limit_and_the_job_goes_on(executor, opened):
    future = busy(executor)
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(0.01)
    with pytest.raises(concurrent.futures.TimeoutError):
        future.exception(0.01)
    opened()
    assert future.result(5) == "opened"


def test_callbacks_run_in_a_thread_of_their_own_and_may_submit_more(executor, opened):
    found = Completion()

    def callback(future):
        found.set((future.result(), executor.submit(square, 5), threading.get_ident()))

    # Behind another one: of a future that is over already the caller's own thread runs it.
    busy(executor)
    executor.submit(square, 3).add_done_callback(callback)
    opened()
    result, more, thread = found.result(5)
    assert (result, more.result(5)) == (9, 25)
    hub = Coro(threading.get_ident).value(5)
    assert thread not in (threading.get_ident(), hub)


def test_wait_and_as_completed_of_concurrent_futures_work(executor, opened):
    running, waiting = busy(executor), executor.submit(square, 3)
    assert concurrent.futures.wait([running, waiting], timeout=0).not_done == {running, waiting}
    opened()
    assert concurrent.futures.wait([running, waiting], timeout=5).done == {running, waiting}
    assert set(concurrent.futures.as_completed([running, waiting], timeout=5)) == {running, waiting}


def test_as_completed_gives_each_when_it_is_over(executor, opened):
    over = executor.submit(square, 3)
    assert over.result(5) == 9
    running = busy(executor)
    coming = as_completed([running, over])
    assert next(coming) is over
    with pytest.raises(TimeoutError, match="1 of 2"):
        list(as_completed([running, over], timeout=0.01))
    opened()
    assert list(coming) == [running]


def test_coroutines_wait_for_futures_without_stopping_others(executor, opened):
    turns = []

    def other():
        while not turns[2:]:
            turns.append(1)
            sleep(0)
        opened()

    def client():
        future = executor.submit(wait)
        Coro(other)
        assert [each.result(5) for each in as_completed([future], timeout=5)] == ["opened"]
        return future.result(5)

    assert Coro(client).value(5) == "opened"


def test_a_coroutine_that_waits_for_a_result_lets_the_one_run_that_it_waits_for(executor, opened):
    future = busy(executor)
    client = Coro(lambda: future.result(5))
    Coro(opened)
    assert client.value(10) == "opened"


def test_map_gives_results_in_order(executor):
    assert list(executor.map(pow, range(20), itertools.repeat(2))) == [x * x for x in range(20)]


def test_map_raises_what_a_call_raised_in_its_place(executor):
    results = executor.map(lambda x: 1 // x, [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_map_begins_at_the_call_and_has_a_time_limit(executor, opened):
    results = executor.map(lambda x: wait(), range(3), timeout=0.05)
    with pytest.raises(TimeoutError, match=r"was not over after 0.05 s"):
        next(results)


def test_map_takes_chunks(executor):
    assert list(executor.map(square, range(10), chunksize=3)) == [x * x for x in range(10)]
    _, reports = journal.last(4)
    assert {report["name"] for report in reports} == {"square"}
    with pytest.raises(ValueError, match="chunksize"):
        executor.map(square, range(10), chunksize=0)


@pytest.mark.parametrize("chunksize", [1, 5])
def test_map_takes_no_more_of_an_endless_input_than_its_buffer(executor, chunksize):
    taken = []

    def numbers():
        for number in itertools.count():
            taken.append(number)
            yield number

    results = executor.map(square, numbers(), chunksize=chunksize, buffersize=4)
    assert len(taken) == 4 * chunksize
    assert [next(results) for _ in range(10)] == [x * x for x in range(10)]
    assert len(taken) <= (10 + 4) * chunksize
    results.close()


@pytest.mark.parametrize("chunksize", [1, 2])
@pytest.mark.parametrize("how", ["closed", "dropped"])
def test_results_of_map_of_which_none_was_taken_cancel_what_has_not_begun(executor, opened, chunksize, how):
    running = busy(executor)
    noted.clear()
    results = executor.map(note, range(6), chunksize=chunksize)
    if how == "closed":
        results.close()
    del results
    poll_until(lambda: not executor._waiting, what="nothing waits")
    opened()
    executor.shutdown()
    assert running.result(5) == "opened" and not noted


def test_what_the_garbage_collector_finds_of_an_executor_waits_for_none_of_its_locks(cluster, opened):
    """It may come in the thread that has them, at any line."""
    executor = Executor(cluster)
    running, feeder, waiting = busy(executor), executor._feeder, executor._waiting
    results = [executor.map(square, range(3)), executor.map(square, range(3), chunksize=2)]
    with feeder._lock, waiting._lock:
        del results[:]
        del executor
    poll_until(lambda: not waiting, what="nothing waits")
    opened()
    assert running.result(5) == "opened"
    assert feeder.ended.wait(10)


def test_an_executor_that_was_never_used_can_be_shut_down(cluster):
    with Executor(cluster):
        pass


def test_a_computation_of_ones_own_stays_open(cluster):
    with Computation() as computation:
        with Executor(computation) as executor:
            assert executor.submit(square, 3).result(5) == 9
        assert computation.run(square, 4).value(5) == 16


def test_jobs_carry_their_options(executor):
    from greencoro import JobTimeLimit

    with pytest.raises(JobTimeLimit):
        executor.submit(Job(receive, time_limit=0.05)).result(5)


def test_progress_is_said_on_standard_error(cluster, capfd):
    with Executor(cluster, progress=True) as executor:
        list(executor.map(square, range(5)))
        executor.shutdown()
    assert capfd.readouterr().err.count("5 of 5 jobs") == 1


@pytest.mark.parametrize("fault", ["closed", "nobody reads"])
def test_progress_that_cannot_be_said_keeps_nobody_from_a_result_and_no_server_from_being_given_back(
    cluster, monkeypatch, fault
):
    read_end, write_end = os.pipe()
    os.close(read_end)
    # Without a buffer, which would be written once more when it is closed.
    with io.TextIOWrapper(io.FileIO(write_end, "w"), write_through=True) as stream:
        if fault == "closed":
            stream.close()
        monkeypatch.setattr(sys, "stderr", stream)
        executor = Executor(cluster, progress=True)
        assert [executor.submit(square, number).result(5) for number in range(3)] == [0, 1, 4]
        executor.shutdown()
        monkeypatch.undo()
    assert executor._computation._jobs.client.phase is Phase.OVER


def test_it_takes_the_scheduler_of_this_process_while_that_is_open():
    with Scheduler(nodes="127.0.0.1:9", node="127.0.0.1") as scheduler:
        executor = Executor(scheduler)
        assert not psutil.Process().children()
        executor.shutdown()
    with pytest.raises(ValueError, match="closed"):
        Executor(scheduler)


def test_a_computation_that_waits_for_the_end_of_an_executor_says_so(executor, monkeypatch, caplog):
    assert executor.submit(square, 2).result(10) == 4
    monkeypatch.setattr(clients, "_SAY_AFTER_SECONDS", 0.01)
    computation = Computation()
    waiting = threading.Thread(target=computation.schedule)
    waiting.start()
    poll_until(lambda: "shutdown() that, or use Executor(computation)" in caplog.text)
    executor.shutdown()
    waiting.join(10)
    assert not waiting.is_alive()
    computation.close()


@pytest.mark.parametrize("where", ["somewhere", 5])
def test_places_that_are_none_are_refused(where):
    with pytest.raises(TypeError, match="LocalCluster"):
        Executor(where)


def test_notebooks_are_shown_what_a_future_is(executor):
    future = executor.submit(square, 3)
    future.result(5)
    assert "square" in future._repr_html_()
    assert "finished" in future._repr_html_()


def test_futures_that_are_over_keep_nothing_of_their_jobs(executor):
    """Of many thousand futures the garbage collector looks at whatever each keeps, again and again."""

    def remembered(x):
        return x

    def handles():
        return [each for each in gc.get_objects() if isinstance(each, JobHandle) and each.name == "remembered"]

    futures = [executor.submit(remembered, x) for x in range(10)]
    assert [future.result(5) for future in futures] == list(range(10))
    poll_until(lambda: not handles())
    assert futures[3].explain()[-1].startswith("finished after ")
    assert not futures[3].terminate()
