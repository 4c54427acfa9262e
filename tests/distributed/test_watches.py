"""Exit notices and results between runtimes: the promises N4 to N7, over every transport."""

import traceback

import pytest

from greencoro.distributed.proxies import RemoteCoro
from greencoro.distributed.watches import UnsentResult
from greencoro.errors import CoroTerminated, DeadlineExceeded, MonitorException, PeerLost, RemoteError
from greencoro.hub.coroutine import Coro
from tests.distributed.conftest import reference
from tests.distributed.watching import end_when_told, open_watches, watch
from tests.support.held import hold_still
from tests.support.polling import poll_until


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
    poll_until(lambda: open_watches(runtime_pair.one))
    asking.terminate()
    with pytest.raises(CoroTerminated):
        asking.value(5)
    assert not open_watches(runtime_pair.one) and not runtime_pair.one.services.monitors._monitored
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
    assert not link.answers.pending
    target.send("x")
    (back,) = runtime_pair.other.peer_table.online()
    poll_until(lambda: not (open_watches(runtime_pair.one) or link.on_lost or back.on_lost or back.inflows))
    assert isinstance(there, Coro)
