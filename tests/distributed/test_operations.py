"""What layers above are built on beside requests: posts that do not wait, clocks, events on the reactor."""

import logging
import threading
import time

import pytest

from greencoro.distributed.monitors import UNDO_NOTIFY
from greencoro.errors import BusyResource, GreencoroError, LocalProtocolError, PeerLost
from tests.distributed.conftest import Pair
from tests.support.polling import poll_until


def on_reactor(runtime, function, *args):
    """What ``function(*args)`` returns there."""
    done = []
    runtime.reactor.post(lambda: done.append(function(*args)))
    return poll_until(lambda: done)[0]


def fill(pair):
    """Leave no room on the way from `one` to `other`; returns the link."""
    (link,) = pair.one.peer_table.online()
    link.wire.held = True
    while pair.one.post_nowait(link.info, "test.fill", {}, [bytes(1 << 20)]):
        continue
    return link


def empty(pair, link):
    link.wire.held = False
    pair.one.reactor.post(link.wire.flush)


@pytest.fixture
def small_pair(world):
    """Two that are peers; few requests may wait between them, and not for long."""
    one = world.runtime(max_queue_messages=20, send_timeout_seconds=0.2)
    other = world.runtime(max_queue_messages=20)
    other.handle("test.fill", lambda request: None, on_reactor=True)
    one.connect(other.location)
    poll_until(other.peers)
    return Pair(one, other, world)


# Posts.


def test_post_nowait_queues_what_there_is_room_for_in_order_with_other_requests(small_pair):
    done = []
    small_pair.other.handle("test.do", lambda request: (done.append(request.header["n"]), request.reply()), True)
    (info,) = small_pair.one.peer_infos()
    # A large one, which travels in pieces: the others do not overtake it.
    assert small_pair.one.post_nowait(info, "test.do", {"n": 1}, [bytes(8 << 20)]) is True
    assert small_pair.one.post(info, "test.do", {"n": 2}) == 0
    assert on_reactor(small_pair.one, small_pair.one.post_nowait, info, "test.do", {"n": 3}) is True
    small_pair.one.request(info, "test.do", {"n": 4}, timeout=10)
    assert done == [1, 2, 3, 4]


def test_B2_post_nowait_never_waits_and_post_says_that_there_was_no_room(small_pair):
    link = fill(small_pair)
    assert small_pair.one.post_nowait(link.info, "test.do", {}) is False
    assert not link._queue.waiters
    began = time.monotonic()
    with pytest.raises(BusyResource, match=r"no room for 'test\.do' on the way to"):
        small_pair.one.post(link.info, "test.do", {})
    assert time.monotonic() - began >= 0.2
    done = []
    small_pair.other.handle("test.do", lambda request: done.append(request.header), on_reactor=True)
    empty(small_pair, link)
    poll_until(lambda: small_pair.one.post_nowait(link.info, "test.do", {"n": 5}))
    poll_until(lambda: done == [{"n": 5}], what="what was refused did not go")


def test_F3_post_is_minus_1_and_post_nowait_False_where_the_peer_is_lost(small_pair):
    (info,) = small_pair.one.peer_infos()
    small_pair.other.finish()
    poll_until(lambda: not small_pair.one.peers())
    assert small_pair.one.post(info, "test.do", {}) == -1
    assert small_pair.one.post_nowait(info, "test.do", {}) is False


def test_F3_a_post_that_waits_for_room_is_minus_1_once_the_peer_is_lost(world):
    one, other = world.runtime(max_queue_messages=20, send_timeout_seconds=600), world.runtime(max_queue_messages=20)
    one.connect(other.location)
    poll_until(other.peers)
    pair = Pair(one, other, world)
    link = fill(pair)
    waiting = one.spawn(one.post, link.info, "test.do", {})
    poll_until(lambda: link._queue.waiters)
    pair.cut()
    assert waiting.value(10) == -1


@pytest.mark.parametrize("way", ["post", "post_nowait"])
def test_what_is_too_large_or_no_JSON_raises_where_it_is_posted(small_pair, way):
    (info,) = small_pair.one.peer_infos()
    post = getattr(small_pair.one, way)
    with pytest.raises(LocalProtocolError, match="too large"):
        post(info, "test.do", {}, [bytes(small_pair.one.settings.max_message_bytes)])
    with pytest.raises(TypeError):
        post(info, "test.do", {"no": object()})


def test_what_cannot_be_taken_back_for_lack_of_room_is_told_of_in_the_log(small_pair, caplog):
    link = fill(small_pair)
    with caplog.at_level(logging.WARNING, "greencoro"):
        small_pair.one._calls.undo(link, UNDO_NOTIFY, {})
        poll_until(lambda: "is not taken back: there was no room for" in caplog.text)
    empty(small_pair, link)


# Clocks.


def test_every_calls_on_the_reactor_again_and_again_until_it_is_stopped(world):
    runtime, calls = world.runtime(), []
    began = time.monotonic()
    repetition = runtime.every(0.05, lambda: calls.append((time.monotonic(), runtime.reactor.is_current)))
    poll_until(lambda: len(calls) >= 5)
    (timer,) = runtime._repetitions._timers.values()
    assert calls[0][0] - began >= 0.04 and calls[4][0] - began >= 0.24
    assert all(is_current for _, is_current in calls)
    on_reactor(runtime, repetition.stop)
    count = len(calls)
    other = []
    # One that began later goes on meanwhile.
    later = runtime.every(0.05, lambda: other.append(1))
    poll_until(lambda: len(other) >= 4)
    assert len(calls) == count
    later.stop()
    repetition.stop()
    assert on_reactor(runtime, lambda: not runtime._repetitions._timers and timer._timer is None)


def test_every_goes_on_while_a_coroutine_computes(world):
    runtime, calls = world.runtime(), []

    def compute():
        before = len(calls)
        deadline = time.monotonic() + 20
        while len(calls) < before + 5:
            assert time.monotonic() < deadline
        return True

    repetition = runtime.every(0.02, lambda: calls.append(1))
    assert runtime.spawn(compute).value(30)
    repetition.stop()


def test_a_callback_of_every_may_stop_itself_and_one_that_raises_is_called_again(world, caplog):
    runtime, calls = world.runtime(), []

    def call():
        calls.append(1)
        if len(calls) == 3:
            repetition.stop()
        raise ValueError("not my day")

    repetition = runtime.every(0.02, call)
    poll_until(lambda: len(calls) == 3 and "not my day" in caplog.text)
    other = []
    later = runtime.every(0.02, lambda: other.append(1))
    poll_until(lambda: len(other) >= 3)
    assert len(calls) == 3
    later.stop()


def test_calls_that_were_missed_are_not_made_up_for(world):
    runtime, calls = world.runtime(), []
    go_on = threading.Event()
    repetition = runtime.every(0.02, lambda: calls.append(time.monotonic()))
    poll_until(lambda: calls)
    stood_still = []

    def stand_still():
        stood_still.append(len(calls))
        go_on.wait(20)
        stood_still.append(time.monotonic())

    runtime.reactor.post(stand_still)
    poll_until(lambda: stood_still)
    held = time.monotonic()
    poll_until(lambda: time.monotonic() - held > 1.0)
    go_on.set()
    poll_until(lambda: len(calls) > stood_still[0] + 10)
    repetition.stop()
    # In a second fifty were missed.
    at_once = [at for at in calls[stood_still[0] :] if at - stood_still[1] < 0.02]
    assert len(at_once) <= 3


def test_every_ends_with_its_runtime_and_never_begins_after_it(world):
    runtime, keeper, calls = world.runtime(), world.runtime(), []
    repetition = runtime.every(0.02, lambda: calls.append(1))
    poll_until(lambda: calls)
    runtime.finish()
    count = len(calls)
    late = runtime.every(0.02, lambda: calls.append(2))
    other = []
    going = keeper.every(0.02, lambda: other.append(1))
    poll_until(lambda: len(other) >= 5)
    going.stop()
    assert len(calls) == count
    assert repetition.is_stopped and late.is_stopped
    late.stop()


def test_one_that_is_stopped_before_the_reactor_knows_of_it_is_never_called(world):
    runtime, calls = world.runtime(), []
    go_on, held = threading.Event(), threading.Event()

    def stand_still():
        held.set()
        go_on.wait(20)

    due = runtime.every(0.05, lambda: calls.append(1))
    runtime.reactor.post(stand_still)
    assert held.wait(10)
    before, began = len(calls), time.monotonic()
    poll_until(lambda: time.monotonic() - began > 0.1, what="another call is due")
    # As where the clock comes before what the stop has posted.
    runtime.reactor.post(due.call)
    due.stop()
    runtime.every(0.01, lambda: calls.append(2)).stop()
    go_on.set()
    other = []
    going = runtime.every(0.02, lambda: other.append(1))
    poll_until(lambda: len(other) >= 3)
    going.stop()
    assert len(calls) == before


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e9])
def test_every_refuses_what_is_no_interval(world, seconds):
    with pytest.raises(ValueError, match="every takes"):
        world.runtime().every(seconds, int)
    for wrong in ("1", True):
        with pytest.raises(TypeError, match="every takes"):
            world.runtime().every(wrong, int)
    with pytest.raises(ValueError, match="every takes"):
        world.runtime().every(None, int)


def test_N2_last_heard_grows_with_what_arrives_and_is_None_for_one_that_is_not_online(world):
    one, other = world.runtime(tick_seconds=0.1), world.runtime()
    before = time.monotonic()
    info = one.connect(other.location)
    first = one.last_heard(info)
    assert before <= first <= time.monotonic()
    # A quiet connection has its heartbeats.
    poll_until(lambda: one.last_heard(info) > first)
    at = time.monotonic()
    one.request(info, "greencoro.ping", {}, timeout=10)
    assert at <= one.last_heard(info) <= time.monotonic()
    other.finish()
    poll_until(lambda: not one.peers())
    assert one.last_heard(info) is None
    assert other.last_heard(info) is None


# Events.


def test_N3_events_on_the_reactor_come_there_in_the_order_of_what_happens_to_the_peer(world):
    one, other = world.runtime(), world.runtime()
    seen = []

    def watch(event):
        seen.append((event.online, one.reactor.is_current))

    one.watch_peers(watch, on_reactor=True)
    one.handle("test.do", lambda request: (seen.append("asked"), request.reply()), on_reactor=True)
    for _ in range(5):
        assert other.peer(one.location) == 0
        (info,) = other.peer_infos()
        other.request(info, "test.do", {}, timeout=10)
        Pair(other, one, world).cut()
        poll_until(lambda: not one.peers() and not other.peers())
    assert seen == [(True, True), "asked", (False, True)] * 5
    one.unwatch_peers(watch)
    assert other.peer(one.location) == 0
    poll_until(one.peers)
    on_reactor(one, int)
    assert len(seen) == 15


def test_events_on_the_reactor_come_while_a_coroutine_computes(world):
    one, other = world.runtime(), world.runtime()
    seen, later = [], []
    one.watch_peers(seen.append, on_reactor=True)
    one.watch_peers(later.append)

    def compute():
        deadline = time.monotonic() + 20
        one.reactor.post(one.peer_table.dial, other.location, lambda link, error: None)
        while not seen:
            assert time.monotonic() < deadline
        return list(later)

    assert one.spawn(compute).value(30) == []
    poll_until(lambda: later == seen)


def test_an_observer_on_the_reactor_that_raises_disturbs_nobody(runtime_pair, caplog):
    events, at_hub = [], []

    def fails(event):
        raise ValueError("not my day")

    runtime_pair.one.watch_peers(fails, on_reactor=True)
    runtime_pair.one.watch_peers(events.append, on_reactor=True)
    runtime_pair.one.watch_peers(at_hub.append)
    runtime_pair.other.finish()
    poll_until(lambda: events and at_hub and "not my day" in caplog.text)


def test_request_nowait_tells_of_the_answer_the_refusal_and_the_loss_on_the_reactor_and_once(small_pair):
    one, info = small_pair.one, small_pair.one.peer_infos()[0]
    told = []

    def on_answer(reply, error):
        told.append((None if reply is None else reply.header, type(error)))

    assert one.request_nowait(info, "greencoro.clock", {}, on_answer)
    poll_until(lambda: len(told) == 1)
    assert "wall_clock_seconds" in told[0][0]
    assert one.request_nowait(info, "test.unknown", {}, on_answer)
    poll_until(lambda: len(told) == 2)
    assert told[1] == (None, GreencoroError)
    held = []
    small_pair.other.handle("test.hold", held.append, on_reactor=True)
    assert one.request_nowait(info, "test.hold", {}, on_answer)
    poll_until(lambda: held)
    small_pair.other.finish()
    poll_until(lambda: len(told) == 3)
    assert told[2] == (None, PeerLost)
    assert one.request_nowait(info, "greencoro.clock", {}, on_answer) is False


def test_whoever_raises_at_the_answer_that_a_peer_is_lost_keeps_nobody_else_from_hearing_of_it(small_pair, caplog):
    one, info = small_pair.one, small_pair.one.peer_infos()[0]
    small_pair.other.handle("test.hold", lambda request: None, on_reactor=True)
    told, events = [], []
    one.watch_peers(lambda event: events.append(event.online))
    assert one.request_nowait(info, "test.hold", {}, lambda reply, error: 1 / 0)
    assert one.request_nowait(info, "test.hold", {}, lambda reply, error: told.append(type(error)))
    watch = one.open_watch(info)
    small_pair.other.finish()
    poll_until(lambda: events == [False])
    assert told == [PeerLost] and watch.done and not one.peers()
    poll_until(lambda: "ZeroDivisionError" in caplog.text)


@pytest.mark.parametrize(
    ("header", "error"),
    [({"x": float("nan")}, ValueError), ({"x": object()}, TypeError), ({"x": "y" * (5 << 20)}, LocalProtocolError)],
    ids=["nan", "object", "large"],
)
def test_a_request_nowait_that_raises_calls_nothing_later(small_pair, header, error):
    one, info = small_pair.one, small_pair.one.peer_infos()[0]
    (link,) = one.peer_table.online()
    called = []
    with pytest.raises(error):
        one.request_nowait(info, "greencoro.ping", header, lambda *answer: called.append(answer))
    assert not link.answers.pending
    small_pair.other.finish()
    poll_until(lambda: link.is_lost and not one.peers())
    assert not called


@pytest.mark.parametrize("raises", [False, True], ids=["no room", "too large"])
@pytest.mark.parametrize("when", ["before", "as it is queued"])
def test_a_request_nowait_of_a_peer_that_is_lost_meanwhile_tells_of_it_once_and_on_the_reactor(
    small_pair, monkeypatch, when, raises
):
    one = small_pair.one
    (link,) = one.peer_table.online()
    called = []

    def lose():
        small_pair.other.finish()
        poll_until(lambda: link.is_lost and not link.answers.pending)

    def send_if_room(*_):
        if when == "as it is queued":
            lose()
        if raises:
            raise LocalProtocolError("too large")
        return False

    if when == "before":
        lose()
    monkeypatch.setattr(link, "send_if_room", send_if_room)

    def request():
        return one._calls.request_nowait(link, "test", {}, lambda *_: called.append(one.reactor.is_current))

    if when == "as it is queued":
        assert request()
        assert called == [True]
    elif raises:
        with pytest.raises(LocalProtocolError):
            request()
    else:
        assert not request()
    assert called == [True] * (when != "before") and not link.answers.pending
