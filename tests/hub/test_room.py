"""Who waits for room."""

import os
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from greencoro import Coro
from greencoro.hub import native
from greencoro.hub.room import Room
from tests.support.polling import poll_until

from .conftest import Run
from .places import everywhere


class Box:
    """A mailbox as a room sees it."""

    def __init__(self, limit: int) -> None:
        self.queue: deque[Any] = deque()
        self.room = Room(lambda: len(self.queue), self.queue.append, limit)

    def take(self) -> Any:
        message = self.queue.popleft()
        self.room.admit()
        return message


@pytest.fixture
def box() -> Box:
    return Box(2)


def fill(box: Box) -> None:
    while box.room.offer("filler"):
        pass


def test_an_offer_is_taken_up_to_the_limit(box: Box) -> None:
    assert [box.room.offer(n) for n in range(4)] == [True, True, False, False]
    assert list(box.queue) == [0, 1]
    box.take()
    assert box.room.offer(4) is True
    assert list(box.queue) == [1, 4]


def test_an_offer_does_not_overtake_whoever_waits(box: Box) -> None:
    fill(box)
    sender = box.room.enter("waited")
    assert sender is not None
    box.queue.popleft()  # there is room, and nobody said so yet
    assert box.room.offer("overtakes") is False
    box.room.admit()
    assert box.room.leave(sender)
    assert list(box.queue) == ["filler", "waited"]


def test_who_waits_is_let_in_in_turn_as_far_as_there_is_room(box: Box) -> None:
    fill(box)
    senders = [box.room.enter(n) for n in range(4)]
    assert [sender.accepted for sender in senders if sender] == [None] * 4
    box.take()
    assert [sender.accepted for sender in senders if sender] == [True, None, None, None]
    box.take()
    assert list(box.queue) == [0, 1]
    box.room.limit = 5
    assert [sender.accepted for sender in senders if sender] == [True] * 4
    assert list(box.queue) == [0, 1, 2, 3]
    assert all(sender.changed.done for sender in senders if sender)


def test_who_enters_where_there_is_room_is_let_in_at_once(box: Box) -> None:
    sender = box.room.enter("message")
    assert sender is not None and sender.accepted and sender.changed.done
    assert box.room.leave(sender) and list(box.queue) == ["message"]


def test_who_leaves_takes_the_message_back(box: Box) -> None:
    fill(box)
    first, second = box.room.enter(1), box.room.enter(2)
    assert first is not None and second is not None
    assert box.room.leave(first) is False
    box.take(), box.take()
    assert list(box.queue) == [2]
    assert box.room.leave(second) is True


def test_who_leaves_once_let_in_is_told_that_the_message_went_in(box: Box) -> None:
    fill(box)
    sender = box.room.enter(1)
    assert sender is not None
    box.take()
    assert box.room.leave(sender) is True
    assert list(box.queue) == ["filler", 1]


def test_who_waits_without_a_message_puts_nothing_in(box: Box) -> None:
    fill(box)
    sender = box.room.enter()
    assert sender is not None
    box.take()
    assert sender.accepted and list(box.queue) == ["filler"]


def test_a_message_may_be_anything(box: Box) -> None:
    for message in (None, (), (1, 2), False):
        sender = box.room.enter(message)
        assert sender is not None and sender.accepted
        assert box.take() is message or message == ()


@everywhere
def test_waiting_ends_with_room_or_with_the_time_anywhere(place: Any, box: Box) -> None:
    Coro(lambda: None).value(10)
    fill(box)
    assert place(lambda: box.room.wait(0, "message")) is False
    assert place(lambda: box.room.wait(-1, "message")) is False
    assert place(lambda: box.room.wait(0.01, "message")) is False
    assert list(box.queue) == ["filler", "filler"] and not box.room._waiting

    def take_when_somebody_waits() -> None:
        poll_until(lambda: box.room._waiting)
        box.take()

    taker = native.Thread(take_when_somebody_waits, "taker")
    taker.start()
    assert place(lambda: box.room.wait(20, "message")) is True
    assert taker.join(10)
    assert list(box.queue) == ["filler", "message"]


def test_without_time_it_is_let_in_where_there_is_room(box: Box) -> None:
    assert box.room.wait(0, "message") is True
    assert list(box.queue) == ["message"]


def test_to_twice_the_limit_may_be_overdrawn(box: Box) -> None:
    assert [box.room.overdraw(n) for n in range(6)] == [False, False, True, True, None, None]
    assert list(box.queue) == [0, 1, 2, 3]
    assert box.room.offer("more") is False


def test_once_closed_nothing_goes_in_and_nobody_waits(box: Box) -> None:
    fill(box)
    senders = [box.room.enter(n) for n in range(3)]
    box.queue.clear()
    box.room.close()
    for sender in senders:
        assert sender is not None and sender.accepted is False and sender.changed.done
        assert box.room.leave(sender) is False
    assert box.room.offer("late") is False
    assert box.room.overdraw("late") is None
    assert box.room.enter("late") is None
    assert box.room.wait(20, "late") is False
    box.room.admit()
    box.room.limit = 100
    assert not box.queue


class Interrupted(Box):
    """Does something else, once, when it is asked for its size: in the middle of all that a room does."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.room = Room(self._size, self.queue.append, limit)
        self.also: Callable[[], object] | None = None
        self.results: list[object] = []

    def _size(self) -> int:
        size = len(self.queue)
        if self.also is not None:
            also, self.also = self.also, None
            self.results.append(also())
        return size


def test_B2_who_interrupts_another_at_the_same_room_finds_its_place_taken() -> None:
    box = Interrupted(2)
    assert box.room.offer(0)
    for put in (box.room.offer, box.room.enter):
        box.also = lambda: (box.room.offer("interrupts"), box.room.wait(20, "waits"), box.room.overdraw("beyond"))
        assert put("takes the last place")
        assert list(box.queue) == [0, "beyond", "takes the last place"]
        assert box.results.pop() == (False, False, True) and not box.room._waiting
        box.queue.remove("beyond")
        box.queue.pop()
    assert box.room._entering == 0


def test_who_interrupts_another_puts_its_message_in_where_there_is_room_for_both() -> None:
    box = Interrupted(3)
    box.also = lambda: (box.room.offer(1), box.room.wait(20, 2))
    assert box.room.offer(3)
    assert (list(box.queue), box.results) == ([1, 2, 3], [(True, True)])


def test_one_that_interrupts_the_letting_in_and_leaves_or_closes_leaves_all_in_order() -> None:
    box = Interrupted(1)
    fill(box)  # type: ignore[arg-type]
    first, second = box.room.enter(1), box.room.enter(2)
    assert first is not None and second is not None
    box.also = lambda: box.room.leave(first)
    box.take()
    assert list(box.queue) == [2] and not box.room.leave(first) and box.room.leave(second)
    third = box.room.enter(3)
    assert third is not None
    box.also = box.room.close
    box.take()
    assert not box.queue and third.changed.done and not box.room.leave(third)


def test_what_interrupts_with_an_exception_keeps_no_place() -> None:
    box = Interrupted(1)
    box.also = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        box.room.offer(1)
    box.also = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        box.room.wait(20, 2)
    assert not box.queue and not box.room._waiting
    assert box.room.offer(3) and list(box.queue) == [3]


@pytest.mark.parametrize("limit", [1, 10**9])
def test_a_signal_handler_may_send_where_the_main_thread_sends(limit: int, run: Run) -> None:
    ended = run(f"""
        from greencoro.hub.channel import Channel
        def count(coro):
            got = 0
            while coro.receive() is not None:
                got += 1
            return got
        counter = Coro(count)
        counter.max_mailbox = {limit}
        channel = Channel("news")
        channel.subscribe(counter)
        accepted, sending = [], []
        def send(number, frame):
            if not sending:
                sending.append(1)
                accepted.append(counter.send("by the handler") + 1)
                accepted.append(channel.deliver("by the handler", 5))
                sending.clear()
        signal.signal(signal.SIGALRM, send)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0003)
        end = time.monotonic() + 1
        while time.monotonic() < end:
            accepted.append(counter.send("by the main thread") + 1)
        signal.setitimer(signal.ITIMER_REAL, 0)
        counter.put_past_limit(None)
        print(counter.value(10) == sum(accepted))
    """)
    assert (ended.status, ended.out) == (0, "True\n"), ended.err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_that_is_forked_while_another_thread_is_at_a_room_may_use_its_own(run: Run) -> None:
    ended = run("""
        from greencoro.hub import room
        inside, over = native.Event(), native.Event()
        def hold():
            with room._guard:
                inside.set()
                over.wait(10)
        thread = native.Thread(hold, "holds it")
        thread.start()
        inside.wait(10)
        child = os.fork()
        if not child:
            signal.alarm(5)
            queue = []
            os._exit(7 if room.Room(lambda: 0, queue.append, 1).offer(1) and queue == [1] else 1)
        over.set()
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """)
    assert (ended.status, ended.out) == (0, "7\n"), ended.err


@pytest.mark.usefixtures("frequent_switches")
def test_B2_of_many_threads_none_gets_in_beyond_the_limit_and_each_message_once(box: Box) -> None:
    senders, each = 6, 300
    refused: list[tuple[int, int]] = []
    accepted: list[tuple[int, int]] = []
    over = native.Event()
    too_many: list[int] = []
    got: list[tuple[int, int]] = []

    def send(sender: int) -> None:
        for number in range(each):
            went_in = box.room.wait((None, 0.0001, 0)[number % 3], (sender, number))
            (accepted if went_in else refused).append((sender, number))

    def take() -> None:
        while not over.is_set() or box.queue:
            if len(box.queue) > 2:
                too_many.append(len(box.queue))
            if box.queue:
                got.append(box.take())
            else:
                native.sleep(0)

    taker = native.Thread(take, "taker")
    threads = [native.Thread(lambda sender=sender: send(sender), "sender") for sender in range(senders)]
    for thread in [taker, *threads]:
        thread.start()
    assert all(thread.join(20) for thread in threads)
    over.set()
    assert taker.join(20)
    assert not too_many
    assert sorted(got) == sorted(accepted)
    assert not set(got) & set(refused) and len(accepted) + len(refused) == senders * each
    for sender in range(senders):
        numbers = [number for who, number in got if who == sender]
        assert numbers == sorted(numbers)
