import contextvars
import gc
from typing import Any

import gevent
import gevent.local
import pytest

from greencoro import Coro, sleep
from greencoro.hub import userhub, workers
from tests.support.polling import poll_until

from .conftest import Run

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def number_of_workers() -> int:
    gc.collect()
    return sum(type(thing) is workers.Worker for thing in gc.get_objects())


def one_after_another(*functions: Any) -> list[Any]:
    """Run each on the worker that the one before left."""

    def run_all() -> list[Any]:
        return [Coro(function).value() for function in functions]

    return Coro(run_all).value(10)


def test_a_worker_runs_one_coroutine_after_another() -> None:
    first, second = one_after_another(lambda: id(gevent.getcurrent()), lambda: id(gevent.getcurrent()))
    assert first == second


def test_two_hundred_thousand_short_coroutines_need_few_workers() -> None:
    done = [0]

    def short() -> None:
        done[0] += 1

    before = number_of_workers()
    coroutines = [Coro(short) for _ in range(200_000)]
    for coro in coroutines:
        coro.value(30)
    assert done == [200_000]
    assert number_of_workers() <= before + 10


def test_workers_of_coroutines_that_waited_are_used_again() -> None:
    def round_of_a_thousand() -> None:
        coroutines = [Coro(lambda coro: coro.receive()) for _ in range(1000)]
        # All of them together, each on a worker of its own.
        poll_until(lambda: all(coro._mailbox._receiver is not None for coro in coroutines))
        for coro in coroutines:
            coro.send(1)
        for coro in coroutines:
            coro.value(10)

    round_of_a_thousand()
    after_one = number_of_workers()
    round_of_a_thousand()
    assert number_of_workers() <= after_one + 10


def test_context_variables_do_not_reach_the_next_coroutine() -> None:
    def leave() -> int:
        variable.set("left behind")
        return id(gevent.getcurrent())

    left, (found, worker) = one_after_another(leave, lambda: (variable.get(), id(gevent.getcurrent())))
    assert found == "unset"
    assert worker == left


def test_greenlet_local_data_do_not_reach_the_next_coroutine() -> None:
    local = gevent.local.local()

    def leave() -> None:
        local.data = "left behind"

    assert one_after_another(leave, lambda: getattr(local, "data", "unset")) == [None, "unset"]


def test_in_a_patched_process_thread_local_data_do_not_reach_the_next_coroutine(run: Run) -> None:
    ended = run(
        """
        local = threading.local()
        def leave():
            local.data = "left behind"
        def both():
            Coro(leave).value()
            return Coro(lambda: getattr(local, "data", "unset")).value()
        assert Coro(both).value(10) == "unset"
        """,
        patched=True,
    )
    assert ended.status == 0, ended.err


def test_a_kill_meant_for_an_earlier_coroutine_costs_an_idle_worker_and_nothing_else() -> None:
    def leave() -> Any:
        return gevent.getcurrent()

    worker = Coro(leave).value(10)
    poll_until(lambda: worker in workers._free)
    userhub.post(worker.throw, gevent.GreenletExit)
    poll_until(lambda: worker.dead)
    assert [Coro(lambda: 5).value(10) for _ in range(10)] == [5] * 10
    assert worker not in workers._free


def test_a_gevent_timeout_left_running_does_not_stop_later_coroutines() -> None:
    def leave() -> None:
        gevent.Timeout(0.01).start()

    one_after_another(leave)
    Coro(sleep, 0.05).value(10)
    assert [Coro(lambda: 5).value(10) for _ in range(10)] == [5] * 10


def test_one_terminated_before_its_start_does_not_disturb_whoever_waits_just_then(
    capfd: pytest.CaptureFixture[str],
) -> None:
    began: list[str] = []

    def waits() -> float:
        doomed = [Coro(began.append, "doomed") for _ in range(5)]
        for coro in doomed:
            coro.terminate()
        # Parks with five entries in the ready queue that stand for coroutines which are over.
        start = gevent.get_hub().loop.now()
        sleep(0.05)
        gevent.get_hub().loop.update_now()
        return gevent.get_hub().loop.now() - start

    assert Coro(waits).value(10) >= 0.045
    assert began == []
    assert capfd.readouterr().err == ""


def test_idle_workers_beyond_the_limit_end(monkeypatch: pytest.MonkeyPatch) -> None:
    Coro(lambda: None).value(10)
    monkeypatch.setattr(workers, "_KEEP", len(workers._free))
    before = number_of_workers()
    coroutines = [Coro(lambda coro: coro.receive()) for _ in range(before + 200)]
    for coro in coroutines:
        coro.send(1)
    for coro in coroutines:
        coro.value(10)
    assert number_of_workers() <= before + 10
    assert Coro(lambda: 5).value(10) == 5


def test_a_worker_that_is_not_used_again_lets_the_next_one_go_on() -> None:
    local = gevent.local.local()

    def leave(coro: Any) -> int:
        local.data = coro
        return coro.receive()

    coroutines = [Coro(leave) for _ in range(300)]
    for number, coro in enumerate(coroutines):
        coro.send(number)
    assert [coro.value(10) for coro in coroutines] == list(range(300))


def test_where_idle_workers_end_those_that_follow_keep_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_KEEP", 0)
    order: list[int] = []

    def waits(number: int, coro: Any) -> None:
        coro.receive()
        order.append(number)

    coros = [Coro(waits, number) for number in range(20)]
    Coro(lambda: [sleep(0) for _ in range(3)]).value(10)
    Coro(lambda: [coro.send(None) for coro in coros]).value(10)
    for coro in coros:
        coro.value(10)
    assert order == list(range(20))


def test_a_coroutine_made_deep_down_has_the_whole_recursion_limit_and_so_have_those_after_it() -> None:
    def deep(levels: int) -> Any:
        return levels and deep(levels - 1)

    def creator(levels: int) -> Any:
        if levels:
            return creator(levels - 1)
        return [coro.value() for coro in [Coro(deep, 400) for _ in range(50)]]

    free, workers._free[:] = workers._free[:], []  # so that new ones are made
    try:
        assert Coro(creator, 500).value(10) == [0] * 50
    finally:
        workers._free += free
    assert [coro.value(10) for coro in [Coro(deep, 800) for _ in range(100)]] == [0] * 100
