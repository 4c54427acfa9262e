"""How many messages a second do two coroutines of one process exchange?

Each waits for the other's message before it sends its own. Both are coroutines of the system under measurement; the
script's main thread waits for their end. A first tenth, unmeasured, warms up.
"""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks import legacy_setup, pycos_setup, side
from benchmarks.local import erlang, event_loops
from benchmarks.measure import measured
from benchmarks.question import Counts, Question, Sample, Side, Target


def greencoro(messages: int) -> Sample:
    from greencoro import Coro

    def pong(trips: int, coro: Any = None) -> None:
        ping = coro.receive()
        for _ in range(trips):
            coro.receive()
            ping.send(1)

    def ping(pong: Any, trips: int, coro: Any = None) -> None:
        pong.send(coro)
        for _ in range(trips):
            pong.send(1)
            coro.receive()

    def run(trips: int) -> None:
        Coro(ping, Coro(pong, trips), trips).value()

    run(messages // 20)
    with measured(messages) as measurement:
        run(messages // 2)
    return measurement.rate()


def _generators(messages: int, Coro: Any) -> Sample:
    def pong(trips: int, coro: Any = None) -> Any:
        ping = yield coro.receive()
        for _ in range(trips):
            yield coro.receive()
            ping.send(1)

    def ping(pong: Any, trips: int, coro: Any = None) -> Any:
        pong.send(coro)
        for _ in range(trips):
            pong.send(1)
            yield coro.receive()

    def run(trips: int) -> None:
        Coro(ping, Coro(pong, trips), trips).value()

    run(messages // 20)
    with measured(messages) as measurement:
        run(messages // 2)
    return measurement.rate()


def greencoro_generators(messages: int) -> Sample:
    from greencoro import Coro

    return _generators(messages, Coro)


def greencoro_legacy(messages: int) -> Sample:
    return _generators(messages, legacy_setup.quiet().Coro)


def pycos(messages: int) -> Sample:
    pycos = pycos_setup.quiet()

    def pong(trips: int, task: Any = None) -> Any:
        ping = yield task.receive()
        for _ in range(trips):
            yield task.receive()
            ping.send(1)

    def ping(pong: Any, trips: int, task: Any = None) -> Any:
        pong.send(task)
        for _ in range(trips):
            pong.send(1)
            yield task.receive()

    def run(trips: int) -> None:
        pycos.Task(ping, pycos.Task(pong, trips), trips).value()

    run(messages // 20)
    with measured(messages) as measurement:
        run(messages // 2)
    return measurement.rate()


def gevent_queues(messages: int) -> Sample:
    import gevent
    from gevent.queue import Queue

    def pong(trips: int, to_ping: Any, to_pong: Any) -> None:
        for _ in range(trips):
            to_pong.get()
            to_ping.put(1)

    def ping(trips: int, to_ping: Any, to_pong: Any) -> None:
        for _ in range(trips):
            to_pong.put(1)
            to_ping.get()

    def run(trips: int) -> None:
        queues = Queue(), Queue()
        gevent.joinall([gevent.spawn(each, trips, *queues) for each in (ping, pong)], raise_error=True)

    run(messages // 20)
    with measured(messages) as measurement:
        run(messages // 2)
    return measurement.rate()


def _asyncio_queues(messages: int, make_runner: event_loops.MakeRunner) -> Sample:
    async def pong(trips: int, to_ping: asyncio.Queue[int], to_pong: asyncio.Queue[int]) -> None:
        for _ in range(trips):
            await to_pong.get()
            to_ping.put_nowait(1)

    async def ping(trips: int, to_ping: asyncio.Queue[int], to_pong: asyncio.Queue[int]) -> None:
        for _ in range(trips):
            to_pong.put_nowait(1)
            await to_ping.get()

    async def run(trips: int) -> None:
        queues: tuple[asyncio.Queue[int], asyncio.Queue[int]] = asyncio.Queue(), asyncio.Queue()
        await asyncio.gather(ping(trips, *queues), pong(trips, *queues))

    with make_runner() as runner:
        runner.run(run(messages // 20))
        with measured(messages) as measurement:
            runner.run(run(messages // 2))
    return measurement.rate()


def asyncio_queues(messages: int) -> Sample:
    return _asyncio_queues(messages, event_loops.standard)


def uvloop_queues(messages: int) -> Sample:
    return _asyncio_queues(messages, event_loops.uvloop)


def erlang_processes(messages: int) -> Sample:
    return erlang.measure("ping_pong", messages).rate()


def bare_greenlets(messages: int) -> Sample:
    from greenlet import getcurrent, greenlet

    def run(trips: int) -> None:
        def pong(_first: int) -> None:
            back = getcurrent().parent.switch
            while True:
                back(1)

        switch = greenlet(pong).switch
        for _ in range(trips):
            switch(1)

    run(messages // 20)
    with measured(messages) as measurement:
        run(messages // 2)
    return measurement.rate()


QUESTION = Question(
    name="local.ping_pong",
    text="how many messages a second do two coroutines of one process exchange?",
    unit="messages/s",
    better="more",
    sides=(
        Side("greencoro", greencoro, Counts(1_000_000, 300_000, 2000), "two coroutines, send and receive"),
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
            Counts(400_000, 100_000, 2000),
            "two tasks, send and yield receive; without its network, which would only cost",
            package="pycos",
        ),
        Side("gevent", gevent_queues, Counts(400_000, 100_000, 2000), "two greenlets, two gevent.queue.Queue"),
        Side("asyncio", asyncio_queues, Counts(400_000, 100_000, 2000), "two tasks, two asyncio.Queue; standard loop"),
        Side(
            "uvloop",
            uvloop_queues,
            Counts(400_000, 100_000, 2000),
            "as asyncio, in uvloop's loop",
            package="uvloop",
        ),
        Side("Erlang", erlang_processes, Counts(3_000_000, 1_000_000, 2000), erlang.SETUP, program=erlang.PROGRAM),
        Side(
            "floor",
            bare_greenlets,
            Counts(2_000_000, 500_000, 2000),
            "two bare greenlets that switch to each other, a value each way; no mailbox, no hub",
        ),
    ),
    targets=(
        Target("greencoro", "pycos", "at least", 2.5),
        Target("greencoro generators", "pycos"),
        Target("greencoro legacy", "pycos", "at least", 2.5),
        Target("greencoro", "uvloop"),
        Target("greencoro", "Erlang"),
    ),
)

if __name__ == "__main__":
    side.main(QUESTION)
