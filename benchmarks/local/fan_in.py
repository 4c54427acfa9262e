"""How many messages a second does one coroutine get from 100 others?

Each of the 100 sends its share without waiting, the other one takes them all. No order among the systems in how far
senders run ahead is forced: it is each scheduler's own matter.
"""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks import pycos_setup, side
from benchmarks.local import erlang, event_loops
from benchmarks.measure import measured
from benchmarks.question import Counts, Question, Sample, Side, Target

SENDERS = 100


def greencoro(messages: int) -> Sample:
    from greencoro import Coro

    def receiver(count: int, coro: Any = None) -> None:
        for _ in range(count):
            coro.receive()

    def sender(receiver: Any, count: int) -> None:
        for _ in range(count):
            receiver.send(1)

    def run(each: int) -> None:
        receiving = Coro(receiver, each * SENDERS)
        for _ in range(SENDERS):
            Coro(sender, receiving, each)
        receiving.value()

    Coro(run, messages // SENDERS // 10).value()
    with measured(messages) as measurement:
        Coro(run, messages // SENDERS).value()
    return measurement.rate()


def greencoro_generators(messages: int) -> Sample:
    from greencoro import Coro

    def receiver(count: int, coro: Any = None) -> Any:
        for _ in range(count):
            yield coro.receive()

    def sender(receiver: Any, count: int) -> Any:
        yield
        for _ in range(count):
            receiver.send(1)

    def run(each: int) -> Any:
        receiving = Coro(receiver, each * SENDERS)
        for _ in range(SENDERS):
            Coro(sender, receiving, each)
        yield receiving.finish()

    Coro(run, messages // SENDERS // 10).value()
    with measured(messages) as measurement:
        Coro(run, messages // SENDERS).value()
    return measurement.rate()


def pycos(messages: int) -> Sample:
    pycos = pycos_setup.quiet()

    def receiver(count: int, task: Any = None) -> Any:
        for _ in range(count):
            yield task.receive()

    def sender(receiver: Any, count: int, task: Any = None) -> Any:
        yield
        for _ in range(count):
            receiver.send(1)

    def run(each: int, task: Any = None) -> Any:
        receiving = pycos.Task(receiver, each * SENDERS)
        for _ in range(SENDERS):
            pycos.Task(sender, receiving, each)
        yield receiving.finish()

    pycos.Task(run, messages // SENDERS // 10).value()
    with measured(messages) as measurement:
        pycos.Task(run, messages // SENDERS).value()
    return measurement.rate()


def gevent_queues(messages: int) -> Sample:
    import gevent
    from gevent.queue import Queue

    def receiver(queue: Any, count: int) -> None:
        for _ in range(count):
            queue.get()

    def sender(queue: Any, count: int) -> None:
        for _ in range(count):
            queue.put(1)

    def run(each: int) -> None:
        queue = Queue()
        receiving = gevent.spawn(receiver, queue, each * SENDERS)
        for _ in range(SENDERS):
            gevent.spawn(sender, queue, each)
        receiving.get()

    run(messages // SENDERS // 10)
    with measured(messages) as measurement:
        run(messages // SENDERS)
    return measurement.rate()


def _asyncio_queues(messages: int, make_runner: event_loops.MakeRunner) -> Sample:
    async def receiver(queue: asyncio.Queue[int], count: int) -> None:
        for _ in range(count):
            await queue.get()

    async def sender(queue: asyncio.Queue[int], count: int) -> None:
        for _ in range(count):
            queue.put_nowait(1)

    async def run(each: int) -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        senders = (sender(queue, each) for _ in range(SENDERS))
        await asyncio.gather(receiver(queue, each * SENDERS), *senders)

    with make_runner() as runner:
        runner.run(run(messages // SENDERS // 10))
        with measured(messages) as measurement:
            runner.run(run(messages // SENDERS))
    return measurement.rate()


def asyncio_queues(messages: int) -> Sample:
    return _asyncio_queues(messages, event_loops.standard)


def uvloop_queues(messages: int) -> Sample:
    return _asyncio_queues(messages, event_loops.uvloop)


def erlang_processes(messages: int) -> Sample:
    return erlang.measure("fan_in", messages).rate()


QUESTION = Question(
    name="local.fan_in",
    text="how many messages a second does one coroutine get from 100 others?",
    unit="messages/s",
    better="more",
    sides=(
        Side("greencoro", greencoro, Counts(3_000_000, 1_000_000, 2000), "send; receive"),
        Side(
            "greencoro generators",
            greencoro_generators,
            Counts(2_000_000, 500_000, 2000),
            "the same, as generator functions: yield coro.receive()",
        ),
        Side(
            "pycos",
            pycos,
            Counts(400_000, 100_000, 2000),
            "send; yield receive; without its network, which would only cost",
            package="pycos",
        ),
        Side("gevent", gevent_queues, Counts(1_000_000, 300_000, 2000), "one gevent.queue.Queue; put, get"),
        Side("asyncio", asyncio_queues, Counts(2_000_000, 500_000, 2000), "one Queue; put_nowait, get; standard loop"),
        Side(
            "uvloop", uvloop_queues, Counts(2_000_000, 500_000, 2000), "as asyncio, in uvloop's loop", package="uvloop"
        ),
        Side("Erlang", erlang_processes, Counts(3_000_000, 1_000_000, 2000), erlang.SETUP, program=erlang.PROGRAM),
    ),
    targets=(
        Target("greencoro", "pycos", "at least", 8.0),
        Target("greencoro generators", "pycos"),
        Target("greencoro", "uvloop"),
        Target("greencoro", "Erlang"),
    ),
)

if __name__ == "__main__":
    side.main(QUESTION)
