"""How much may wait in an executor for a server, in calls and in bytes."""

import asyncio
import threading
import types

import pytest

from greencoro import Coro, Terminated, WouldBlock
from greencoro.compute import waiting_calls
from greencoro.compute.waiting_calls import WaitingCall, WaitingCalls
from tests.support.polling import poll_until


def call(size, since=0.0):
    return WaitingCall(None, types.SimpleNamespace(size=size), since)


def put(waiting, *sizes):
    for size in sizes:
        waiting.admit(size)
        waiting.put(call(size))


class Submitter:
    """Has a call admitted in a thread, or a coroutine, and says when that is done."""

    def __init__(self, waiting, size):
        self.size = size
        self.is_admitted = False
        self._waiting = waiting

    def admit(self):
        self._waiting.admit(self.size)
        self.is_admitted = True

    def in_thread(self):
        before = len(self._waiting._waiters)
        threading.Thread(target=self.admit).start()
        poll_until(lambda: self.is_admitted or len(self._waiting._waiters) > before)
        return self


def test_B1_as_many_calls_wait_as_may_and_the_next_is_admitted_when_one_is_taken():
    waiting = WaitingCalls(2, 1000)
    put(waiting, 1, 1)
    third = Submitter(waiting, 1).in_thread()
    assert not third.is_admitted
    assert waiting.take().prepared.size == 1
    poll_until(lambda: third.is_admitted)
    assert len(waiting) == 1


def test_B1_calls_with_as_many_bytes_wait_as_may():
    waiting = WaitingCalls(1000, 100)
    put(waiting, 50, 40, 10)
    large = Submitter(waiting, 60).in_thread()
    waiting.take()
    assert not large.is_admitted  # 50 bytes are left, with room for 50
    waiting.take()
    poll_until(lambda: large.is_admitted)


def test_a_call_that_is_larger_than_all_that_may_wait_is_admitted_alone():
    waiting = WaitingCalls(10, 100)
    put(waiting, 500)
    second = Submitter(waiting, 500).in_thread()
    assert not second.is_admitted
    waiting.take()
    poll_until(lambda: second.is_admitted)
    third = Submitter(waiting, 1).in_thread()
    assert not third.is_admitted
    waiting.give_back(500)
    poll_until(lambda: third.is_admitted)


def test_whoever_waits_first_is_admitted_first_so_that_large_calls_have_their_turn():
    waiting = WaitingCalls(10, 100)
    put(waiting, 60, 40)
    large = Submitter(waiting, 90).in_thread()
    small = Submitter(waiting, 1).in_thread()
    waiting.take()
    assert not small.is_admitted  # though there is room for it
    waiting.take()
    poll_until(lambda: large.is_admitted and small.is_admitted)


def test_a_coroutine_that_is_terminated_while_it_waits_leaves_its_turn_to_the_next():
    waiting = WaitingCalls(10, 100)
    put(waiting, 60)
    coro = Coro(Submitter(waiting, 90).admit)
    poll_until(lambda: waiting._waiters)
    small = Submitter(waiting, 10).in_thread()
    assert not small.is_admitted
    coro.terminate()
    poll_until(lambda: small.is_admitted)
    put(waiting, 30)  # what is left beside 60 and 10: the terminated one has taken no place


def test_who_is_interrupted_when_it_was_admitted_already_gives_its_place_back(monkeypatch):
    waiting = WaitingCalls(1, 100)
    put(waiting, 1)

    def interrupted(completion, timeout=None):
        waiting.take()
        assert completion.done
        raise Terminated

    with monkeypatch.context() as patch:
        patch.setattr(waiting_calls.Completion, "wait", interrupted)
        with pytest.raises(Terminated):
            waiting.admit(1)
    put(waiting, 1)


def test_where_a_loop_runs_nothing_waits_and_twice_as_much_has_room():
    async def main(waiting, *sizes):
        put(waiting, *sizes)
        with pytest.raises(WouldBlock, match="a loop runs here"):
            waiting.admit(1)

    asyncio.run(main(WaitingCalls(2, 1000), 1, 1, 1, 1))
    asyncio.run(main(WaitingCalls(1000, 100), 150, 50))


def test_calls_are_taken_in_their_order_and_where_it_is_asked_for_old_ones_alone():
    waiting = WaitingCalls(10, 100)
    assert waiting.take() is None
    for since in (1.0, 2.0, 3.0):
        waiting.admit(1)
        waiting.put(call(1, since))
    assert [each.since for each in waiting.all()] == [1.0, 2.0, 3.0]
    assert waiting.take(2.5).since == 1.0
    assert waiting.take(2.5).since == 2.0
    assert waiting.take(2.5) is None
    assert waiting.take().since == 3.0


def test_a_call_that_is_withdrawn_leaves_its_place_to_the_next():
    waiting = WaitingCalls(3, 100)
    calls = [call(40), call(40), call(10)]
    for each in calls:
        waiting.admit(each.prepared.size)
        waiting.put(each)
    next_one = Submitter(waiting, 50).in_thread()
    assert waiting.withdraw(calls[1])
    poll_until(lambda: next_one.is_admitted)
    assert waiting.all() == [calls[0], calls[2]]
    assert not waiting.withdraw(calls[1])
    assert waiting.take() is calls[0]
    assert not waiting.withdraw(calls[0])
    assert waiting.take() is calls[2]
    waiting.give_back(50)
    assert (waiting._places, waiting._bytes) == (0, 0)


def test_whoever_waits_for_a_place_is_let_go_when_nothing_will_wait_any_more():
    waiting = WaitingCalls(1, 100)
    put(waiting, 100)
    submitters = [Submitter(waiting, 60).in_thread() for _ in range(3)]
    waiting.close()
    poll_until(lambda: all(each.is_admitted for each in submitters))
    waiting.admit(60)
    for _ in range(4):
        waiting.give_back(60)
    assert (waiting._places, waiting._bytes) == (1, 100)


def test_that_submit_waits_is_said_once(monkeypatch, caplog):
    monkeypatch.setattr(waiting_calls, "_SAY_AFTER_SECONDS", 0.01)
    waiting = WaitingCalls(10, 3 * 1024 * 1024)
    put(waiting, 2_500_000)
    said = (
        "submit() waits: no more may wait for a server than 10 calls (max_waiting), with 3 MiB of arguments "
        "(max_waiting_bytes); now: 1 call with 2.4 MiB of arguments"
    )
    for _ in range(2):
        next_one = Submitter(waiting, 2_500_000).in_thread()
        poll_until(lambda: waiting._has_said)
        waiting.give_back(2_500_000)
        poll_until(lambda one=next_one: one.is_admitted)
    assert [text for text in caplog.messages if text.startswith("submit() waits")] == [said]
