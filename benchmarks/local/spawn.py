"""How long does it take to start a short coroutine and see its end?

A coroutine starts others in batches of 100 and then waits for the result of each. The function only returns its
argument, so that nothing but starting and ending is measured.
"""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks import pycos_setup, side
from benchmarks.local import erlang, event_loops
from benchmarks.measure import measured
from benchmarks.question import Counts, Question, Sample, Side, Target

BATCH = 100


def greencoro(coroutines: int) -> Sample:
    from greencoro import Coro

    def short(number: int) -> int:
        return number

    def run(batches: int) -> None:
        for _ in range(batches):
            batch = [Coro(short, number) for number in range(BATCH)]
            assert sum(each.value() for each in batch) == BATCH * (BATCH - 1) // 2

    Coro(run, coroutines // BATCH // 10).value()
    with measured(coroutines) as measurement:
        Coro(run, coroutines // BATCH).value()
    return measurement.microseconds_each()


def greencoro_generators(coroutines: int) -> Sample:
    from greencoro import Coro

    def short(number: int) -> Any:
        return number
        yield  # makes it a generator, and is never reached

    def run(batches: int) -> Any:
        for _ in range(batches):
            batch = [Coro(short, number) for number in range(BATCH)]
            total = 0
            for each in batch:
                total += yield each.finish()
            assert total == BATCH * (BATCH - 1) // 2

    Coro(run, coroutines // BATCH // 10).value()
    with measured(coroutines) as measurement:
        Coro(run, coroutines // BATCH).value()
    return measurement.microseconds_each()


def pycos(coroutines: int) -> Sample:
    pycos = pycos_setup.quiet()

    def short(number: int, task: Any = None) -> Any:
        return number
        yield  # makes it a generator, which pycos asks for, and is never reached

    def run(batches: int, task: Any = None) -> Any:
        for _ in range(batches):
            batch = [pycos.Task(short, number) for number in range(BATCH)]
            total = 0
            for each in batch:
                total += yield each.finish()
            assert total == BATCH * (BATCH - 1) // 2

    pycos.Task(run, coroutines // BATCH // 10).value()
    with measured(coroutines) as measurement:
        pycos.Task(run, coroutines // BATCH).value()
    return measurement.microseconds_each()


def _asyncio_tasks(coroutines: int, make_runner: event_loops.MakeRunner) -> Sample:
    async def short(number: int) -> int:
        return number

    async def run(batches: int) -> None:
        for _ in range(batches):
            batch = [asyncio.create_task(short(number)) for number in range(BATCH)]
            assert sum([await each for each in batch]) == BATCH * (BATCH - 1) // 2

    with make_runner() as runner:
        runner.run(run(coroutines // BATCH // 10))
        with measured(coroutines) as measurement:
            runner.run(run(coroutines // BATCH))
    return measurement.microseconds_each()


def asyncio_tasks(coroutines: int) -> Sample:
    return _asyncio_tasks(coroutines, event_loops.standard)


def uvloop_tasks(coroutines: int) -> Sample:
    return _asyncio_tasks(coroutines, event_loops.uvloop)


def erlang_processes(coroutines: int) -> Sample:
    return erlang.measure("spawn", coroutines).microseconds_each()


def gevent_greenlets(coroutines: int) -> Sample:
    import gevent

    def short(number: int) -> int:
        return number

    def run(batches: int) -> None:
        for _ in range(batches):
            batch = [gevent.spawn(short, number) for number in range(BATCH)]
            assert sum(each.get() for each in batch) == BATCH * (BATCH - 1) // 2

    gevent.spawn(run, coroutines // BATCH // 10).get()
    with measured(coroutines) as measurement:
        gevent.spawn(run, coroutines // BATCH).get()
    return measurement.microseconds_each()


QUESTION = Question(
    name="local.spawn",
    text="how long does it take to start a short coroutine and see its end?",
    unit="us a coroutine",
    better="less",
    sides=(
        Side("greencoro", greencoro, Counts(200_000, 50_000, 1000), "Coro(function, number), then value()"),
        Side(
            "greencoro generators",
            greencoro_generators,
            Counts(200_000, 50_000, 1000),
            "the same, as generator functions: yield each.finish()",
        ),
        Side(
            "pycos",
            pycos,
            Counts(60_000, 20_000, 1000),
            "Task(function, number), then yield finish(); without its network",
            package="pycos",
        ),
        Side("asyncio", asyncio_tasks, Counts(100_000, 30_000, 1000), "create_task, then await; in the standard loop"),
        Side("gevent", gevent_greenlets, Counts(60_000, 20_000, 1000), "gevent.spawn, get(): a fresh greenlet each"),
        Side("uvloop", uvloop_tasks, Counts(100_000, 30_000, 1000), "as asyncio, in uvloop's loop", package="uvloop"),
        Side("Erlang", erlang_processes, Counts(500_000, 200_000, 1000), erlang.SETUP, program=erlang.PROGRAM),
    ),
    targets=(
        Target("greencoro", "pycos", "at most", 0.2),
        Target("greencoro", "uvloop"),
        Target("greencoro", "Erlang"),
    ),
)

if __name__ == "__main__":
    side.main(QUESTION)
