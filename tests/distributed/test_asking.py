"""`call` between runtimes, over every transport."""

import threading

import pytest

from greencoro.errors import BrokenResource, DeadlineExceeded, PeerLost, RemoteError
from greencoro.hub.execution import sleep
from greencoro.hub.requests import Request
from tests.distributed.conftest import reference
from tests.distributed.watching import open_watches
from tests.support.polling import poll_until


class OnlyThere(Exception):
    """Cannot be made from its arguments."""

    def __init__(self, one, two):
        super().__init__(one)


def answer_all(coro=None):
    """Answers as each message says; "end" ends it."""
    while True:
        request = coro.receive()
        assert isinstance(request, Request)
        match request.message:
            case ("double", number):
                assert request.reply(number * 2) == 0
                assert request.reply("again") == -1
            case ("fail", error):
                assert request.fail(error) == 0
            case ("unpicklable",):
                with pytest.raises((TypeError, AttributeError)):
                    request.reply(threading.Lock())
                request.reply("instead")
            case ("fail unpicklable",):
                request.fail(ValueError(threading.Lock()))
            case ("pass on", other):
                other.send(request)
            case ("silence",):
                continue
            case ("raise",):
                raise KeyError("no answer")
            case "end":
                return "ended"


@pytest.fixture
def server(runtime_pair):
    """One's reference to a coroutine of other that answers."""
    coro = runtime_pair.other.spawn(answer_all)
    yield reference(runtime_pair.one, coro)
    coro.terminate()


def test_a_call_returns_the_answer(runtime_pair, server):
    assert server.call(("double", 21), timeout=10) == 42
    assert runtime_pair.run(server.call, ("double", "ab"), 10) == "abab"
    assert not runtime_pair.one.services.answers._pending


def test_a_call_raises_what_it_was_failed_with(server):
    with pytest.raises(KeyError, match="nothing") as raised:
        server.call(("fail", KeyError("nothing")), timeout=10)
    assert isinstance(raised.value.__cause__, RemoteError)
    assert raised.value.__cause__.location == server.location
    with pytest.raises(RemoteError, match="ValueError"):
        server.call(("fail unpicklable",), timeout=10)


def test_an_answer_that_cannot_be_pickled_raises_there_and_may_be_followed_by_another(server):
    assert server.call(("unpicklable",), timeout=10) == "instead"


def test_an_error_that_cannot_be_made_again_is_told_in_words(runtime_pair):
    def fail(coro=None):
        coro.receive().fail(OnlyThere("one", "two"))

    with pytest.raises(RemoteError, match=r"OnlyThere: one \(as RemoteError, .*argument.*; give it __reduce__\)"):
        runtime_pair.at_other(fail).call("x", timeout=10)


def test_a_request_may_be_passed_on_to_whoever_is_to_answer(runtime_pair, server):
    third = runtime_pair.world.runtime()
    for runtime in (third, runtime_pair.other, runtime_pair.one):
        helper = runtime.spawn(lambda coro=None: coro.receive().reply("from the helper"))
        there = reference(runtime_pair.one, helper)
        assert server.call(("pass on", there), timeout=10) == "from the helper"
        assert helper.value(10) == 0


def test_no_answer_in_time_raises_and_the_answer_that_comes_later_is_dropped(server):
    with pytest.raises(DeadlineExceeded):
        server.call(("silence",), timeout=0.2)
    with pytest.raises(DeadlineExceeded):
        server.call(("silence",), timeout=0)
    assert server.call(("double", 1), timeout=10) == 2


@pytest.mark.parametrize(
    ("message", "words"), [(("raise",), "raised an exception"), ("end", "finished"), (("silence",), "was terminated")]
)
def test_the_end_of_the_coroutine_ends_the_wait(runtime_pair, server, message, words):
    asking = runtime_pair.one.spawn(server.call, message, 20)
    if message == ("silence",):
        poll_until(lambda: runtime_pair.one.services.answers._pending)
        assert server.terminate() == 0
    with pytest.raises(BrokenResource, match=words) as raised:
        asking.value(10)
    assert isinstance(raised.value.__cause__, KeyError if message == ("raise",) else type(None))
    with pytest.raises(BrokenResource, match="is over"):
        server.call("x", timeout=10)


def test_an_answer_that_was_given_before_the_end_counts(runtime_pair):
    for number in range(50):
        there = runtime_pair.at_other(lambda coro=None: coro.receive().reply("last words"))
        assert there.call(number, timeout=10) == "last words"


def test_the_loss_of_the_process_ends_the_wait(runtime_pair, server):
    asking = runtime_pair.one.spawn(server.call, ("silence",))
    poll_until(lambda: runtime_pair.one.services.answers._pending)
    runtime_pair.other.finish()
    with pytest.raises(PeerLost, match="lost"):
        asking.value(10)
    with pytest.raises(PeerLost, match="lost"):
        server.call("x", timeout=10)


def test_many_calls_watch_the_coroutine_once(runtime_pair, server):
    for number in range(20):
        assert reference(runtime_pair.one, _of(server, runtime_pair)).call(("double", number), timeout=10) == 2 * number
    assert len(open_watches(runtime_pair.one)) == 1


def _of(server, runtime_pair):
    return runtime_pair.other._find(server.id)


def test_S14_an_answer_needs_the_number_that_only_the_asked_one_was_told(runtime_pair, server):
    asking = runtime_pair.one.spawn(server.call, ("silence",), 20)
    (number,) = poll_until(lambda: list(runtime_pair.one.services.answers._pending))
    to = runtime_pair.other.peer_infos()[0]
    for header, parts in (
        ({"call": number + 1}, [b"\0\0N."]),
        ({"call": "x"}, [b""]),
        ({"call": number}, []),
        ({}, []),
    ):
        runtime_pair.other.post(to, "greencoro.answer", header, parts)
    assert server.call(("double", 1), timeout=10) == 2
    assert asking.is_alive()
    assert server.terminate() == 0
    with pytest.raises(BrokenResource):
        asking.value(10)


def test_garbage_as_an_answer_raises_at_whoever_asked(runtime_pair, server):
    asking = runtime_pair.one.spawn(server.call, ("silence",), 20)
    (number,) = poll_until(lambda: list(runtime_pair.one.services.answers._pending))
    to = runtime_pair.other.peer_infos()[0]
    runtime_pair.other.post(to, "greencoro.answer", {"call": number, "failed": 5}, [b"garbage"])
    with pytest.raises(RemoteError, match="cannot be decoded"):
        asking.value(10)


def test_a_call_for_which_there_is_no_room_gives_up_in_time(world):
    one, other = world.runtime(max_queue_messages=4), world.runtime(max_queue_messages=4)
    there = reference(one, other.spawn(sleep, 60))
    assert [there.send(number) for number in range(4)] == [0] * 4
    with pytest.raises(DeadlineExceeded, match="no room"):
        there.call("x", timeout=0.3)
    assert there.terminate() == 0
