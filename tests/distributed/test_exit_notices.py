"""What exit notices carry between runtimes: the promise N6, over every transport."""

import sys
import types

import pytest
from greenlet import GreenletExit

from greencoro.distributed.watches import UnsentResult
from greencoro.errors import RemoteError
from tests.distributed.conftest import reference
from tests.distributed.odd_objects import ODD_ERRORS, Beyond, Bomb, FailsOddly, Raises, raise_from
from tests.distributed.watching import end_when_told, watch
from tests.support.polling import poll_until


class Stubborn:
    def __reduce__(self):
        raise RuntimeError("never")

    def __repr__(self):
        return "<stubborn>"


class Unreadable(Stubborn):
    def __repr__(self):
        raise RuntimeError("no text either")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (lambda: 1, "lambda"),
        (Stubborn(), "<stubborn>"),
        (Unreadable(), "Unreadable"),
        (Raises(Beyond("no")), "<raises>"),
        (Raises(KeyboardInterrupt("no")), "<raises>"),
        (Raises(GreenletExit("no")), "<raises>"),
        (Raises(TypeError("no"), Beyond("no text")), "whose text raised Beyond"),
        (Raises(TypeError("no"), SystemExit(3)), "whose text raised SystemExit"),
        (Raises(Beyond("no"), GreenletExit("no text")), "whose text raised GreenletExit"),
    ],
    ids=lambda each: f"{each.error!r} {each.and_then!r}" if isinstance(each, Raises) else type(each).__name__,
)
def test_N6_a_value_that_cannot_travel_is_told_in_words(runtime_pair, value, text):
    target = runtime_pair.other.spawn(end_when_told)
    there = reference(runtime_pair.one, target)
    watching = runtime_pair.one.spawn(watch, there)
    waiting = runtime_pair.one.spawn(there.value)
    poll_until(lambda: len(target._observers or ()) >= 2)
    target.send(value)
    result, notice = watching.value(10)
    assert (result, notice.kind) == (0, "finished")
    assert isinstance(notice.value, UnsentResult) and text in notice.value
    with pytest.raises(RemoteError, match="could not be transferred"):
        waiting.value(10)


def test_whoever_waits_for_a_result_that_is_too_large_is_told_what_to_do(runtime_pair):
    target = runtime_pair.other.spawn(end_when_told)
    waiting = runtime_pair.one.spawn(reference(runtime_pair.one, target).value)
    poll_until(lambda: target._observers)
    target.send(bytes(runtime_pair.other.settings.max_message_bytes))
    with pytest.raises(RemoteError) as error:
        waiting.value(10)
    assert "is too large: max_message_bytes is 67108864 (return less, or several pieces" in str(error.value)
    assert "GREENCORO_MAX_MESSAGE_BYTES and GREENCORO_MAX_QUEUE_BYTES" in str(error.value)
    assert "LocalProtocolError" not in str(error.value)


@pytest.mark.parametrize("how", ["result", "exception"])
@pytest.mark.parametrize("error", ODD_ERRORS, ids=repr)
def test_N6_what_cannot_be_opened_here_is_told_in_words(runtime_pair, error, how):
    class Failure(Exception):
        def __reduce__(self):
            return raise_from, (error,)

    def end(coro=None):
        coro.receive()
        if how == "exception":
            raise Failure("so it ends")
        return Bomb(error)

    target = runtime_pair.other.spawn(end)
    there = reference(runtime_pair.one, target)
    watching = runtime_pair.one.spawn(watch, there)
    waiting = runtime_pair.one.spawn(there.value)
    poll_until(lambda: len(target._observers or ()) >= 2)
    target.send("go")
    result, notice = watching.value(10)
    with pytest.raises(RemoteError, match="so it ends" if how == "exception" else "boom"):
        waiting.value(10)
    assert result == 0
    if how == "exception":
        assert isinstance(notice.error, RemoteError) and "so it ends" in str(notice.error)
    else:
        assert isinstance(notice.value, UnsentResult) and notice.value.reason == f"{type(error).__name__}: boom"


@pytest.mark.parametrize("error", [Beyond("boom"), KeyboardInterrupt("boom"), SystemExit("boom")], ids=repr)
def test_what_would_end_a_program_ends_nobody_who_asks_for_the_result(runtime_pair, error):
    def end(coro=None):
        coro.receive()
        raise error

    target = runtime_pair.other.spawn(end)
    there = reference(runtime_pair.one, target)
    watching = runtime_pair.one.spawn(watch, there)
    waiting = runtime_pair.one.spawn(there.value)
    poll_until(lambda: len(target._observers or ()) >= 2)
    target.send("go")
    _, notice = watching.value(10)
    for told in (notice.error, _raised(waiting)):
        assert type(told) is RemoteError
        assert told.message == f"{type(error).__name__}: boom"
        assert "in end" in told.traceback_text


def _raised(coro):
    with pytest.raises(RemoteError) as caught:
        coro.value(10)
    return caught.value


def test_N6_an_exception_that_has_no_text_either_brings_the_notice(runtime_pair):
    def end(coro=None):
        coro.receive()
        raise FailsOddly

    target = runtime_pair.other.spawn(end)
    watching = runtime_pair.one.spawn(watch, reference(runtime_pair.one, target))
    poll_until(lambda: target._observers)
    target.send("go")
    result, notice = watching.value(10)
    assert (result, notice.kind) == (0, "exception")
    assert "FailsOddly whose text raised SystemExit" in str(notice.error)


def test_N6_a_result_that_is_too_large_is_told_in_words(runtime_pair):
    target = runtime_pair.other.spawn(lambda coro=None: (coro.receive(), bytes(70 << 20))[1])
    there = reference(runtime_pair.one, target)
    watching = runtime_pair.one.spawn(watch, there)
    poll_until(lambda: target._observers)
    target.send("x")
    _, notice = watching.value(20)
    assert isinstance(notice.value, UnsentResult)
    assert "max_message_bytes" in notice.value.reason


@pytest.mark.parametrize("limit", [1024, 100_000])
@pytest.mark.parametrize("how", ["result", "exception"])
def test_N6_what_is_too_large_for_a_remote_monitor_is_told_in_words(world, how, limit):
    one, other = (world.runtime(max_message_bytes=limit, max_queue_bytes=1 << 20) for _ in range(2))
    assert one.peer(other.location) == 0
    monitor = other.spawn(lambda coro=None: coro.receive(10))

    def end(coro=None):
        coro.receive()
        if how == "exception":
            raise ValueError("x" * 200_000)
        return bytes(200_000)

    target = one.spawn(end)
    assert target.notify(reference(one, monitor)) == 0
    target.send("go")
    notice = monitor.value(15)
    if how == "exception":
        assert notice.kind == "exception"
        assert isinstance(notice.error, RemoteError) and "ValueError: xxx" in str(notice.error)
    else:
        assert notice.kind == "finished"
        assert isinstance(notice.value, UnsentResult) and "max_message_bytes" in notice.value.reason


@pytest.mark.parametrize("how", ["result", "exception"])
def test_N6_the_smallest_limit_leaves_room_for_a_notice(world, how):
    one, other = (world.runtime(max_message_bytes=1024, max_queue_bytes=1024) for _ in range(2))
    assert one.peer(other.location) == 0

    def end(coro=None):
        coro.receive()
        if how == "exception":
            raise ValueError("\u20ac" * 5000)
        return "\u20ac" * 5000

    target = other.spawn(end)
    watching = one.spawn(watch, reference(one, target))
    poll_until(lambda: target._observers)
    target.send("go")
    _, notice = watching.value(15)
    assert notice.kind == ("exception" if how == "exception" else "finished")


def test_N6_an_exception_whose_class_is_unknown_here_arrives_as_text(runtime_pair):
    module = types.ModuleType("only_over_there")
    sys.modules[module.__name__] = module
    exec("class Strange(Exception): pass", module.__dict__)

    def fail(coro=None):
        coro.receive()
        raise module.Strange("so strange")

    target = runtime_pair.other.spawn(fail)
    there = reference(runtime_pair.one, target)
    watching = runtime_pair.one.spawn(watch, there)
    poll_until(lambda: target._observers)
    try:
        target.send("go")
        poll_until(lambda: not target.is_alive())
    finally:
        del sys.modules[module.__name__]
    _, notice = watching.value(10)
    assert notice.kind == "exception"
    assert type(notice.error) in (RemoteError, module.Strange)
    assert "so strange" in str(notice.error)


class Failed(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} failed")


def test_an_exception_that_cannot_be_made_here_arrives_as_text_that_says_why(runtime_pair):
    def fail(coro=None):
        coro.receive()
        raise Failed("it", 3)

    target = runtime_pair.other.spawn(fail)
    waiting = runtime_pair.one.spawn(reference(runtime_pair.one, target).value)
    poll_until(lambda: target._observers)
    target.send("go")
    with pytest.raises(RemoteError) as caught:
        waiting.value(10)
    missing = "Failed.__init__() missing 1 required positional argument: 'b'"
    said = (
        f"Failed: it failed (as RemoteError, for Failed cannot be made here: TypeError: {missing}; give it __reduce__)"
    )
    assert caught.value.message == said
    assert "raise Failed" in caught.value.traceback_text


def test_an_exception_with_a_gigantic_text_still_brings_the_notice(runtime_pair):
    def fail(coro=None):
        coro.receive()
        raise ValueError("x" * (70 << 20))

    target = runtime_pair.other.spawn(fail)
    watching = runtime_pair.one.spawn(watch, reference(runtime_pair.one, target))
    poll_until(lambda: target._observers)
    target.send("go")
    _, notice = watching.value(20)
    assert notice.kind == "exception"
    assert "ValueError" in str(notice.error)
    assert len(notice.traceback_text) < 200_000


def test_of_a_terminated_generator_its_last_value_is_where_old_programs_look_for_it(runtime_pair):
    def waits(last, coro=None):
        yield last
        yield coro.receive()

    for last in (7, None, lambda: 1):
        target = runtime_pair.other.spawn(waits, last)
        watching = runtime_pair.one.spawn(watch, reference(runtime_pair.one, target))
        poll_until(lambda target=target: target._observers)
        poll_until(lambda target=target: target._routine.token is not None and target._worker is None)
        target.terminate()
        result, notice = watching.value(10)
        assert (result, notice.kind, notice.value) == (0, "terminated", None)
        # What cannot travel does not.
        assert notice.args[1] == (StopIteration, 7 if last == 7 else None)
