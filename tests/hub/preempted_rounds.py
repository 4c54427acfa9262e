"""A program: coroutines that take and give back things without end are terminated at random instants.

After each the things must be whole: no lock taken, modules imported in full, others' sleeps going on. Prints what was
found broken, and how many rounds each activity had.
"""

if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()

import collections
import contextlib
import importlib
import io
import logging
import multiprocessing
import queue
import random
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gevent.lock import BoundedSemaphore

import greencoro
from greencoro import Coro
from greencoro.hub import native
from tests.hub.preempted import Ticker, computing, pause_at_random, poll, serve, wait_for_end

LOCKS: dict[str, Any] = {
    "threading.Lock": threading.Lock(),
    "threading.RLock": threading.RLock(),
    "threading.Condition": threading.Condition(),
    "threading.Semaphore": threading.Semaphore(),
    "greencoro.Lock": greencoro.Lock(),
    "greencoro.RLock": greencoro.RLock(),
    "gevent.lock.BoundedSemaphore": BoundedSemaphore(),
    "multiprocessing.Lock": multiprocessing.Lock(),
    "a lock of C": native.Lock(),
}
LOG = logging.getLogger("rounds")
QUEUE: queue.Queue[int] = queue.Queue()


def work() -> None:
    for _ in range(random.randrange(20)):
        len([])


class Own:
    """A context manager of the program's own around a lock."""

    def __init__(self, lock: Any) -> None:
        self.lock = lock

    def __enter__(self) -> None:
        work()
        self.lock.acquire()
        work()

    def __exit__(self, *error: object) -> None:
        work()
        self.lock.release()
        work()


@contextlib.contextmanager
def own(lock: Any) -> Iterator[None]:
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def take(lock: Any, inner: Callable[[], None] = work) -> None:
    with lock:
        inner()
    lock.acquire()
    try:
        inner()
    finally:
        lock.release()
    with Own(lock):
        inner()
    with own(lock):
        inner()


def log() -> None:
    LOG.warning("a line of %s", "some")


def import_again() -> None:
    sys.modules.pop("imported_again", None)
    importlib.invalidate_caches()
    import imported_again  # type: ignore[import-not-found]

    assert imported_again.last == 1
    for _ in range(50):
        work()


def put() -> None:
    QUEUE.put(1)
    QUEUE.get()


class Sink:
    """Who gets messages: numbers, one after the other."""

    def __init__(self) -> None:
        self.next = 0
        self.gaps = 0
        self.coro = Coro(self._take)

    def _take(self) -> None:
        while True:
            number = Coro.current().receive()
            self.gaps += number != self.next
            self.next = number + 1


class Rounds:
    def __init__(self) -> None:
        self.sink = Sink()
        self.sent = 0
        self.ticker = Ticker()
        self.done: collections.Counter[str] = collections.Counter()
        self.broken: list[str] = []
        self.activities: dict[str, Callable[[], None]] = {
            **{name: self._taking(lock) for name, lock in LOCKS.items()},
            "logging": log,
            "importing": import_again,
            "queue.Queue": put,
            "sending": self._send,
            "all": self._all,
        }

    def _taking(self, lock: Any) -> Callable[[], None]:
        return lambda: take(lock)

    def _send(self) -> None:
        self.sent += self.sink.coro.send(self.sent) == 0

    def _all(self) -> None:
        for lock in LOCKS.values():
            take(lock, log)
        import_again()
        put()

    def run(self, count: int) -> dict[str, Any]:
        names = list(self.activities)
        for number in range(count):
            self.round(names[number % len(names)], as_generator=number % 3 == 2)
        return {"broken": self.broken, "done": self.done}

    def round(self, name: str, as_generator: bool) -> None:
        before = self.ticker.count
        coro = computing(_for_ever_yielding if as_generator else _for_ever, self.activities[name])
        pause_at_random(0.01)
        assert coro.terminate() == 0
        ended = wait_for_end(coro)
        self.done[name] += 1
        poll(lambda: self.ticker.count > before, "others go on")
        broken = Coro(self._look).value(10)
        if ended != "terminated":
            broken.append(f"it ended as {ended}: {coro.notice().error!r}")
        self.broken += [f"{name}: {what}" for what in broken]

    def _look(self) -> list[str]:
        broken = []
        for name, lock in LOCKS.items():
            if lock.acquire(False):
                lock.release()
            else:
                broken.append(f"{name} is taken")
        for handler in LOG.handlers:
            if handler.lock.acquire(False):
                handler.lock.release()
            else:
                broken.append("the lock of a handler of logging is taken")
        import_again()
        while not QUEUE.empty():
            QUEUE.get_nowait()
        put()
        greencoro.sleep()
        if self.sink.gaps:
            broken.append(f"{self.sink.gaps} gaps between messages")
        return broken


def _for_ever(began: Callable[[], object], activity: Callable[[], None]) -> None:
    began()
    while True:
        activity()


def _for_ever_yielding(began: Callable[[], object], activity: Callable[[], None]) -> Any:
    began()
    _for_ever(began, activity)
    yield


def main() -> None:
    count, directory = int(sys.argv[1]), Path(sys.argv[2])
    # Half done, it has other names than in full.
    lines = ["first = 1", *(f"value{number} = len(str({number}))" for number in range(50)), "last = 1"]
    (directory / "imported_again.py").write_text("\n".join(lines))
    sys.path.insert(0, str(directory))
    LOG.addHandler(logging.StreamHandler(io.StringIO()))
    LOG.propagate = False
    serve(lambda: Rounds().run(count), after=0.002)


if __name__ == "__main__":
    main()
