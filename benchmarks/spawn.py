"""How long does it take to start a short coroutine and see its end?

A coroutine starts others in batches of 100 and then waits for the result of each. The function only returns its
argument, so that nothing but starting and ending is measured.
"""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks import pycos_setup, side
from benchmarks.measure import measured
from benchmarks.question import Counts, Question, Sample, Side, Target

BATCH = 100


def greencoro(coroutines: int) -> Sample:
    from greencoro.hub.coroutine import Coro

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


def asyncio_tasks(coroutines: int) -> Sample:
    async def short(number: int) -> int:
        return number

    async def run(batches: int) -> None:
        for _ in range(batches):
            batch = [asyncio.create_task(short(number)) for number in range(BATCH)]
            assert sum([await each for each in batch]) == BATCH * (BATCH - 1) // 2

    asyncio.run(run(coroutines // BATCH // 10))
    with measured(coroutines) as measurement:
        asyncio.run(run(coroutines // BATCH))
    return measurement.microseconds_each()


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
    name="spawn",
    text="how long does it take to start a short coroutine and see its end?",
    unit="us a coroutine",
    better="less",
    sides=(
        Side("greencoro", greencoro, Counts(200_000, 50_000, 1000), "Coro(function, number), then value()"),
        Side(
            "pycos",
            pycos,
            Counts(60_000, 20_000, 1000),
            "Task(function, number), then yield finish(); without its network",
            package="pycos",
        ),
        Side(
            "asyncio", asyncio_tasks, Counts(100_000, 30_000, 1000), "create_task, then await; in the standard loop"
        ),
        Side("gevent", gevent_greenlets, Counts(60_000, 20_000, 1000), "gevent.spawn, get(): a fresh greenlet each"),
    ),
    targets=(Target("greencoro", "pycos", "at most", 0.2), Target("greencoro", "asyncio")),
)

if __name__ == "__main__":
    side.main(QUESTION)
