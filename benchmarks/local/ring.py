"""How many times a second is a token passed on in a ring of 1000 coroutines?

Each waits for the token and sends it to the next one. There is one token, so that at any moment one coroutine runs and
999 wait. Starting the ring and seeing its end is measured, too; it is a few percent.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from benchmarks import legacy_setup, pycos_setup, side
from benchmarks.local import erlang, event_loops
from benchmarks.measure import measured
from benchmarks.question import Counts, Question, Sample, Side, Target

NODES = 1000


def _laps(hops: int) -> tuple[int, int]:
    """Laps to warm up, and laps to measure."""
    return max(1, hops // NODES // 10), hops // NODES


def greencoro(hops: int) -> Sample:
    from greencoro import Coro

    def node(laps: int, coro: Any = None) -> None:
        following = coro.receive()
        for _ in range(laps):
            following.send(coro.receive())

    def run(laps: int) -> None:
        nodes = [Coro(node, laps) for _ in range(NODES)]
        for each, following in zip(nodes, nodes[1:] + nodes[:1], strict=True):
            each.send(following)
        nodes[0].send(1)
        for each in nodes:
            each.value()

    warm_up, laps = _laps(hops)
    Coro(run, warm_up).value()
    with measured(hops) as measurement:
        Coro(run, laps).value()
    return measurement.rate()


def _generators(hops: int, Coro: Any) -> Sample:
    def node(laps: int, coro: Any = None) -> Any:
        following = yield coro.receive()
        for _ in range(laps):
            following.send((yield coro.receive()))

    def run(laps: int) -> Any:
        nodes = [Coro(node, laps) for _ in range(NODES)]
        for each, following in zip(nodes, nodes[1:] + nodes[:1], strict=True):
            each.send(following)
        nodes[0].send(1)
        for each in nodes:
            yield each.finish()

    warm_up, laps = _laps(hops)
    Coro(run, warm_up).value()
    with measured(hops) as measurement:
        Coro(run, laps).value()
    return measurement.rate()


def greencoro_generators(hops: int) -> Sample:
    from greencoro import Coro

    return _generators(hops, Coro)


def greencoro_legacy(hops: int) -> Sample:
    return _generators(hops, legacy_setup.quiet().Coro)


def pycos(hops: int) -> Sample:
    pycos = pycos_setup.quiet()

    def node(laps: int, task: Any = None) -> Any:
        following = yield task.receive()
        for _ in range(laps):
            following.send((yield task.receive()))

    def run(laps: int, task: Any = None) -> Any:
        nodes = [pycos.Task(node, laps) for _ in range(NODES)]
        for each, following in zip(nodes, nodes[1:] + nodes[:1], strict=True):
            each.send(following)
        nodes[0].send(1)
        for each in nodes:
            yield each.finish()

    warm_up, laps = _laps(hops)
    pycos.Task(run, warm_up).value()
    with measured(hops) as measurement:
        pycos.Task(run, laps).value()
    return measurement.rate()


def gevent_queues(hops: int) -> Sample:
    import gevent
    from gevent.queue import Queue

    def node(laps: int, own: Any, following: Any) -> None:
        for _ in range(laps):
            following.put(own.get())

    def run(laps: int) -> None:
        queues = [Queue() for _ in range(NODES)]
        nodes = [gevent.spawn(node, laps, queues[index - 1], queues[index]) for index in range(NODES)]
        queues[0].put(1)
        gevent.joinall(nodes, raise_error=True)

    warm_up, laps = _laps(hops)
    run(warm_up)
    with measured(hops) as measurement:
        run(laps)
    return measurement.rate()


def _asyncio_queues(hops: int, make_runner: event_loops.MakeRunner) -> Sample:
    async def node(laps: int, own: asyncio.Queue[int], following: asyncio.Queue[int]) -> None:
        for _ in range(laps):
            following.put_nowait(await own.get())

    async def run(laps: int) -> None:
        queues: list[asyncio.Queue[int]] = [asyncio.Queue() for _ in range(NODES)]
        queues[0].put_nowait(1)
        await asyncio.gather(*(node(laps, queues[index - 1], queues[index]) for index in range(NODES)))

    warm_up, laps = _laps(hops)
    with make_runner() as runner:
        runner.run(run(warm_up))
        with measured(hops) as measurement:
            runner.run(run(laps))
    return measurement.rate()


def asyncio_queues(hops: int) -> Sample:
    return _asyncio_queues(hops, event_loops.standard)


def uvloop_queues(hops: int) -> Sample:
    return _asyncio_queues(hops, event_loops.uvloop)


def erlang_processes(hops: int) -> Sample:
    return erlang.measure("ring", hops).rate()


def bare_greenlets(hops: int) -> Sample:
    from greenlet import getcurrent, greenlet

    def run(laps: int) -> None:
        def node(index: int) -> None:
            getcurrent().parent.switch()
            switch_to_next = nodes[(index + 1) % NODES].switch
            for _ in range(laps):
                switch_to_next(1)

        nodes = [greenlet(functools.partial(node, index)) for index in range(NODES)]
        # All from here: one that is started by another counts as deeper in recursion than that.
        for each in nodes:
            each.switch()
        nodes[0].switch(1)  # comes back when the first is done, and with it the last lap

    warm_up, laps = _laps(hops)
    run(warm_up)
    with measured(hops) as measurement:
        run(laps)
    return measurement.rate()


QUESTION = Question(
    name="local.ring",
    text="how many times a second is a token passed on in a ring of 1000 coroutines?",
    unit="hops/s",
    better="more",
    sides=(
        Side("greencoro", greencoro, Counts(1_000_000, 300_000, 2000), "a coroutine a node, send and receive"),
        Side(
            "greencoro generators",
            greencoro_generators,
            Counts(1_000_000, 300_000, 2000),
            "the same, as generator functions: yield coro.receive()",
        ),
        Side(
            "greencoro legacy",
            greencoro_legacy,
            Counts(1_000_000, 300_000, 2000),
            "the same generator functions, with asyncoro's Coro",
        ),
        Side(
            "pycos",
            pycos,
            Counts(300_000, 100_000, 2000),
            "a task a node, send and yield receive; without its network, which would only cost",
            package="pycos",
        ),
        Side("gevent", gevent_queues, Counts(300_000, 100_000, 2000), "a greenlet and a gevent.queue.Queue a node"),
        Side("asyncio", asyncio_queues, Counts(300_000, 100_000, 2000), "a task and a Queue a node; standard loop"),
        Side("uvloop", uvloop_queues, Counts(300_000, 100_000, 2000), "as asyncio, in uvloop's loop", package="uvloop"),
        Side("Erlang", erlang_processes, Counts(2_000_000, 1_000_000, 2000), erlang.SETUP, program=erlang.PROGRAM),
        Side(
            "floor",
            bare_greenlets,
            Counts(2_000_000, 500_000, 2000),
            "bare greenlets, each of which switches to the next; no mailbox, no hub",
        ),
    ),
    targets=(
        Target("greencoro", "pycos", "at least", 3.0),
        Target("greencoro generators", "pycos"),
        Target("greencoro legacy", "pycos", "at least", 2.5),
        Target("greencoro", "uvloop"),
        Target("greencoro", "Erlang"),
    ),
)

if __name__ == "__main__":
    side.main(QUESTION)
