"""How many deliveries a second does a channel with 100 subscribers come to?

A message is sent to all, and the next one when the last subscriber has answered: so all of them have to be woken for
each message. Systems without channels have a loop over the subscribers' queues.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from benchmarks import pycos_setup, side
from benchmarks.local import erlang, event_loops
from benchmarks.measure import measured
from benchmarks.question import Counts, Question, Sample, Side, Target

SUBSCRIBERS = 100

# A name is a channel's for as long as it is open.
_names = (f"all-{number}" for number in itertools.count())


def greencoro(deliveries: int) -> Sample:
    from greencoro import Channel, Coro

    def subscriber(messages: int, publisher: Any, coro: Any = None) -> None:
        for _ in range(messages):
            coro.receive()
            if publisher is not None:
                publisher.send(1)

    def run(messages: int, coro: Any = None) -> None:
        channel = Channel(next(_names))
        subscribers = [Coro(subscriber, messages, None) for _ in range(SUBSCRIBERS - 1)]
        subscribers.append(Coro(subscriber, messages, coro))
        for each in subscribers:
            channel.subscribe(each)
        for _ in range(messages):
            channel.send(1)
            coro.receive()
        for each in subscribers:
            each.value()
        channel.close()

    Coro(run, deliveries // SUBSCRIBERS // 10).value()
    with measured(deliveries) as measurement:
        Coro(run, deliveries // SUBSCRIBERS).value()
    return measurement.rate()


def greencoro_generators(deliveries: int) -> Sample:
    from greencoro import Channel, Coro

    def subscriber(messages: int, publisher: Any, coro: Any = None) -> Any:
        for _ in range(messages):
            yield coro.receive()
            if publisher is not None:
                publisher.send(1)

    def run(messages: int, coro: Any = None) -> Any:
        channel = Channel(next(_names))
        subscribers = [Coro(subscriber, messages, None) for _ in range(SUBSCRIBERS - 1)]
        subscribers.append(Coro(subscriber, messages, coro))
        for each in subscribers:
            yield channel.subscribe(each)
        for _ in range(messages):
            channel.send(1)
            yield coro.receive()
        for each in subscribers:
            yield each.finish()
        channel.close()

    Coro(run, deliveries // SUBSCRIBERS // 10).value()
    with measured(deliveries) as measurement:
        Coro(run, deliveries // SUBSCRIBERS).value()
    return measurement.rate()


def pycos(deliveries: int) -> Sample:
    pycos = pycos_setup.quiet()

    def subscriber(messages: int, publisher: Any, task: Any = None) -> Any:
        for _ in range(messages):
            yield task.receive()
            if publisher is not None:
                publisher.send(1)

    def run(messages: int, task: Any = None) -> Any:
        channel = pycos.Channel(next(_names))
        subscribers = [pycos.Task(subscriber, messages, None) for _ in range(SUBSCRIBERS - 1)]
        subscribers.append(pycos.Task(subscriber, messages, task))
        for each in subscribers:
            yield channel.subscribe(each)
        for _ in range(messages):
            channel.send(1)
            yield task.receive()
        for each in subscribers:
            yield each.finish()
        channel.close()

    pycos.Task(run, deliveries // SUBSCRIBERS // 10).value()
    with measured(deliveries) as measurement:
        pycos.Task(run, deliveries // SUBSCRIBERS).value()
    return measurement.rate()


def gevent_queues(deliveries: int) -> Sample:
    import gevent
    from gevent.queue import Queue

    def subscriber(messages: int, own: Any, answers: Any) -> None:
        for _ in range(messages):
            own.get()
            if answers is not None:
                answers.put(1)

    def run(messages: int) -> None:
        answers = Queue()
        queues = [Queue() for _ in range(SUBSCRIBERS)]
        subscribers = [gevent.spawn(subscriber, messages, queue, None) for queue in queues[:-1]]
        subscribers.append(gevent.spawn(subscriber, messages, queues[-1], answers))
        for _ in range(messages):
            for queue in queues:
                queue.put(1)
            answers.get()
        gevent.joinall(subscribers, raise_error=True)

    gevent.spawn(run, deliveries // SUBSCRIBERS // 10).get()
    with measured(deliveries) as measurement:
        gevent.spawn(run, deliveries // SUBSCRIBERS).get()
    return measurement.rate()


def _asyncio_queues(deliveries: int, make_runner: event_loops.MakeRunner) -> Sample:
    async def subscriber(messages: int, own: asyncio.Queue[int], answers: asyncio.Queue[int] | None) -> None:
        for _ in range(messages):
            await own.get()
            if answers is not None:
                answers.put_nowait(1)

    async def run(messages: int) -> None:
        answers: asyncio.Queue[int] = asyncio.Queue()
        queues: list[asyncio.Queue[int]] = [asyncio.Queue() for _ in range(SUBSCRIBERS)]
        subscribers = [asyncio.create_task(subscriber(messages, queue, None)) for queue in queues[:-1]]
        subscribers.append(asyncio.create_task(subscriber(messages, queues[-1], answers)))
        for _ in range(messages):
            for queue in queues:
                queue.put_nowait(1)
            await answers.get()
        await asyncio.gather(*subscribers)

    with make_runner() as runner:
        runner.run(run(deliveries // SUBSCRIBERS // 10))
        with measured(deliveries) as measurement:
            runner.run(run(deliveries // SUBSCRIBERS))
    return measurement.rate()


def asyncio_queues(deliveries: int) -> Sample:
    return _asyncio_queues(deliveries, event_loops.standard)


def uvloop_queues(deliveries: int) -> Sample:
    return _asyncio_queues(deliveries, event_loops.uvloop)


def erlang_processes(deliveries: int) -> Sample:
    return erlang.measure("broadcast", deliveries).rate()


QUESTION = Question(
    name="local.broadcast",
    text="how many deliveries a second does a channel with 100 subscribers come to?",
    unit="deliveries/s",
    better="more",
    sides=(
        Side("greencoro", greencoro, Counts(1_000_000, 300_000, 2000), "Channel, send; receive"),
        Side(
            "greencoro generators",
            greencoro_generators,
            Counts(1_000_000, 300_000, 2000),
            "the same, as generator functions: yield coro.receive()",
        ),
        Side(
            "pycos",
            pycos,
            Counts(400_000, 100_000, 2000),
            "Channel, send; yield receive; without its network, which would only cost",
            package="pycos",
        ),
        Side("gevent", gevent_queues, Counts(300_000, 100_000, 2000), "a gevent.queue.Queue a subscriber; put, get"),
        Side("asyncio", asyncio_queues, Counts(400_000, 100_000, 2000), "a Queue a subscriber; standard loop"),
        Side("uvloop", uvloop_queues, Counts(400_000, 100_000, 2000), "as asyncio, in uvloop's loop", package="uvloop"),
        Side("Erlang", erlang_processes, Counts(3_000_000, 1_000_000, 2000), erlang.SETUP, program=erlang.PROGRAM),
    ),
    targets=(
        Target("greencoro", "pycos"),
        Target("greencoro generators", "pycos"),
        Target("greencoro", "uvloop"),
        Target("greencoro", "Erlang"),
    ),
)

if __name__ == "__main__":
    side.main(QUESTION)
