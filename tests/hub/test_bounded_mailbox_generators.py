"""A generator coroutine never waits in `send`: B2 has it wait at its next ``yield``."""

from collections.abc import Iterator
from typing import Any

import pytest

from greencoro import Channel, Coro, CoroTerminated, sleep
from tests.support.polling import poll_until


def full(limit: int) -> Coro:
    def waits(coro: Any) -> None:
        while coro.suspend() != "end":
            coro.receive(0)  # where it waited, nobody could end it

    coro = Coro(waits)
    coro.max_mailbox = limit
    for _ in range(limit):
        assert coro.send("from before") == 0
    return coro


def end(coro: Coro) -> None:
    poll_until(lambda: coro.resume("end") == -1, what="it has ended")


YIELDS = {
    "nothing": lambda coro: None,
    "a value": lambda coro: 5,
    "a wait": lambda coro: coro.sleep(0.001),
    "a queued message": lambda coro: coro.receive(),
}


@pytest.mark.parametrize("value", YIELDS.values(), ids=YIELDS)
def test_B2_a_generator_sends_up_to_twice_the_limit_and_waits_at_its_next_yield(value: Any) -> None:
    box = full(3)
    results: list[int] = []
    passed: list[str] = []

    def sends(coro: Any = None) -> Iterator[Any]:
        coro.send("for the yield")
        for number in range(5):
            results.append(box.send(number))
        yield value(coro)
        passed.append("the yield")

    coro = Coro(sends)
    poll_until(lambda: len(results) == 5)
    assert results == [0, 0, 0, -1, -1]
    for left in (5, 4, 3):
        assert not passed and coro.is_alive()
        box.resume()
        poll_until(lambda left=left: len(box._mailbox) == left)
    assert not passed
    box.resume()
    coro.value(10)
    assert passed == ["the yield"]
    end(box)


def test_B2_a_generator_that_receives_over_and_over_waits_as_well() -> None:
    box = full(1)
    sent: list[int] = []

    def forwards(coro: Any = None) -> Iterator[Any]:
        while True:
            message = yield coro.receive()
            sent.append(box.send(message))

    coro = Coro(forwards)
    for number in range(10):
        coro.send(number)
    poll_until(lambda: sent == [0])
    Coro(lambda: [sleep(0) for _ in range(50)]).value(10)
    assert sent == [0]
    sizes: list[int] = []

    def drains() -> bool:
        box.resume()
        sizes.append(len(box._mailbox))
        return len(sent) == 10

    poll_until(drains)
    assert set(sent) == {0}
    assert max(sizes) <= 2
    coro.terminate()
    with pytest.raises(CoroTerminated):
        coro.value(10)
    end(box)


def test_B2_a_generator_that_waits_for_room_can_be_ended_and_goes_on_where_the_receiver_is_over() -> None:
    def sends(box: Coro) -> Iterator[Any]:
        box.send("beyond")
        yield
        return "went on"

    first, second = full(1), full(1)
    waits, goes_on = Coro(sends, first), Coro(sends, second)
    poll_until(lambda: len(first._mailbox) == len(second._mailbox) == 2)
    waits.terminate()
    with pytest.raises(CoroTerminated):
        waits.value(10)
    end(second)
    assert goes_on.value(10) == "went on"
    end(first)


def test_B2_a_generator_does_not_wait_in_a_channels_send() -> None:
    channel = Channel("to full ones")
    boxes = [full(1), full(1)]
    for box in boxes:
        channel.subscribe(box)

    def sends() -> Iterator[Any]:
        sizes = []
        for number in range(3):
            channel.send(number)
            sizes.append([len(box._mailbox) for box in boxes])
        return sizes
        yield

    assert Coro(sends).value(10) == [[2, 2], [2, 2], [2, 2]]
    for box in boxes:
        end(box)


def test_B2_a_generator_that_filled_several_mailboxes_waits_for_room_in_all_of_them() -> None:
    boxes = [full(1) for _ in range(3)]
    passed: list[str] = []

    def sends() -> Iterator[Any]:
        for box in boxes:
            box.send("beyond")
        yield
        passed.append("the yield")

    coro = Coro(sends)
    poll_until(lambda: sum(len(box._mailbox) for box in boxes) == 6)
    for box in reversed(boxes):
        Coro(lambda: [sleep(0) for _ in range(20)]).value(10)
        assert not passed
        for left in (1, 0):
            poll_until(lambda box=box: box._suspension is not None)
            box.resume()
            poll_until(lambda box=box, left=left: len(box._mailbox) == left)
    coro.value(10)
    for box in boxes:
        end(box)
