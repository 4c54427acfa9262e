"""Requests: messages that want an answer."""

import functools
import logging
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gevent
import gevent.event
import pytest

from greencoro import Coro, CoroTerminated, DeadlineExceeded, Terminated, WouldBlock, sleep
from greencoro.errors import BrokenResource
from greencoro.hub.names import Names
from greencoro.hub.requests import Request
from tests.support.polling import poll_until

from .places import everywhere, parked


@pytest.fixture(autouse=True)
def _ends_are_expected(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "greencoro.hub.execution")


def doubles(coro: Any) -> None:
    """Answers until it gets something else than a request."""
    while isinstance(request := coro.receive(), Request):
        request.reply(request.message * 2)


def keeps(coro: Any) -> Any:
    """Receives one request and returns it, unanswered, when it is told to."""
    request = coro.receive()
    coro.suspend()
    return request


@pytest.fixture
def server() -> Any:
    coro = Coro(doubles)
    yield coro
    coro.send(None)


# Answers.


@everywhere
def test_a_call_from_anywhere_returns_the_reply(server: Coro, place: Callable[..., Any]) -> None:
    assert place(functools.partial(server.call, 21)) == 42
    assert place(functools.partial(server.call, "ab", timeout=10)) == "abab"
    assert place(functools.partial(server.call, "ab", 10)) == "abab"
    assert not server._observers


def test_what_comes_is_a_request_with_the_very_message() -> None:
    message = object()
    seen: list[Any] = []

    def takes(coro: Any) -> None:
        seen.append(coro.receive())
        seen.append(seen[0].reply())

    assert Coro(takes).call(message, 10) is None
    poll_until(lambda: len(seen) == 2)
    assert isinstance(seen[0], Request) and seen[0].message is message and seen[1] == 0


def test_the_very_object_is_replied() -> None:
    value = object()
    assert Coro(lambda coro: coro.receive().reply(value)).call(None, 10) is value


def test_what_the_request_fails_with_is_raised_in_the_caller() -> None:
    error = ValueError("no answer to that")
    coro = Coro(lambda coro: coro.receive().fail(error))
    with pytest.raises(ValueError, match="no answer to that") as caught:
        coro.call("question", 10)
    assert caught.value is error
    assert coro.value(10) == 0


@pytest.mark.parametrize("failure", [None, "text", 5, ValueError])
def test_a_request_fails_with_an_exception_only(failure: Any) -> None:
    def answers(coro: Any) -> int:
        request = coro.receive()
        with pytest.raises(TypeError, match=r"fail\(\) takes an exception, not"):
            request.fail(failure)
        return request.reply("still open")

    coro = Coro(answers)
    assert coro.call("question", 10) == "still open"
    assert coro.value(10) == 0


@pytest.mark.parametrize("first", ["reply", "fail"])
def test_only_the_first_answer_counts(first: str) -> None:
    results: list[int] = []

    def answers(coro: Any) -> None:
        request = coro.receive()
        answers = [lambda: request.reply("reply"), lambda: request.fail(KeyError("fail"))]
        for answer in (answers if first == "reply" else answers[::-1]) * 2:
            results.append(answer())

    coro = Coro(answers)
    if first == "reply":
        assert coro.call("question", 10) == "reply"
    else:
        with pytest.raises(KeyError, match="fail"):
            coro.call("question", 10)
    coro.value(10)
    assert results == [0, -1, -1, -1]


def test_a_request_may_be_answered_by_another_coroutine_or_thread() -> None:
    def hands_on(coro: Any) -> None:
        for answer in (lambda request: Coro(request.reply, "coroutine"), in_thread):
            answer(coro.receive())
        coro.receive()

    def in_thread(request: Request) -> None:
        threading.Thread(target=request.reply, args=["thread"]).start()

    coro = Coro(hands_on)
    assert [coro.call(n, 10) for n in range(2)] == ["coroutine", "thread"]
    coro.send(None)


def test_each_of_many_callers_gets_its_own_answer(server: Coro) -> None:
    callers = [Coro(server.call, n) for n in range(200)]
    assert [caller.value(10) for caller in callers] == [2 * n for n in range(200)]


def test_answers_may_come_in_any_order() -> None:
    def collects(coro: Any) -> None:
        for request in reversed([coro.receive() for _ in range(3)]):
            request.reply(-request.message)

    coro = Coro(collects)
    callers = [Coro(coro.call, n) for n in range(3)]
    assert [caller.value(10) for caller in callers] == [0, -1, -2]


def test_a_request_stands_in_line_with_the_other_messages() -> None:
    def collects(coro: Any) -> list[Any]:
        got = [coro.receive() for _ in range(3)]
        got[1].reply("answer")
        return got

    def sends() -> Any:
        coro.send("before")
        caller = Coro(coro.call, "question")
        while len(coro._mailbox) < 2:
            sleep(0)
        coro.send("after")
        coro.resume()
        return caller.value()

    coro = Coro(lambda coro: (coro.suspend(), collects(coro))[1])
    poll_until(lambda: coro._suspension is not None)
    assert Coro(sends).value(10) == "answer"
    before, request, after = coro.value(10)
    assert (before, request.message, after) == ("before", "question", "after")


# No answer.


@everywhere
def test_without_an_answer_in_time_the_caller_is_told_and_a_late_one_reaches_nobody(place: Callable[..., Any]) -> None:
    coro = Coro(keeps)

    def calls() -> float:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded, match=r"keeps/\d+ did not answer within 0.03 s"):
            coro.call("question", 0.03)
        return time.monotonic() - began

    assert 0.03 <= place(calls) < 10
    assert not coro._observers
    poll_until(lambda: coro._suspension is not None)
    coro.resume()
    request = coro.value(10)
    assert request.reply("late") == request.fail(ValueError("late")) == -1


@pytest.mark.parametrize("timeout", [0, -1])
def test_without_time_the_question_is_asked_and_no_answer_waited_for(timeout: float) -> None:
    coro = Coro(keeps)
    with pytest.raises(DeadlineExceeded):
        coro.call("question", timeout)
    poll_until(lambda: coro._suspension is not None)
    coro.resume()
    request = coro.value(10)
    assert request.message == "question" and request.reply() == -1


@pytest.mark.parametrize(("timeout", "kind"), [("1", TypeError), (True, TypeError), (float("nan"), ValueError)])
def test_a_timeout_that_is_none_is_refused_and_nothing_is_asked(timeout: Any, kind: type[Exception]) -> None:
    coro = Coro(parked)
    with pytest.raises(kind, match=r"call\(\) takes its timeout"):
        coro.call("question", timeout)
    coro.send("nothing before this")
    assert coro.value(10) == "nothing before this"


def test_to_one_that_is_over_nothing_can_be_asked() -> None:
    finished, failed, terminated = Coro(lambda: 1), Coro(lambda: 1 / 0), Coro(parked)
    terminated.terminate()
    poll_until(lambda: not any(coro.is_alive() for coro in (finished, failed, terminated)))
    for coro, words in ((finished, "finished"), (failed, "raised an exception"), (terminated, "was terminated")):
        with pytest.raises(BrokenResource, match=f"is over and answers no call: it {words}") as caught:
            coro.call("question", 10)
        assert isinstance(caught.value.__cause__, ZeroDivisionError) == (coro is failed)


@everywhere
def test_one_that_ends_without_an_answer_leaves_no_caller_waiting(place: Callable[..., Any]) -> None:
    def takes_and(end: Callable[[], Any], coro: Any) -> Any:
        coro.receive()
        return end()

    def calls(coro: Coro) -> BrokenResource:
        with pytest.raises(BrokenResource) as caught:
            coro.call("question", 10)
        return caught.value

    finished = place(lambda: calls(Coro(takes_and, lambda: 5)))
    assert str(finished).endswith("it finished") and finished.__cause__ is None
    failed = place(lambda: calls(Coro(takes_and, lambda: 1 / 0)))
    assert str(failed).endswith("it raised an exception") and isinstance(failed.__cause__, ZeroDivisionError)
    coro = Coro(takes_and, gevent.event.Event().wait)
    killer = threading.Thread(target=lambda: (poll_until(lambda: coro._observers), coro.terminate()))
    killer.start()
    assert str(place(lambda: calls(coro))).endswith("it was terminated")
    killer.join(10)


def test_one_that_ends_with_the_question_unread_leaves_no_caller_waiting() -> None:
    coro = Coro(lambda coro: coro.suspend())
    caller = Coro(coro.call, "question")
    poll_until(lambda: len(coro._mailbox) == 1)
    coro.resume()
    with pytest.raises(BrokenResource):
        caller.value(10)


def test_an_answer_counts_though_its_giver_ends_at_once() -> None:
    def answers_and_fails(coro: Any) -> None:
        coro.receive().reply("answer")
        raise ValueError("right after")

    for _ in range(50):
        assert Coro(answers_and_fails).call("question", 10) == "answer"


def test_a_coroutine_cannot_call_itself() -> None:
    def asks_itself(coro: Any) -> Any:
        with pytest.raises(RuntimeError, match="would wait for its own answer"):
            coro.call("question", 1)
        return coro.receive(0, "mailbox untouched")

    assert Coro(asks_itself).value(10) == "mailbox untouched"


def test_in_a_callback_of_the_hub_nobody_waits_for_an_answer() -> None:
    coro = Coro(keeps)
    raised: list[BaseException] = []

    def calls() -> None:
        try:
            coro.call("question")
        except BaseException as error:
            raised.append(error)

    Coro(lambda: gevent.get_hub().loop.run_callback(calls)).value(10)
    poll_until(lambda: raised)
    assert isinstance(raised[0], WouldBlock)
    # Nor was it asked anything: the next message is the first.
    coro.send("first")
    poll_until(lambda: coro._suspension is not None)
    coro.resume()
    assert coro.value(10) == "first"


@pytest.mark.parametrize("kind", ["terminate", "throw"])
def test_a_caller_that_is_ended_leaves_nothing_behind(kind: str) -> None:
    coro = Coro(keeps)
    caller = Coro(coro.call, "question")
    poll_until(lambda: coro._suspension is not None)
    if kind == "terminate":
        caller.terminate()
        with pytest.raises(CoroTerminated):
            caller.value(10)
    else:
        caller.throw(KeyError("thrown"))
        with pytest.raises(KeyError, match="thrown"):
            caller.value(10)
    assert not coro._observers
    coro.resume()
    assert coro.value(10).reply("late") == -1


def test_the_one_that_is_asked_may_terminate_its_caller() -> None:
    def ends_it(coro: Any) -> int:
        request = coro.receive()
        caller = request.message
        caller.terminate()
        while caller.is_alive():
            sleep(0)
        return request.reply("too late")

    def asks(coro: Any) -> Any:
        try:
            return server.call(coro)
        except Terminated:
            return "terminated"

    server = Coro(ends_it)
    assert Coro(asks).value(10) == "terminated"
    assert server.value(10) == -1


# A mailbox that is full.


def full(*messages: Any) -> Coro:
    """A coroutine whose mailbox is full of these; it returns what comes once it is resumed, and answers requests."""

    def reads(coro: Any) -> list[Any]:
        coro.suspend()
        got = []
        while (message := coro.receive()) is not None:
            got.append(message)
            if isinstance(message, Request):
                message.reply("answer")
        return got

    home = SimpleNamespace(location=None, names=Names(), max_mailbox_messages=len(messages), send_timeout_seconds=0.05)
    coro = Coro.at_home(home, reads, (), {})
    poll_until(lambda: coro._suspension is not None)
    assert [coro.send(message) for message in messages] == [0] * len(messages)
    return coro


@everywhere
def test_a_call_waits_for_room_as_long_as_its_own_timeout_says(place: Callable[..., Any]) -> None:
    coro = full("in the way")

    def calls() -> Any:
        return coro.call("question", 10)

    resumer = threading.Timer(0.1, coro.resume)
    resumer.start()
    assert place(calls) == "answer"  # after more than send_timeout
    resumer.join(10)
    assert coro.send(None) == 0
    assert coro.value(10)[0] == "in the way"


def test_without_room_in_time_the_question_is_not_asked() -> None:
    coro = full("in the way")
    with pytest.raises(DeadlineExceeded, match=r"reads/\d+ had no room for the request within 0.02 s"):
        coro.call("question", 0.02)
    assert not coro._observers
    coro.resume()
    while coro.send(None) != 0:
        pass
    assert coro.value(10) == ["in the way"]


def test_a_full_one_that_ends_lets_the_caller_go() -> None:
    coro = full("in the way")
    caller = Coro(coro.call, "question")
    poll_until(lambda: coro._mailbox.room is not None and coro._mailbox.room._waiting)
    coro.terminate()
    with pytest.raises(BrokenResource, match="was terminated"):
        caller.value(10)


def test_a_requests_repr_shows_its_message_and_whether_it_was_answered() -> None:
    texts: list[str] = []

    def answers(coro: Any) -> None:
        request = coro.receive()
        texts.append(repr(request))
        request.reply()
        texts.append(repr(request))

    coro = Coro(answers)
    coro.call("question", 10)
    coro.value(10)
    assert texts == ["<Request 'question'>", "<Request 'question' (answered)>"]
