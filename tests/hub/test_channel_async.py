"""Sending through channels on an asyncio loop: room in full mailboxes is awaited."""

import asyncio
from typing import Any

import pytest

from greencoro import Channel, Coro, WouldBlock

from .test_asyncio import full, read_all, waiting, when


def reading() -> Coro:
    return Coro(lambda coro: list(iter(coro.receive, None)))


def channel_of(*subscribers: Any) -> Channel:
    channel = Channel("news")
    for subscriber in subscribers:
        assert channel.subscribe(subscriber) == 0
    return channel


def test_a_message_goes_to_all_who_have_room_at_once() -> None:
    readers = [reading() for _ in range(3)]
    channel = channel_of(*readers)
    for message in ("news", None):
        assert asyncio.run(channel.send_async(message)) == 0
    assert [each.value(10) for each in readers] == [["news"]] * 3


def test_B2_room_in_all_full_mailboxes_is_awaited_at_once_and_the_others_have_it_before() -> None:
    async def program() -> int:
        sender = asyncio.create_task(channel.send_async("awaited"))
        await when(lambda: waiting(first) == waiting(second) == 1)
        assert len(roomy._mailbox) == 1
        assert not sender.done()
        first.resume()
        second.resume()
        return await sender

    first, second = full(), full()
    roomy = Coro(lambda coro: (coro.suspend(), coro.receive()))
    channel = channel_of(first, roomy, second)
    assert asyncio.run(program()) == 0
    assert read_all(first) == read_all(second) == ["filler", "awaited"]
    roomy.resume()
    assert roomy.value(10)[1] == "awaited"


def test_plain_send_says_what_to_use_there() -> None:
    async def program() -> None:
        channel.send("refused")

    coro = full()
    channel = channel_of(coro)
    with pytest.raises(WouldBlock, match="send_async"):
        asyncio.run(program())
    assert read_all(coro) == ["filler"]


def test_a_send_that_is_cancelled_takes_its_messages_back() -> None:
    async def program() -> None:
        sender = asyncio.create_task(channel.send_async("cancelled"))
        await when(lambda: waiting(first) == waiting(second) == 1)
        sender.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sender
        assert waiting(first) == waiting(second) == 0

    first, second = full(), full()
    channel = channel_of(first, second)
    asyncio.run(program())
    assert read_all(first) == read_all(second) == ["filler"]


def test_messages_of_one_task_keep_their_order() -> None:
    async def program() -> None:
        for number in range(100):
            assert await channel.send_async(number) == 0
        assert await channel.send_async(None) == 0

    bounded, free = reading(), reading()
    bounded.max_mailbox = 3
    channel = channel_of(bounded, free)
    asyncio.run(program())
    assert bounded.value(10) == free.value(10) == list(range(100))


def test_who_is_over_leaves_and_a_closed_channel_says_so() -> None:
    over, coro = reading(), full(send_timeout=0.03)
    channel = channel_of(over, coro)
    over.send(None)
    over.value(10)
    assert asyncio.run(channel.send_async("x")) == 0
    assert channel.everybody() == [coro]
    channel.close()
    assert asyncio.run(channel.send_async("x")) == -1
    read_all(coro)


def test_what_a_subscriber_raises_is_raised_and_the_others_have_the_message() -> None:
    class Elsewhere:
        """One that cannot be sent this."""

        def is_local(self) -> bool:
            return False

        def is_alive(self) -> bool:
            return True

        async def send_async(self, message: Any) -> int:
            raise ValueError("cannot be sent")

    reader, elsewhere = reading(), Elsewhere()
    channel = channel_of(reader)
    assert channel._subscribers is not None
    channel._subscribers[elsewhere] = elsewhere
    with pytest.raises(ValueError, match="cannot be sent"):
        asyncio.run(channel.send_async("x"))
    reader.send(None)
    assert reader.value(10) == ["x"]
