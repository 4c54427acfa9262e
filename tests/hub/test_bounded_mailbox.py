"""Mailboxes with a limit, and what senders meet at it (guarantees.md, B2)."""

import asyncio
import functools
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from greencoro import Coro, CoroTerminated, Terminated, WouldBlock, sleep
from greencoro.hub.names import Names
from tests.support.polling import poll_until

from .conftest import Run
from .places import everywhere, parked


def reads(coro: Any) -> list[Any]:
    """Once it is resumed: what comes until None."""
    coro.suspend()
    return list(iter(coro.receive, None))


def bounded(limit: int | None = 2, target: Callable[..., Any] = reads, send_timeout: float = 20) -> Coro:
    home = SimpleNamespace(location=None, names=Names(), max_mailbox_messages=limit, send_timeout_seconds=send_timeout)
    coro = Coro.at_home(home, target, (), {})
    poll_until(lambda: coro._suspension is not None)
    return coro


def full(limit: int = 2, **options: Any) -> Coro:
    coro = bounded(limit, **options)
    assert [coro.send(f"filler {n}") for n in range(limit)] == [0] * limit
    return coro


def waiting(coro: Coro) -> int:
    room = coro._mailbox.room
    return 0 if room is None else len(room._waiting)


def read_all(coro: Coro) -> list[Any]:
    """Have it read, and say what came after the fillers."""
    coro.resume()
    coro.deliver(None, 20)
    return [message for message in coro.value(10) if not str(message).startswith("filler")]


# The limit.


def test_B2_there_is_no_limit_unless_one_is_set() -> None:
    coro = Coro(reads)
    poll_until(lambda: coro._suspension is not None)
    assert coro.max_mailbox is None
    assert [coro.send(n) for n in range(2000)] == [0] * 2000
    assert read_all(coro) == list(range(2000))


def test_the_limit_can_be_set_changed_and_removed() -> None:
    coro = Coro(parked)
    for limit in (5, 1, 10**9, None, 3, None):
        coro.max_mailbox = limit
        assert coro.max_mailbox == limit
    coro.send(None)


@pytest.mark.parametrize("limit", [0, -1, True, False, 1.5, "10", [], float("inf")])
def test_what_is_no_limit_is_refused_and_nothing_changes(limit: Any) -> None:
    kind = ValueError if limit.__class__ is int else TypeError
    coro = Coro(parked)
    for before in (None, 7):
        coro.max_mailbox = before
        with pytest.raises(kind, match="max_mailbox is a number of messages of at least 1, or None for no limit"):
            coro.max_mailbox = limit
        assert coro.max_mailbox == before
    coro.send(None)


def test_the_setting_gives_every_coroutine_its_limit(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENCORO_MAX_MAILBOX_MESSAGES", "3")
    monkeypatch.setenv("GREENCORO_SEND_TIMEOUT_SECONDS", "0.05")
    ended = run(
        """
        def reads(coro):
            coro.suspend()
            return [coro.receive(0) for _ in range(5)]
        coro = Coro(reads)
        while coro._suspension is None:
            sleep(0.001)
        print(coro.max_mailbox, [coro.send(n) for n in range(5)])
        coro.resume()
        print(coro.value(5))
        """
    )
    assert (ended.out, ended.err) == ("3 [0, 0, 0, -1, -1]\n[0, 1, 2, None, None]\n", "")


def test_without_the_setting_a_program_has_no_limit(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GREENCORO_MAX_MAILBOX_MESSAGES", raising=False)
    ended = run("coro = Coro(lambda coro: coro.receive()); print(coro.max_mailbox); coro.send(1)")
    assert (ended.out, ended.err) == ("None\n", "")


def test_setting_a_limit_below_what_is_there_drops_nothing() -> None:
    coro = bounded(None)
    for n in range(10):
        coro.send(n)
    coro.max_mailbox = 2
    assert coro.deliver("no room", timeout=0) == 0
    coro.max_mailbox = None
    assert read_all(coro) == list(range(10))


def test_raising_the_limit_lets_those_in_who_wait() -> None:
    coro = full(2)
    senders = [Coro(coro.send, n) for n in range(4)]
    poll_until(lambda: waiting(coro) == 4)
    coro.max_mailbox = 4
    assert [sender.value(10) for sender in senders[:2]] == [0, 0]
    assert waiting(coro) == 2 and all(sender.is_alive() for sender in senders[2:])
    coro.max_mailbox = None
    assert [sender.value(10) for sender in senders[2:]] == [0, 0]
    assert read_all(coro) == [0, 1, 2, 3]


# Senders at it.


@everywhere
def test_B2_a_sender_waits_for_room_anywhere(place: Callable[..., Any]) -> None:
    for send, result in (("send", 0), ("deliver", 1)):
        coro = full(2)
        resumer = threading.Thread(target=lambda c=coro: (poll_until(lambda: waiting(c)), c.resume()))
        resumer.start()
        assert place(functools.partial(getattr(coro, send), "waited")) == result
        resumer.join(10)
        assert coro.send(None) == 0
        assert coro.value(10) == ["filler 0", "filler 1", "waited"]


@everywhere
def test_B2_after_the_send_timeout_nothing_was_queued(place: Callable[..., Any]) -> None:
    coro = full(2, send_timeout=0.05)

    def timed() -> tuple[int, float]:
        began = time.monotonic()
        return coro.send("refused"), time.monotonic() - began

    result, seconds = place(timed)
    assert result == -1 and 0.05 <= seconds < 10
    assert waiting(coro) == 0
    assert read_all(coro) == []


@everywhere
def test_B2_deliver_waits_as_long_as_it_was_told(place: Callable[..., Any]) -> None:
    coro = full(2, send_timeout=0.001)

    def timed(timeout: float) -> tuple[int, float]:
        began = time.monotonic()
        return coro.deliver("refused", timeout), time.monotonic() - began

    for timeout in (0.05, 0, -1):
        result, seconds = place(functools.partial(timed, timeout))
        assert result == 0 and max(0, timeout) <= seconds < 10
    assert waiting(coro) == 0
    assert read_all(coro) == []


@pytest.mark.parametrize(("timeout", "kind"), [("1", TypeError), (True, TypeError), (float("nan"), ValueError)])
def test_a_timeout_of_deliver_that_is_none_is_refused_and_nothing_sent(timeout: Any, kind: type[Exception]) -> None:
    coro = bounded(2)
    with pytest.raises(kind, match=r"deliver\(\) takes its timeout"):
        coro.deliver("refused", timeout)
    assert read_all(coro) == []


@everywhere
def test_a_message_that_was_waited_with_counts_though_its_reader_has_ended_since(place: Callable[..., Any]) -> None:
    def reads_two(coro: Any) -> Any:
        coro.suspend()
        return [coro.receive(), coro.receive()]

    home = SimpleNamespace(location=None, names=Names(), max_mailbox_messages=1, send_timeout_seconds=20)
    for _ in range(20):
        coro = Coro.at_home(home, reads_two, (), {})
        poll_until(lambda coro=coro: coro._suspension is not None)
        assert coro.deliver("first", 10) == 1
        # Once it waits for room: then the reader takes both and ends before the sender has its turn.
        resumer = threading.Thread(target=lambda coro=coro: (poll_until(lambda: waiting(coro)), coro.resume()))
        resumer.start()
        assert place(functools.partial(coro.deliver, "second", 10)) == 1
        assert coro.value(10) == ["first", "second"]
        resumer.join(10)


def test_B2_those_who_wait_get_their_turn_in_the_order_they_came() -> None:
    coro = full(1)
    senders = []
    for number in range(20):
        if number % 2:
            senders.append(Coro(coro.send, number))
        else:
            thread = threading.Thread(target=coro.send, args=(number,))
            thread.start()
            senders.append(thread)
        poll_until(lambda number=number: waiting(coro) == number + 1)
    assert read_all(coro) == list(range(20))
    for sender in senders:
        sender.join(10) if isinstance(sender, threading.Thread) else sender.value(10)


def test_B2_nobody_overtakes_one_who_waits() -> None:
    def all_of_it() -> list[int]:
        sender = Coro(coro.send, "first")
        while not waiting(coro):
            sleep(0)
        coro.resume()
        return [coro.send("second"), sender.value()]

    coro = full(1)
    assert Coro(all_of_it).value(10) == [0, 0]
    assert coro.send(None) == 0
    assert coro.value(10) == ["filler 0", "first", "second"]


@pytest.mark.parametrize("how", ["terminate", "throw"])
def test_B2_a_sender_that_is_ended_takes_its_message_back(how: str) -> None:
    def sends() -> Any:
        try:
            return coro.send("withdrawn")
        except (Terminated, KeyError) as error:
            return type(error)

    coro = full(2)
    sender = Coro(sends)
    poll_until(lambda: waiting(coro) == 1)
    other = Coro(coro.send, "the next one")
    poll_until(lambda: waiting(coro) == 2)
    sender.terminate() if how == "terminate" else sender.throw(KeyError)
    assert sender.value(10) is (Terminated if how == "terminate" else KeyError)
    assert waiting(coro) == 1
    assert read_all(coro) == ["the next one"]
    assert other.value(10) == 0


def test_a_sender_that_is_to_end_sends_nothing_any_more() -> None:
    def sends(coro: Any) -> None:
        coro.terminate()
        assert box.send("withdrawn")

    box = full(2)
    with pytest.raises(CoroTerminated):
        Coro(sends).value(10)
    assert read_all(box) == []


@pytest.mark.parametrize("end", ["finish", "raise", "terminate"])
@everywhere
def test_B2_where_the_receiver_ends_whoever_waits_is_told(
    place: Callable[..., Any], end: str, caplog: pytest.LogCaptureFixture
) -> None:
    def ends(coro: Any) -> None:
        if coro.suspend() == "raise":
            raise ValueError("on purpose")

    coro = full(2, target=ends)
    ender = threading.Thread(
        # Again and again: it may not have come to suspend itself yet.
        target=lambda: (
            poll_until(lambda: waiting(coro)),
            poll_until(lambda: (coro.terminate() if end == "terminate" else coro.resume(end)) == -1),
        )
    )
    ender.start()
    assert place(lambda: coro.send("nobody reads it")) == -1
    ender.join(10)
    assert waiting(coro) == 0
    assert coro.send("over") == -1 and coro.deliver("over") == 0


def test_B2_a_coroutine_that_sends_to_itself_at_the_limit_is_told_at_once() -> None:
    def fills_itself(coro: Any) -> tuple[list[int], list[int], float]:
        coro.max_mailbox = 3
        began = time.monotonic()
        sent = [coro.send(n) for n in range(5)], [coro.deliver(n) for n in range(2)]
        return *sent, time.monotonic() - began

    sent, delivered, seconds = Coro(fills_itself).value(10)
    assert sent == [0, 0, 0, -1, -1] and delivered == [0, 0] and seconds < 10


def test_B2_a_callback_of_the_hub_is_told_at_once() -> None:
    results: list[int] = []
    coro = full(2)

    def send() -> None:
        results.extend([coro.send("from a callback"), coro.deliver("from a callback")])

    Coro(lambda: gevent.get_hub().loop.run_callback(send)).value(10)
    poll_until(lambda: len(results) == 2)
    assert results == [-1, 0]
    assert read_all(coro) == []


def test_B2_in_a_thread_with_an_asyncio_loop_the_way_out_is_named() -> None:
    coro = full(2)

    async def sends() -> None:
        ways = {
            coro.send: r"coro\.send_async\(message\)",
            coro.deliver: r"asyncio\.to_thread\(coro\.deliver, message\)",
            coro.call: r"asyncio\.to_thread\(coro\.call, message\)",
        }
        for send, way in ways.items():
            with pytest.raises(WouldBlock, match=rf"the mailbox of reads/\d+ is full; here, use: await {way}$"):
                send("would block")
        with pytest.raises(BlockingIOError):
            coro.send("would block")
        assert coro.deliver("need not wait", timeout=0) == 0

    asyncio.run(sends())
    assert read_all(coro) == []


def test_in_a_thread_with_an_asyncio_loop_sending_works_where_there_is_room() -> None:
    coro = bounded(2)

    async def sends() -> list[int]:
        return [coro.send("sent"), coro.deliver("delivered")]

    assert asyncio.run(sends()) == [0, 1]
    assert read_all(coro) == ["sent", "delivered"]


def test_B2_only_the_sender_waits_and_the_loops_of_others_keep_their_rate() -> None:
    turns = [0]

    def counts() -> None:
        while True:
            turns[0] += 1
            sleep(0)

    def rate() -> float:
        """Turns in a second of this thread's work: other programs may stop it meanwhile."""
        before, began = turns[0], time.thread_time()
        while (worked := time.thread_time() - began) < 0.1:
            sleep(0.005)
        return (turns[0] - before) / worked

    coro = full(2)
    counter = Coro(counts)
    try:
        alone = Coro(rate).value(10)
        senders = [Coro(coro.send, n) for n in range(20)]
        poll_until(lambda: waiting(coro) == 20)
        beside = Coro(rate).value(10)
    finally:
        counter.terminate()
    assert beside > alone / 4  # waiting costs nothing
    assert len(read_all(coro)) == 20
    assert [sender.value(10) for sender in senders] == [0] * 20


def test_B2_a_slow_reader_gets_all_that_was_accepted_in_order() -> None:
    def slow(coro: Any) -> list[Any]:
        got = []
        while (message := coro.receive()) is not None:
            got.append(message)
            most[0] = max(most[0], len(coro._mailbox))
            sleep(0.0005)
        return got

    def sends(sender: int) -> None:
        for number in range(100):
            assert coro.send((sender, number)) == 0

    most = [0]
    coro = Coro(slow)
    coro.max_mailbox = 4
    senders = [Coro(sends, n) for n in range(3)]
    thread = threading.Thread(target=sends, args=(3,))
    thread.start()
    for sender in senders:
        sender.value(20)
    thread.join(20)
    coro.send(None)
    got = coro.value(20)
    assert len(got) == 400 and most[0] <= 4
    for sender in range(4):
        assert [number for who, number in got if who == sender] == list(range(100))


def test_a_selective_receive_makes_room_as_well() -> None:
    def picks(coro: Any) -> list[Any]:
        coro.suspend()
        got = [coro.receive(match=lambda m: m == "filler 1")]
        coro.suspend()
        return got + list(iter(coro.receive, None))

    coro = full(2, target=picks)
    sender = Coro(coro.send, "waited")
    poll_until(lambda: waiting(coro) == 1)
    coro.resume()
    assert sender.value(10) == 0
    poll_until(lambda: coro._suspension is not None)
    coro.resume()
    assert coro.send(None) == 0
    assert coro.value(10) == ["filler 1", "filler 0", "waited"]


def test_a_notice_of_an_end_comes_though_the_mailbox_is_full() -> None:
    coro = full(2)
    watched = Coro(parked)
    assert coro.monitor(watched) == 0
    watched.send("result")
    watched.value(10)
    (notice,) = [message for message in _read_raw(coro) if not isinstance(message, str)]
    assert notice.kind == "finished" and notice.value == "result"


def _read_raw(coro: Coro) -> list[Any]:
    coro.resume()
    coro.deliver(None, 20)
    return coro.value(10)
