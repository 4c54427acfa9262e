"""How long does it take until all have heard of an end that 20,000 coroutines wait for?

From the end of the one until the last of the others is over, by waiter. "a tenth us" is the same for a tenth of them:
where it is much less than the figure, the time grows faster than the number of those who wait.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from benchmarks import pycos_setup, side
from benchmarks.local import erlang, event_loops
from benchmarks.measure import MICROSECONDS, Measurement, measured
from benchmarks.question import Counts, Question, Sample, Side, Target


def _sample(waiters: int, measure: Callable[[int], Measurement]) -> Sample:
    tenth = measure(waiters // 10)
    return measure(waiters).microseconds_each(**{"a tenth us": tenth.seconds / tenth.operations * MICROSECONDS})


def greencoro(waiters: int) -> Sample:
    from greencoro import Coro

    def target(coro: Any = None) -> None:
        coro.receive()

    def run(waiters: int, coro: Any = None) -> Measurement:
        def waiter() -> None:
            if next(numbers) == waiters:
                coro.send(1)  # who goes on when this one waits, too
            ended.value()

        ended, numbers = Coro(target), itertools.count(1)
        waiting = [Coro(waiter) for _ in range(waiters)]
        coro.receive()
        with measured(waiters) as measurement:
            ended.send(1)
            for each in waiting:
                each.value()
        return measurement

    return _sample(waiters, lambda waiters: Coro(run, waiters).value())


def greencoro_generators(waiters: int) -> Sample:
    from greencoro import Coro

    def target(coro: Any = None) -> Any:
        yield coro.receive()

    def run(waiters: int, coro: Any = None) -> Any:
        def waiter() -> Any:
            if next(numbers) == waiters:
                coro.send(1)  # as above
            yield ended.finish()

        ended, numbers = Coro(target), itertools.count(1)
        waiting = [Coro(waiter) for _ in range(waiters)]
        yield coro.receive()
        with measured(waiters) as measurement:
            ended.send(1)
            for each in waiting:
                yield each.finish()
        return measurement

    return _sample(waiters, lambda waiters: Coro(run, waiters).value())


def pycos(waiters: int) -> Sample:
    pycos = pycos_setup.quiet()

    def target(task: Any = None) -> Any:
        yield task.receive()

    def run(waiters: int, task: Any = None) -> Any:
        starter = task

        def waiter(task: Any = None) -> Any:
            if next(numbers) == waiters:
                starter.send(1)  # as above
            yield ended.finish()

        ended, numbers = pycos.Task(target), itertools.count(1)
        waiting = [pycos.Task(waiter) for _ in range(waiters)]
        yield task.receive()
        with measured(waiters) as measurement:
            ended.send(1)
            for each in waiting:
                yield each.finish()
        return measurement

    return _sample(waiters, lambda waiters: pycos.Task(run, waiters).value())


def gevent_greenlets(waiters: int) -> Sample:
    import gevent
    from gevent.event import Event

    def run(waiters: int) -> Measurement:
        def waiter() -> None:
            if next(numbers) == waiters:
                all_wait.set()
            ended.join()

        end, all_wait, numbers = Event(), Event(), itertools.count(1)
        ended = gevent.spawn(end.wait)
        waiting = [gevent.spawn(waiter) for _ in range(waiters)]
        all_wait.wait()
        with measured(waiters) as measurement:
            end.set()
            for each in waiting:
                each.join()
        return measurement

    return _sample(waiters, lambda waiters: gevent.spawn(run, waiters).get())


def _asyncio_tasks(waiters: int, make_runner: event_loops.MakeRunner) -> Sample:
    async def run(waiters: int) -> Measurement:
        async def waiter() -> None:
            if next(numbers) == waiters:
                all_wait.set()
            await ended

        end, all_wait, numbers = asyncio.Event(), asyncio.Event(), itertools.count(1)
        ended = asyncio.create_task(end.wait())
        waiting = [asyncio.create_task(waiter()) for _ in range(waiters)]
        await all_wait.wait()
        with measured(waiters) as measurement:
            end.set()
            for each in waiting:
                await each
        return measurement

    with make_runner() as runner:
        return _sample(waiters, lambda waiters: runner.run(run(waiters)))


def asyncio_tasks(waiters: int) -> Sample:
    return _asyncio_tasks(waiters, event_loops.standard)


def uvloop_tasks(waiters: int) -> Sample:
    return _asyncio_tasks(waiters, event_loops.uvloop)


def erlang_processes(waiters: int) -> Sample:
    with erlang.script("finishers", waiters) as running:

        def measure(waiters: int) -> Measurement:
            running.wait_until_ready()
            with measured(waiters) as measurement:
                running.take_turn()
            return measurement

        return _sample(waiters, measure)


_COUNTS = Counts(20_000, 10_000, 200)

QUESTION = Question(
    name="local.finishers",
    text="how long does it take until all have heard of an end that 20,000 coroutines wait for?",
    unit="us a waiter",
    better="less",
    sides=(
        Side("greencoro", greencoro, _COUNTS, "value()"),
        Side("greencoro generators", greencoro_generators, _COUNTS, "generator functions: yield ended.finish()"),
        Side("pycos", pycos, _COUNTS, "yield ended.finish(); without its network", package="pycos"),
        Side("gevent", gevent_greenlets, _COUNTS, "Greenlet.join()"),
        Side("asyncio", asyncio_tasks, _COUNTS, "await of one task; standard loop"),
        Side("uvloop", uvloop_tasks, _COUNTS, "as asyncio, in uvloop's loop", package="uvloop"),
        Side("Erlang", erlang_processes, _COUNTS, f"monitor; {erlang.SETUP}", program=erlang.PROGRAM),
    ),
    targets=(
        Target("greencoro", "pycos"),
        Target("greencoro", "gevent"),
        Target("greencoro", "uvloop"),
        Target("greencoro", "Erlang"),
    ),
)

if __name__ == "__main__":
    side.main(QUESTION)
