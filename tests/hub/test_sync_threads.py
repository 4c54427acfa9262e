"""Coroutines and threads on the same locks at once: whatever the order of events, the promises hold."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greencoro import Coro, sleep
from greencoro.hub.sync import Condition, Event, Lock, RLock, Semaphore
from tests.hub.conftest import Run
from tests.support.polling import poll_until

pytestmark = pytest.mark.usefixtures("frequent_switches")


class Actors:
    """Coroutines and threads, some of each, that end together; `join` raises what one of them raised."""

    def __init__(self) -> None:
        self._ends: list[Callable[[], Any]] = []
        self._errors: list[BaseException] = []

    def start(self, kind: str, function: Callable[[], None]) -> None:
        if kind == "coroutine":
            coro = Coro(function)
            self._ends.append(lambda: coro.value(20))
        else:
            thread = threading.Thread(target=self._run, args=(function,), daemon=True)
            thread.start()

            def end() -> None:
                thread.join(20)
                assert not thread.is_alive(), "a wake-up was lost"

            self._ends.append(end)

    def _run(self, function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as error:
            self._errors.append(error)

    def join(self) -> None:
        for end in self._ends:
            end()
        for error in self._errors:
            raise error


@pytest.mark.parametrize("make", [Lock, RLock, Condition, Semaphore])
def test_one_at_a_time_is_inside(make: Any) -> None:
    lock, actors = make(), Actors()
    count = inside = 0

    def work() -> None:
        nonlocal count, inside
        for number in range(200):
            with lock:
                inside += 1
                before = count
                if number % 10 == 0:
                    sleep()  # the others come to run while this one holds it
                count = before + 1
                assert inside == 1
                inside -= 1

    for kind in ("coroutine", "thread") * 2:
        actors.start(kind, work)
    actors.join()
    assert count == 4 * 200
    assert lock.acquire(False)


def test_a_queue_made_of_a_condition_loses_nothing() -> None:
    condition, actors = Condition(), Actors()
    queue: list[int] = []
    taken: list[int] = []

    def produce(first: int) -> None:
        for number in range(first, first + 200):
            with condition:
                queue.append(number)
                condition.notify()

    def consume() -> None:
        for _ in range(200):
            with condition:
                while not queue:
                    condition.wait()
                taken.append(queue.pop(0))

    for number, kind in enumerate(("coroutine", "thread")):
        actors.start(kind, consume)
        actors.start(kind, lambda first=200 * number: produce(first))  # type: ignore[misc]
    actors.join()
    assert sorted(taken) == list(range(400))


def test_turns_are_passed_by_events() -> None:
    actors, rounds = Actors(), 200
    events, order = [Event(), Event()], []

    def play(me: int) -> None:
        for _ in range(rounds):
            assert events[me].wait(20)
            events[me].clear()
            order.append(me)
            events[1 - me].set()

    actors.start("coroutine", lambda: play(0))
    actors.start("thread", lambda: play(1))
    events[0].set()
    actors.join()
    assert order == [0, 1] * rounds


def test_turns_are_passed_by_semaphores() -> None:
    actors, rounds = Actors(), 200
    turns, order = [Semaphore(1), Semaphore(0)], []

    def play(me: int) -> None:
        for _ in range(rounds):
            assert turns[me].acquire(timeout=20)
            order.append(me)
            turns[1 - me].release()

    actors.start("coroutine", lambda: play(0))
    actors.start("thread", lambda: play(1))
    actors.join()
    assert order == [0, 1] * rounds


@dataclass(frozen=True)
class Step:
    """What an actor does next; `pause`: it gives way while it holds what it got."""

    what: str
    pause: bool


STEPS = st.builds(
    Step,
    what=st.sampled_from(["lock", "try", "hurry", "again", "semaphore", "hurry semaphore", "produce", "wait a moment"]),
    pause=st.booleans(),
)
ACTORS = st.lists(st.tuples(st.sampled_from(["coroutine", "thread"]), st.lists(STEPS, max_size=8)), max_size=5)
VICTIMS = st.lists(st.sampled_from(["lock", "semaphore", "condition"]), max_size=3)


class World:
    """What the actors share, and the invariants."""

    def __init__(self, permits: int) -> None:
        self.lock, self.semaphore, self.condition = RLock(), Semaphore(permits), Condition(Lock())
        self.permits = permits
        self.inside: list[object] = []
        self.holding: list[object] = []
        self.items: list[int] = []

    def do(self, step: Step) -> None:
        match step.what:
            case "lock":
                self.alone(step.pause)
            case "try":
                if self.lock.acquire(False):
                    self.alone(step.pause)
                    self.lock.release()
            case "hurry":
                if self.lock.acquire(timeout=0.0003):
                    self.alone(step.pause)
                    self.lock.release()
            case "again":
                with self.lock:
                    self.alone(step.pause)
            case "semaphore":
                with self.semaphore:
                    self.one_of_few(step.pause)
            case "hurry semaphore":
                if self.semaphore.acquire(timeout=0.0003):
                    self.one_of_few(step.pause)
                    self.semaphore.release()
            case "produce":
                with self.condition:
                    self.items.append(1)
                    self.condition.notify()
            case "wait a moment":
                with self.condition:
                    # Whatever it is told by a notification is meant for a consumer as well.
                    if self.condition.wait(0.0003):
                        self.condition.notify()

    def alone(self, pause: bool) -> None:
        with self.lock:
            me = object()
            self.inside.append(me)
            if pause:
                sleep()
            assert self.inside == [me]
            self.inside.remove(me)

    def one_of_few(self, pause: bool) -> None:
        me = object()
        self.holding.append(me)
        if pause:
            sleep()
        assert len(self.holding) <= self.permits
        self.holding.remove(me)

    def consume(self) -> None:
        with self.condition:
            self.condition.wait_for(lambda: self.items)
            self.items.pop()

    def suffer(self, where: str) -> None:
        """Wait for ever for one thing after the other, until terminated."""
        while True:
            if where == "condition":
                with self.condition:
                    self.condition.wait()
                    self.condition.notify()
            else:
                with self.lock if where == "lock" else self.semaphore:
                    sleep()


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(permits=st.integers(1, 3), actors=ACTORS, victims=VICTIMS, consumers=st.sampled_from(["coroutine", "thread"]))
def test_random_programs_keep_the_invariants(
    permits: int, actors: list[tuple[str, list[Step]]], victims: list[str], consumers: str
) -> None:
    world, running = World(permits), Actors()
    suffering = [Coro(world.suffer, where) for where in victims]
    for _ in range(sum(step.what == "produce" for _, steps in actors for step in steps)):
        running.start(consumers, world.consume)
    for kind, steps in actors:
        running.start(kind, lambda steps=steps: [world.do(step) for step in steps])  # type: ignore[misc]
    for coro in suffering:
        coro.terminate()
    running.join()
    poll_until(lambda: not any(coro.is_alive() for coro in suffering), interval=0.0005)
    assert world.items == [], "every item was consumed"
    assert world.lock.acquire(False) and world.condition.acquire(False)
    assert [world.semaphore.acquire(False) for _ in range(permits + 1)] == [True] * permits + [False]
    assert not world.lock._waiters and not world.semaphore._waiters and not world.condition._waiters
    world.lock.release()
    world.condition.release()


@pytest.mark.parametrize("patched", [False, True])
def test_all_places_of_a_program_share_them(run: Run, patched: bool) -> None:
    ended = run(
        """
        import gevent
        from greencoro.hub.sync import Condition, Event, Lock, Semaphore
        lock, semaphore, condition, start = Lock(), Semaphore(2), Condition(), Event()
        count, items, taken = 0, [], []
        def work():
            global count
            assert start.wait(10)
            for number in range(50):
                with lock:
                    seen = count
                    sleep(0.0001)
                    count = seen + 1
                with semaphore, condition:
                    items.append(number)
                    condition.notify()
                with condition:
                    while not items:
                        condition.wait()
                    taken.append(items.pop())
        def greenlets():
            gevent.joinall([gevent.spawn(work), gevent.spawn(work)], raise_error=True)
        coros = [Coro(work), Coro(greenlets)]
        native_threads = [native.Thread(work, "worker"), native.Thread(greenlets, "hub")]
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in native_threads + threads:
            thread.start()
        sleep(0.01)
        start.set()
        work()
        for coro in coros:
            coro.value(10)
        # Those first: in a patched process they are greenlets of this thread, which `native.Thread.join` blocks.
        for thread in threads + native_threads:
            thread.join(10)
        print(count, len(items), sum(taken), lock.acquire(False))
        """,
        patched=patched,
    )
    assert (ended.status, ended.out) == (0, f"{9 * 50} 0 {9 * sum(range(50))} True\n"), ended.err
