"""Channel: one message to all who subscribe."""

import threading
import time

import pytest

from greencoro.hub import channel, coroutine
from greencoro.hub.execution import sleep
from greencoro.legacy import asyncoro


@pytest.fixture(name="make")
def make_fixture():
    """Make channels that are closed after the test."""
    made = []

    def make(*args, **kwargs):
        made.append(asyncoro.Channel(*args, **kwargs))
        return made[-1]

    yield make
    for each in made:
        each.close()


def result(function, *args):
    return asyncoro.Coro(function, *args).value(20)


def taking(count):
    def take(coro=None):
        got = []
        for _ in range(count):
            got.append((yield coro.receive()))
        raise StopIteration(got)

    return asyncoro.Coro(take)


def subscribed(chan, *subscribers):
    def subscribe(coro=None):
        for each in subscribers:
            assert (yield chan.subscribe(each)) == 0

    result(subscribe)


def asked(*calls):
    """What calls evaluate to in a coroutine."""

    def ask(coro=None):
        got = []
        for call in calls:
            got.append((yield call()))
        raise StopIteration(got)

    return result(ask)


def test_a_message_reaches_all_who_subscribe_once(make):
    chan, takers = make("news"), [taking(2), taking(2)]
    subscribed(chan, *takers, *takers)
    assert (chan.send(1), asked(lambda: chan.send(2))) == (0, [0])
    assert [each.value(10) for each in takers] == [[1, 2], [1, 2]]


def test_to_nobody_it_is_sent_as_well(make):
    assert make("news").send(1) == 0


def test_the_transform_gets_the_name_and_none_or_an_exception_drops_the_message(make, caplog):
    def transform(name, message):
        if message == 1:
            return None
        return name, 6 // message

    chan, taker = make("news", transform), taking(1)
    subscribed(chan, taker)
    assert [chan.send(message) for message in (0, 1, 2)] == [0, 0, 0]
    assert taker.value(10) == [("news", 3)]


@pytest.mark.parametrize("transform", [5, lambda one: one, lambda a, b, c: a])
def test_what_is_no_function_of_two_is_ignored_with_a_warning(make, transform, capsys):
    chan, taker = make("news", transform=transform), taking(1)
    assert "it is ignored" in capsys.readouterr().out
    assert chan.set_transform(transform) == -1
    assert chan.set_transform(lambda name, message: message + 1) == 0
    subscribed(chan, taker)
    chan.send(1)
    assert taker.value(10) == [2]


def test_a_channel_may_subscribe_to_a_channel(make):
    top, below, taker = make("top"), make("below", lambda name, message: (name, message)), taking(1)
    subscribed(top, below)
    subscribed(below, taker)
    assert asked(lambda: top.deliver("message")) == [1]
    assert taker.value(10) == [("below", "message")]


def test_who_cannot_subscribe_and_who_does_not_is_answered_minus_1(make):
    top, below, taker = make("top"), make("below"), taking(1)
    subscribed(top, below)
    assert asked(
        lambda: top.subscribe(5),
        lambda: below.subscribe(top),
        lambda: top.unsubscribe(5),
        lambda: top.unsubscribe(taker),
        lambda: top.subscribe(taker),
        lambda: top.unsubscribe(taker),
        lambda: top.unsubscribe(taker),
    ) == [-1, -1, -1, -1, 0, 0, -1]
    taker.send(1)
    taker.value(10)


def test_deliver_says_how_many_have_it(make):
    chan, takers = make("news"), [taking(1), taking(2)]
    assert asked(lambda: chan.deliver(0), lambda: chan.deliver(0, timeout=0.01, n=1)) == [0, 0]
    subscribed(chan, *takers)
    assert asked(lambda: chan.deliver(1, n=1)) == [2]
    assert takers[0].value(10) == [1]
    # Nobody gets it where there are too few.
    assert asked(lambda: chan.deliver(2, timeout=0.01, n=5), lambda: chan.deliver(3)) == [0, 1]
    assert takers[1].value(10) == [1, 3]


class Elsewhere(coroutine.Coro):
    """Stands for one elsewhere, which says after so many seconds that it has a message, or raises."""

    __slots__ = ()

    def is_local(self):
        return False

    def deliver(self, message, timeout=None):
        answer = message[self.name]
        if isinstance(answer, Exception):
            raise answer
        sleep(answer if timeout is None else min(answer, timeout))
        self.put_past_limit(message)
        return 1 if timeout is None or answer < timeout else 0


def elsewhere(chan, *names):
    made = [Elsewhere(lambda coro: coro.receive()) for _ in names]
    for each, name in zip(made, names, strict=True):
        each.name = name
    subscribed(chan, *made)
    return made


def test_deliver_returns_once_so_many_have_it_though_others_elsewhere_are_slow(make):
    chan, taker = make("news"), taking(1)
    subscribed(chan, taker)
    quick, slow = elsewhere(chan, "quick", "slow")
    before = time.monotonic()
    assert asked(lambda: chan.deliver({"quick": 0, "slow": 2}, n=2)) == [2]
    assert time.monotonic() - before < 1
    # It has it all the same.
    assert [each.value(20) is not None for each in (taker, quick, slow)] == [True, True, True]


def test_deliver_does_not_wait_for_who_is_too_slow(make):
    chan = make("news")
    coros = elsewhere(chan, "quick", "slow")
    assert asked(lambda: chan.deliver({"quick": 0, "slow": 5}, timeout=0.1, n=2)) == [1]
    for each in coros:
        each.value(10)


def test_what_cannot_be_sent_is_raised_at_the_yield(make):
    chan = make("news")
    (broken,) = elsewhere(chan, "broken")

    def deliver(coro=None):
        with pytest.raises(KeyError):
            yield chan.deliver({"broken": KeyError()}, n=1)
        raise StopIteration("raised")

    assert result(deliver) == "raised"
    broken.put_past_limit(1)
    broken.value(10)


@pytest.mark.parametrize("number", [-1, "2", 1.5, None])
def test_a_number_that_is_none_is_answered_minus_1(make, number):
    assert asked(lambda: make("news").deliver(1, n=number)) == [-1]


def test_a_message_that_is_dropped_is_delivered_to_nobody(make):
    chan, taker = make("news", lambda name, message: None), taking(1)
    subscribed(chan, taker)
    assert asked(lambda: chan.deliver(1, n=1)) == [0]
    taker.send(1)
    taker.value(10)


def test_deliver_waits_until_there_are_so_many(make):
    chan, taker = make("news"), taking(1)

    def deliver(coro=None):
        raise StopIteration((yield chan.deliver("message", 20, 1)))

    delivering = asyncoro.Coro(deliver)
    subscribed(chan, taker)
    assert (delivering.value(10), taker.value(10)) == (1, ["message"])


def test_names_begin_with_a_letter_or_digit_and_the_first_keeps_its_own(make, capsys):
    first = make("~!news")
    assert first.name == "news" and str(first) == repr(first) == "~news"
    second = make("news")
    assert capsys.readouterr().out.count("asyncoro - ") == 2
    assert asked(lambda: asyncoro.Channel.locate("news")) == [first]
    second.close()
    assert asked(lambda: asyncoro.Channel.locate("news")) == [first]


def test_it_is_found_by_its_name_whether_registered_or_not_and_by_others_once_registered(make):
    chan = make("news")
    assert asked(
        lambda: asyncoro.Channel.locate("news"),
        lambda: asyncoro.Channel.locate("other", timeout=0.01),
        chan.register,
        chan.register,
        lambda: chan.register("other"),
        lambda: asyncoro.Channel.locate("other"),
        lambda: chan.unregister("other"),
        lambda: chan.unregister("other"),
        chan.unregister,
        chan.unregister,
    ) == [chan, None, 0, 0, 0, chan, 0, -1, 0, -1]
    chan.close()
    assert asked(lambda: asyncoro.Channel.locate("news", timeout=0.01)) == [None]


def test_any_thread_may_make_one_and_send(make):
    taker, made = taking(1), []
    thread = threading.Thread(target=lambda: made.append(make("news")))
    thread.start()
    thread.join(20)
    subscribed(made[0], taker)
    thread = threading.Thread(target=made[0].send, args=(1,))
    thread.start()
    thread.join(20)
    assert taker.value(10) == [1]
    assert made[0].location is None


def test_whatever_is_a_channel_of_greencoro_is_one_of_asyncoro(make):
    assert isinstance(make("news"), asyncoro.Channel)
    assert isinstance(channel.Channel("native"), asyncoro.Channel)
    assert not isinstance(5, asyncoro.Channel)
