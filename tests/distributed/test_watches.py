"""Exit notices and results between runtimes: the promises N4 to N7, over every transport."""

import sys
import traceback
import types

import pytest
from greenlet import GreenletExit

from greencoro.distributed.proxies import RemoteCoro
from greencoro.distributed.watches import UnsentResult
from greencoro.errors import CoroTerminated, DeadlineExceeded, MonitorException, PeerLost, RemoteError
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import sleep
from tests.distributed.conftest import reference
from tests.distributed.odd_objects import ODD_ERRORS, Beyond, Bomb, FailsOddly, Raises, raise_from
from tests.support.held import hold_still
from tests.support.polling import poll_until


def end_when_told(coro=None):
    """Ends as its first message says."""
    how = coro.receive()
    if how == "raise":
        raise KeyError("no such thing")
    if how == "wait":
        sleep(60)
    return how


def watch(there, coro=None):
    """The result of monitoring, and the notice."""
    return coro.monitor(there), coro.receive(20)


@pytest.mark.parametrize(
    ("how", "kind"), [("value", "finished"), ("raise", "exception"), ("wait", "terminated"), ("lost", "lost")]
)
def test_N4_a_monitor_hears_how_it_ended(runtime_pair, how, kind):
    coro = runtime_pair.other.spawn(end_when_told)
    there = reference(runtime_pair.one, coro)
    watching = runtime_pair.one.spawn(watch, there)
    poll_until(lambda: coro._observers, what="the other side knows of the watch")
    if how == "lost":
        runtime_pair.cut()
    else:
        coro.send(how)
        if how == "wait":
            coro.terminate()
    result, notice = watching.value(10)
    assert result == 0
    assert isinstance(notice, MonitorException)
    assert (notice.coro, notice.kind) == (there, kind)
    if kind == "finished":
        assert notice.value == "value"
        assert notice.args == (there, (StopIteration, "value"))
    elif kind == "exception":
        assert isinstance(notice.error, KeyError) and notice.error.args == ("no such thing",)
        assert "end_when_told" in notice.traceback_text
        assert isinstance(notice.error.__cause__, RemoteError)
        assert notice.error.__cause__.location == runtime_pair.other.location
    elif kind == "lost":
        assert isinstance(notice.error, PeerLost)
        coro.send("value")


def test_a_monitor_of_a_coroutine_that_is_over_or_unknown_is_refused(runtime_pair):
    coro = runtime_pair.other.spawn(end_when_told)
    there = reference(runtime_pair.one, coro)
    coro.send(1)
    coro.value(5)
    assert runtime_pair.run(lambda coro=None: (coro.monitor(there), coro.receive(0.1))) == (-1, None)
    runtime_pair.other.finish()
    poll_until(lambda: not runtime_pair.one.peers())
    assert runtime_pair.run(lambda coro=None: coro.monitor(there)) == -1


def test_all_directions_of_monitor_and_notify(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other

    def hear(setting_up, coro=None):
        return setting_up(coro), coro.receive(10).kind

    for setting_up in (
        lambda there, me: me.monitor(there),
        lambda there, me: there.monitor(me),
        lambda there, me: there.notify(me),
    ):
        target = other.spawn(end_when_told)
        there = reference(one, target)
        hearing = one.spawn(hear, lambda me, there=there, setting_up=setting_up: setting_up(there, me))
        poll_until(lambda target=target: target._observers)
        target.send("x")
        assert hearing.value(10) == (0, "finished")


def test_a_remote_coroutine_can_be_made_to_hear_of_a_local_one(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other
    for value in ("a value", lambda: "cannot travel"):
        monitor = other.spawn(lambda coro=None: coro.receive(10))
        target = one.spawn(lambda coro=None: coro.receive(10))
        assert target.notify(reference(one, monitor)) == 0
        target.send(value)
        notice = monitor.value(10)
        assert notice.kind == "finished"
        assert notice.coro == reference(other, target)
        assert notice.value == value or isinstance(notice.value, UnsentResult)


def test_a_third_runtime_is_told_of_a_coroutine_that_is_remote_to_whoever_asked(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other
    third = runtime_pair.world.runtime()
    for how in ("value", "lost"):
        monitor = third.spawn(lambda coro=None: coro.receive(10))
        target = other.spawn(end_when_told)
        assert reference(one, target).notify(reference(one, monitor)) == 0
        if how == "lost":
            other.finish()
        else:
            target.send("value")
        notice = monitor.value(10)
        assert notice.kind == {"lost": "lost", "value": "finished"}[how]
        assert isinstance(notice.coro, RemoteCoro) and notice.coro.id == target.id
    target.send("x")


def test_asking_twice_does_not_bring_two_notices(runtime_pair):
    target = runtime_pair.other.spawn(end_when_told)
    there = reference(runtime_pair.one, target)

    def hear(coro=None):
        results = coro.monitor(there), coro.monitor(there)
        there.send("x")
        return results, coro.receive(10).kind, coro.receive(0.3)

    assert runtime_pair.run(hear) == ((0, 0), "finished", None)
    poll_until(lambda: not runtime_pair.one.services.monitors._monitored)


def test_who_asks_while_the_first_answer_is_awaited_gets_the_same_one(runtime_pair):
    target = runtime_pair.other.spawn(end_when_told)
    there = reference(runtime_pair.one, target)
    target.send("x")
    target.value(5)
    monitor = runtime_pair.one.spawn(lambda coro=None: coro.receive())
    hold = hold_still(runtime_pair.one.reactor)
    asking = [runtime_pair.one.spawn(monitor.monitor, there) for _ in range(2)]
    poll_until(lambda: runtime_pair.one.services.monitors._monitored)
    assert all(each.is_alive() for each in asking)
    hold.set()
    assert [each.value(5) for each in asking] == [-1, -1]
    monitor.send("x")


def test_who_is_terminated_while_it_asks_leaves_no_watch_and_may_ask_again(runtime_pair):
    target = runtime_pair.other.spawn(end_when_told)
    there = reference(runtime_pair.one, target)
    monitor = runtime_pair.one.spawn(lambda coro=None: coro.receive())
    hold = hold_still(runtime_pair.one.reactor)
    asking = runtime_pair.one.spawn(monitor.monitor, there)
    poll_until(lambda: runtime_pair.one.watches._open)
    asking.terminate()
    with pytest.raises(CoroTerminated):
        asking.value(5)
    assert not runtime_pair.one.watches._open and not runtime_pair.one.services.monitors._monitored
    hold.set()
    assert runtime_pair.one.spawn(monitor.monitor, there).value(5) == 0
    target.send("x")
    assert monitor.value(5).kind == "finished"


@pytest.mark.parametrize("how", ["ends", "cut", "both"])
def test_N4_of_200_coroutines_each_is_heard_of_exactly_once(runtime_pair, how):
    targets = [runtime_pair.other.spawn(end_when_told) for _ in range(200)]
    there = [reference(runtime_pair.one, target) for target in targets]

    def hear(coro=None):
        results = [coro.monitor(each) for each in there]
        if how != "cut":
            for number, each in enumerate(there):
                each.send(["x", "raise", "wait"][number % 3])
                if number % 3 == 2:
                    each.terminate()
        if how != "ends":
            runtime_pair.cut()
        notices = [coro.receive(15) for _ in there]
        return results, notices, coro.receive(0.3)

    results, notices, none_left = runtime_pair.run(hear, timeout=60)
    assert results == [0] * 200
    assert sorted(notice.coro.id for notice in notices) == sorted(target.id for target in targets)
    assert none_left is None
    kinds = {notice.kind for notice in notices}
    assert kinds <= {"ends": {"finished", "exception", "terminated"}, "cut": {"lost"}}.get(how, kinds)
    for target in targets:
        target.terminate()


@pytest.mark.parametrize("size", [10, 300_000])
def test_N5_the_notice_comes_after_all_that_was_sent(runtime_pair, size):
    rounds = 40 if size == 10 else 10

    def talk_and_end(to, coro=None):
        coro.receive()
        for number in range(10):
            to.send((coro.id, bytes(size if number % 3 == 0 else 5)))

    def hear(coro=None):
        me = reference(runtime_pair.other, coro)
        targets = [runtime_pair.other.spawn(talk_and_end, me) for _ in range(rounds)]
        for target in targets:
            there = reference(runtime_pair.one, target)
            assert coro.monitor(there) == 0
            there.send("go")
        counts = dict.fromkeys([target.id for target in targets], 0)
        while targets:
            message = coro.receive(20)
            if isinstance(message, MonitorException):
                assert counts[message.coro.id] == 10
                targets.pop()
            else:
                counts[message[0]] += 1

    runtime_pair.run(hear, timeout=60)


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


def test_value_gives_the_result_to_whoever_asks_in_time(runtime_pair):
    target = runtime_pair.other.spawn(end_when_told)
    there = reference(runtime_pair.one, target)
    with pytest.raises(DeadlineExceeded):
        there.value(0.05)
    poll_until(lambda: target._observers, what="the other side knows of the watch")
    with pytest.raises(DeadlineExceeded):
        there.finish(0.05)
    assert len(target._observers or ()) == 1, "it is watched once, however often it is asked for"
    target.send({"a": 1})
    assert there.value(5) == {"a": 1}
    assert there.finish(5) == {"a": 1}
    with pytest.raises(RemoteError, match="over or unknown"):
        reference(runtime_pair.one, target).value(5)


def test_value_raises_what_the_coroutine_raised_with_the_remote_traceback(runtime_pair):
    target = runtime_pair.other.spawn(end_when_told)
    there = reference(runtime_pair.one, target)
    waiting = runtime_pair.one.spawn(there.value)
    poll_until(lambda: target._observers)
    target.send("raise")
    with pytest.raises(KeyError) as caught:
        waiting.value(5)
    assert "end_when_told" in caught.value.__cause__.traceback_text
    lengths = []
    for _ in range(3):
        with pytest.raises(KeyError) as caught:
            there.value(5)
        lengths.append(len(traceback.extract_tb(caught.value.__traceback__)))
    assert len(set(lengths)) == 1, "it does not grow with every raise"


@pytest.mark.parametrize("how", ["terminated", "lost"])
def test_value_of_what_has_no_result_raises(runtime_pair, how):
    target = runtime_pair.other.spawn(end_when_told)
    there = reference(runtime_pair.one, target)
    waiting = runtime_pair.one.spawn(there.value)
    poll_until(lambda: target._observers)
    if how == "terminated":
        there.terminate()
    else:
        runtime_pair.cut()
    with pytest.raises({"terminated": CoroTerminated, "lost": PeerLost}[how]):
        waiting.value(5)
    target.terminate()


def test_a_watch_that_was_given_up_leaves_nothing_here(runtime_pair):
    target = runtime_pair.other.spawn(end_when_told)
    there = reference(runtime_pair.one, target)
    runtime_pair.run(lambda coro=None: coro.monitor(there))
    (link,) = runtime_pair.one.peer_table.online()
    assert not link.pending
    target.send("x")
    (back,) = runtime_pair.other.peer_table.online()
    poll_until(lambda: not (runtime_pair.one.watches._open or link.on_lost or back.on_lost or back.inflows))
    assert isinstance(there, Coro)
