"""Starts, parks and ends many coroutines of each system, a phase at a time.

Each function here is a context manager that warms up and gives a `Parking`, so that the caller can look at the clock or
at the memory between the phases. A parked coroutine waits for a message of its own; what cannot be sent one by itself
has a queue for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from benchmarks import legacy_setup, pycos_setup
from benchmarks.local import erlang, event_loops
from benchmarks.question import Counts, Sample, Side

_WARM_UP = 100


@dataclass(frozen=True)
class Parking:
    """Many coroutines of one system.

    Attributes:
        start: Starts them all; returns when all of them wait.

        end: Sends each of them a message; returns when all of them are over.

        pid: The process in which they are.
    """

    start: Callable[[], object]
    end: Callable[[], object]
    pid: int


#: (how many) -> their context manager.
Park = Callable[[int], AbstractContextManager[Parking]]


def _here(count: int, start: Callable[[int], Any], end: Callable[[Any], object]) -> Parking:
    """Coroutines of this process: ``start`` returns what ``end`` needs to end them."""
    end(start(_WARM_UP))
    lots: list[Any] = []
    return Parking(lambda: lots.append(start(count)), lambda: end(lots.pop()), os.getpid())


@contextlib.contextmanager
def greencoro(count: int) -> Iterator[Parking]:
    from greencoro import Coro

    def start(count: int) -> list[Any]:
        numbers, all_wait = itertools.count(1), threading.Event()

        def wait(coro: Any = None) -> None:
            if next(numbers) == count:
                all_wait.set()
            coro.receive()

        parked: list[Any] = Coro(lambda: [Coro(wait) for _ in range(count)]).value()
        all_wait.wait()
        return parked

    def end(parked: list[Any]) -> None:
        for each in parked:
            each.send(1)
        for each in parked:
            each.value()

    yield _here(count, start, lambda parked: Coro(end, parked).value())


def _generators(count: int, Coro: Any) -> Parking:
    def start(count: int) -> list[Any]:
        numbers, all_wait = itertools.count(1), threading.Event()

        def wait(coro: Any = None) -> Any:
            if next(numbers) == count:
                all_wait.set()
            yield coro.receive()

        def start_all() -> Any:
            yield
            return [Coro(wait) for _ in range(count)]

        parked: list[Any] = Coro(start_all).value()
        all_wait.wait()
        return parked

    def end(parked: list[Any]) -> Any:
        for each in parked:
            each.send(1)
        for each in parked:
            yield each.finish()

    return _here(count, start, lambda parked: Coro(end, parked).value())


@contextlib.contextmanager
def greencoro_generators(count: int) -> Iterator[Parking]:
    from greencoro import Coro

    yield _generators(count, Coro)


@contextlib.contextmanager
def greencoro_legacy(count: int) -> Iterator[Parking]:
    yield _generators(count, legacy_setup.quiet().Coro)


@contextlib.contextmanager
def pycos(count: int) -> Iterator[Parking]:
    pycos = pycos_setup.quiet()

    def start(count: int) -> tuple[list[Any], threading.Event]:
        numbers, all_wait = itertools.count(1), threading.Event()
        ended, all_over = itertools.count(1), threading.Event()

        def wait(task: Any = None) -> Any:
            if next(numbers) == count:
                all_wait.set()
            yield task.receive()
            if next(ended) == count:
                all_over.set()

        def start_all(task: Any = None) -> Any:
            return [pycos.Task(wait) for _ in range(count)]
            yield  # makes it a generator, which pycos asks for, and is never reached

        parked: list[Any] = pycos.Task(start_all).value()
        all_wait.wait()
        return parked, all_over

    def end(lot: tuple[list[Any], threading.Event]) -> None:
        def send_all(task: Any = None) -> Any:
            for each in parked:
                each.send(1)
            return
            yield  # as above

        parked, all_over = lot
        pycos.Task(send_all)
        # Not by finish() of each: its scheduler goes through a table of the size of the largest burst at each turn, so
        # that this takes time with the square of their number (260 us each for 40,000).
        all_over.wait()

    yield _here(count, start, end)


@contextlib.contextmanager
def gevent_greenlets(count: int) -> Iterator[Parking]:
    import gevent
    from gevent.event import Event
    from gevent.queue import Queue

    def start(count: int) -> list[Any]:
        numbers, all_wait = itertools.count(1), Event()

        def wait(queue: Any) -> None:
            if next(numbers) == count:
                all_wait.set()
            queue.get()

        queues = [Queue() for _ in range(count)]
        parked = [(gevent.spawn(wait, queue), queue) for queue in queues]
        all_wait.wait()
        return parked

    def end(parked: list[Any]) -> None:
        for _, queue in parked:
            queue.put(1)
        for greenlet, _ in parked:
            greenlet.get()

    yield _here(count, start, end)


@contextlib.contextmanager
def _asyncio_tasks(count: int, make_runner: event_loops.MakeRunner) -> Iterator[Parking]:
    async def start(count: int) -> list[Any]:
        numbers, all_wait = itertools.count(1), asyncio.Event()

        async def wait(queue: asyncio.Queue[int]) -> None:
            if next(numbers) == count:
                all_wait.set()
            await queue.get()

        queues: list[asyncio.Queue[int]] = [asyncio.Queue() for _ in range(count)]
        parked = [(asyncio.create_task(wait(queue)), queue) for queue in queues]
        await all_wait.wait()
        return parked

    async def end(parked: list[Any]) -> None:
        for _, queue in parked:
            queue.put_nowait(1)
        for task, _ in parked:
            await task

    with make_runner() as runner:
        yield _here(count, lambda count: runner.run(start(count)), lambda parked: runner.run(end(parked)))


def asyncio_tasks(count: int) -> AbstractContextManager[Parking]:
    return _asyncio_tasks(count, event_loops.standard)


def uvloop_tasks(count: int) -> AbstractContextManager[Parking]:
    return _asyncio_tasks(count, event_loops.uvloop)


@contextlib.contextmanager
def erlang_processes(count: int) -> Iterator[Parking]:
    with erlang.script("park", count) as running:
        running.wait_until_ready()

        def end() -> None:
            running.wait_until_ready()
            running.take_turn()

        yield Parking(running.take_turn, end, running.pid)


@contextlib.contextmanager
def bare_greenlets(count: int) -> Iterator[Parking]:
    from greenlet import getcurrent, greenlet

    def wait() -> None:
        getcurrent().parent.switch()

    def start(count: int) -> list[Any]:
        parked = [greenlet(wait) for _ in range(count)]
        for each in parked:
            each.switch()
        return parked

    def end(parked: list[Any]) -> None:
        for each in parked:
            each.switch()

    yield _here(count, start, end)


@contextlib.contextmanager
def bare_generators(count: int) -> Iterator[Parking]:
    def wait() -> Any:
        yield

    def start(count: int) -> list[Any]:
        parked = [wait() for _ in range(count)]
        for each in parked:
            next(each)
        return parked

    def end(parked: list[Any]) -> None:
        for each in parked:
            next(each, None)

    yield _here(count, start, end)


def sides(ask: Callable[[Park, int], Sample], counts: Counts, suffix: str = "") -> tuple[Side, ...]:
    """Every system as a side whose sample is ``ask(its context manager, how many)``; ``suffix`` ends their names."""
    systems: tuple[tuple[str, Park, str, dict[str, Any]], ...] = (
        ("greencoro", greencoro, "plain functions that wait in receive()", {}),
        ("greencoro generators", greencoro_generators, "generator functions that wait in yield coro.receive()", {}),
        ("greencoro legacy", greencoro_legacy, "the same generator functions, with asyncoro's Coro", {}),
        (
            "pycos",
            pycos,
            "tasks that wait in yield task.receive(), counted as they end; without its network",
            {"package": "pycos"},
        ),
        ("gevent", gevent_greenlets, "gevent.spawn; each waits at a gevent.queue.Queue of its own", {}),
        ("asyncio", asyncio_tasks, "create_task; each waits at a Queue of its own; standard loop", {}),
        ("uvloop", uvloop_tasks, "as asyncio, in uvloop's loop", {"package": "uvloop"}),
        ("Erlang", erlang_processes, erlang.SETUP, {"program": erlang.PROGRAM}),
        ("floor greenlets", bare_greenlets, "bare greenlets, which nobody can send a message to", {}),
        ("floor generators", bare_generators, "bare generators, which nobody can send a message to", {}),
    )
    return tuple(
        Side(name + suffix, functools.partial(ask, park), counts, setup, **needs)
        for name, park, setup, needs in systems
    )
