"""How late are 10,000 coroutines woken that sleep at the same time?

Each sleeps again and again, for a time of its own between 0.5 and 1.5 s; the figure is what 99 of 100 sleeps were late
at most. All begin at once, so that starting them is among what makes the first ones late.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks import pycos_setup, side
from benchmarks.local import erlang, event_loops
from benchmarks.measure import Measurement, measured
from benchmarks.question import Counts, Question, Sample, Side, Target
from benchmarks.spread import percentile

SLEEPERS = 10_000
MILLISECONDS = 1e3


def _plan(sleeps: int) -> tuple[list[float], int]:
    """How long each sleeper sleeps, in seconds, and how often."""
    sleepers = min(SLEEPERS, sleeps)
    return [0.5 + index / sleepers for index in range(sleepers)], sleeps // sleepers


def _sample(measurement: Measurement, late: list[float]) -> Sample:
    return measurement.sample(
        percentile(late, 99) * MILLISECONDS,
        {"median ms": percentile(late, 50) * MILLISECONDS, "max ms": max(late) * MILLISECONDS},
    )


def greencoro(sleeps: int) -> Sample:
    from greencoro import Coro, sleep

    late: list[float] = []

    def sleeper(seconds: float, times: int) -> None:
        for _ in range(times):
            begin = time.perf_counter()
            sleep(seconds)
            late.append(time.perf_counter() - begin - seconds)

    def run(plan: list[float], times: int) -> None:
        for each in [Coro(sleeper, seconds, times) for seconds in plan]:
            each.value()

    plan, times = _plan(sleeps)
    with measured(sleeps) as measurement:
        Coro(run, plan, times).value()
    return _sample(measurement, late)


def greencoro_generators(sleeps: int) -> Sample:
    from greencoro import Coro

    late: list[float] = []

    def sleeper(seconds: float, times: int, coro: Any = None) -> Any:
        for _ in range(times):
            begin = time.perf_counter()
            yield coro.sleep(seconds)
            late.append(time.perf_counter() - begin - seconds)

    def run(plan: list[float], times: int) -> Any:
        for each in [Coro(sleeper, seconds, times) for seconds in plan]:
            yield each.finish()

    plan, times = _plan(sleeps)
    with measured(sleeps) as measurement:
        Coro(run, plan, times).value()
    return _sample(measurement, late)


def pycos(sleeps: int) -> Sample:
    pycos = pycos_setup.quiet()
    late: list[float] = []

    def sleeper(seconds: float, times: int, task: Any = None) -> Any:
        for _ in range(times):
            begin = time.perf_counter()
            yield task.sleep(seconds)
            late.append(time.perf_counter() - begin - seconds)

    def run(plan: list[float], times: int, task: Any = None) -> Any:
        for each in [pycos.Task(sleeper, seconds, times) for seconds in plan]:
            yield each.finish()

    plan, times = _plan(sleeps)
    with measured(sleeps) as measurement:
        pycos.Task(run, plan, times).value()
    return _sample(measurement, late)


def gevent_greenlets(sleeps: int) -> Sample:
    import gevent

    late: list[float] = []

    def sleeper(seconds: float, times: int) -> None:
        for _ in range(times):
            begin = time.perf_counter()
            gevent.sleep(seconds)
            late.append(time.perf_counter() - begin - seconds)

    plan, times = _plan(sleeps)
    with measured(sleeps) as measurement:
        gevent.joinall([gevent.spawn(sleeper, seconds, times) for seconds in plan], raise_error=True)
    return _sample(measurement, late)


def _asyncio_tasks(sleeps: int, make_runner: event_loops.MakeRunner) -> Sample:
    late: list[float] = []

    async def sleeper(seconds: float, times: int) -> None:
        for _ in range(times):
            begin = time.perf_counter()
            await asyncio.sleep(seconds)
            late.append(time.perf_counter() - begin - seconds)

    async def run(plan: list[float], times: int) -> None:
        await asyncio.gather(*(sleeper(seconds, times) for seconds in plan))

    plan, times = _plan(sleeps)
    with make_runner() as runner, measured(sleeps) as measurement:
        runner.run(run(plan, times))
    return _sample(measurement, late)


def asyncio_tasks(sleeps: int) -> Sample:
    return _asyncio_tasks(sleeps, event_loops.standard)


def uvloop_tasks(sleeps: int) -> Sample:
    return _asyncio_tasks(sleeps, event_loops.uvloop)


def erlang_processes(sleeps: int) -> Sample:
    with erlang.script("sleepers", sleeps) as running:
        running.wait_until_ready()
        with measured(sleeps) as measurement:
            late = running.take_turn()
    return measurement.sample(late, {})


_COUNTS = Counts(30_000, 10_000, 100)

QUESTION = Question(
    name="local.sleepers",
    text="how late are 10,000 coroutines woken that sleep at the same time?",
    unit="ms late, 99 of 100 at most",
    better="less",
    sides=(
        Side("greencoro", greencoro, _COUNTS, "sleep(seconds)"),
        Side("greencoro generators", greencoro_generators, _COUNTS, "generator functions: yield coro.sleep(seconds)"),
        Side("pycos", pycos, _COUNTS, "yield task.sleep(seconds); without its network", package="pycos"),
        Side("gevent", gevent_greenlets, _COUNTS, "gevent.sleep"),
        Side("asyncio", asyncio_tasks, _COUNTS, "asyncio.sleep; standard loop"),
        Side("uvloop", uvloop_tasks, _COUNTS, "as asyncio, in uvloop's loop", package="uvloop"),
        Side("Erlang", erlang_processes, _COUNTS, f"timer:sleep; {erlang.SETUP}", program=erlang.PROGRAM),
    ),
    targets=(
        Target("greencoro", "pycos"),
        Target("greencoro", "gevent"),
        Target("greencoro", "uvloop"),
        Target("greencoro", "Erlang"),
    ),
    rounds=Counts(3, 1, 1),
)

if __name__ == "__main__":
    side.main(QUESTION)
