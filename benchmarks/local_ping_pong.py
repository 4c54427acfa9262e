"""How many messages a second do two coroutines of one process exchange?

Each waits for the other's message before it sends its own. Both are coroutines of the system under measurement; the
script's main thread waits for their end. A first tenth, unmeasured, warms up.
"""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks import pycos_setup, side
from benchmarks.measure import measured
from benchmarks.question import Counts, Question, Sample, Side, Target


def greencoro(messages: int) -> Sample:
    from greencoro.hub.coroutine import Coro

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


def asyncio_queues(messages: int) -> Sample:
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

    asyncio.run(run(messages // 20))
    with measured(messages) as measurement:
        asyncio.run(run(messages // 2))
    return measurement.rate()


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
    name="local_ping_pong",
    text="how many messages a second do two coroutines of one process exchange?",
    unit="messages/s",
    better="more",
    sides=(
        Side("greencoro", greencoro, Counts(1_000_000, 300_000, 2000), "two coroutines, send and receive"),
        Side(
            "pycos",
            pycos,
            Counts(400_000, 100_000, 2000),
            "two tasks, send and yield receive; without its network, which would only cost",
            package="pycos",
        ),
        Side("asyncio", asyncio_queues, Counts(400_000, 100_000, 2000), "two tasks, two asyncio.Queue; standard loop"),
        Side(
            "floor",
            bare_greenlets,
            Counts(2_000_000, 500_000, 2000),
            "two bare greenlets that switch to each other, a value each way; no mailbox, no hub",
        ),
    ),
    targets=(Target("greencoro", "pycos", "at least", 2.5), Target("greencoro", "asyncio")),
)

if __name__ == "__main__":
    side.main(QUESTION)
