"""Monitors between runtimes, by `monitor` and `notify` in all placements: N4 and N7, over every transport."""

import threading

import pytest

from greencoro.distributed.monitors import NOTIFY, UNDO_NOTIFY
from greencoro.distributed.refs import to_json
from greencoro.errors import CoroTerminated, MonitorException, NetworkError
from tests.distributed.conftest import reference
from tests.distributed.watching import open_watches
from tests.support.held import hold_still
from tests.support.polling import poll_until


def end_when_told(coro=None):
    """Ends as its first message says."""
    how = coro.receive()
    if how == "raise":
        raise KeyError("no such thing")
    return how


def hear(count, coro=None):
    """The first messages that come."""
    return [coro.receive(20) for _ in range(count)]


def served_all(asker, at):
    """What the asker asked for before is done there: a request of the same kind, for nobody, comes behind it."""
    (to,) = asker.peer_infos()
    someone = asker.spawn(hear, 1)
    for _ in range(2):
        header = {"monitor": at.spawn(end_when_told).id, "observed": to_json(someone), "number": 0}
        assert asker.request(to, NOTIFY, header, timeout=10).header == {"result": 0}
        at._find(header["monitor"]).terminate()
    someone.terminate()


def nothing_is_left(*runtimes):
    def check():
        return not any(
            each.services.monitors._monitored
            or open_watches(each)
            or any(key[0] == "watched" for link in each.peer_table.online() for key in link.on_lost)
            for each in runtimes
        )

    poll_until(check, what="no watch is left on either side")


#: Where the coroutine is that is watched, and where the one that is told, seen from `one`, which asks.
PLACES = {
    "watched here, told there": ("one", "other"),
    "watched there, told here": ("other", "one"),
    "both there": ("other", "other"),
    "each at a peer of its own": ("third", "other"),
}


@pytest.fixture(params=PLACES.values(), ids=PLACES)
def places(request, runtime_pair):
    """The runtime that asks, and those where the two are."""
    runtimes = {"one": runtime_pair.one, "other": runtime_pair.other}
    if "third" in request.param:
        runtimes["third"] = third = runtime_pair.world.runtime()
        assert runtime_pair.one.peer(third.location, timeout=10) == 0
    return runtimes["one"], *(runtimes[name] for name in request.param)


@pytest.mark.parametrize("state", ["live", "watched one over", "told one over"])
def test_N7_notify_says_in_all_placements_what_happens_after(places, state):
    asker, watched_at, told_at = places
    watched, told = watched_at.spawn(end_when_told), told_at.spawn(hear, 2)
    there, monitor = reference(asker, watched), reference(asker, told)
    if state == "watched one over":
        watched.send("over")
        watched.value(5)
    elif state == "told one over":
        told.terminate()
        with pytest.raises(CoroTerminated):
            told.value(5)
    results = [asker.spawn(there.notify, monitor).value(20), asker.spawn(monitor.monitor, there).value(20)]
    assert results == ([0, 0] if state == "live" else [-1, -1])
    watched.send("raise")
    if state == "told one over":
        nothing_is_left(asker, watched_at, told_at)
        return
    if state == "live":
        with pytest.raises(KeyError):
            watched.value(5)
        nothing_is_left(asker, watched_at, told_at)
        # Asked for twice, it comes once.
        told.send("nothing else")
        notice, last = told.value(20)
        assert (notice.kind, notice.coro.id, last) == ("exception", watched.id, "nothing else")
    else:
        told.send(1)
        told.send(2)
        assert told.value(20) == [1, 2]


def test_N7_what_is_elsewhere_and_lost_is_told_of_nothing(places):
    asker, watched_at, told_at = places
    if told_at is asker:
        pytest.skip("nothing is lost")
    watched, told = watched_at.spawn(end_when_told), told_at.spawn(hear, 1)
    there, monitor = reference(asker, watched), reference(asker, told)
    assert monitor.deliver("it is reached", 10) == 1
    told_at.finish()
    poll_until(lambda: told_at.location not in asker.peers())
    assert there.notify(monitor) == -1
    assert monitor.monitor(there) == -1
    assert told.value(5) == ["it is reached"]
    watched.send("x")


def test_a_coroutine_that_has_another_told_of_its_own_end_hears_of_nothing_itself(runtime_pair):
    told = runtime_pair.other.spawn(hear, 1)
    monitor = reference(runtime_pair.one, told)

    def asks(coro=None):
        return coro.notify(monitor), coro.receive(0)

    assert runtime_pair.run(asks) == (0, None)
    (notice,) = told.value(10)
    assert (notice.kind, notice.value) == ("finished", (0, None))


def test_N4_where_the_link_breaks_the_one_told_hears_of_the_loss_once(places):
    asker, watched_at, told_at = places
    if watched_at is told_at:
        pytest.skip("no link between the two")
    watched, told = watched_at.spawn(end_when_told), told_at.spawn(hear, 2)
    assert reference(asker, watched).notify(reference(asker, told)) == 0
    watched_at.finish()
    poll_until(lambda: watched_at.location not in told_at.peers())
    watched.send("x")
    told.send("nothing else")
    notice, last = told.value(20)
    assert isinstance(notice, MonitorException)
    assert (notice.kind, notice.coro, last) == ("lost", reference(told_at, watched), "nothing else")


@pytest.mark.parametrize("how", ["x", "lost"])
def test_N4_a_notice_comes_though_the_mailbox_is_full(runtime_pair, how):
    one, other = runtime_pair.one, runtime_pair.other
    watched = other.spawn(end_when_told)
    may_read = threading.Event()

    def reads_late(coro=None):
        coro.suspend()
        return hear(3, coro)

    told = one.spawn(reads_late)
    told.max_mailbox = 2
    assert told.monitor(reference(one, watched)) == 0
    assert [told.send(number) for number in range(2)] == [0, 0]
    if how == "lost":
        other.finish()
    watched.send("x")
    poll_until(lambda: len(told._mailbox) == 3, what="the notice is there")
    may_read.set()
    # Not remembered where it has not come to its wait yet.
    poll_until(lambda: told._suspension is not None)
    assert told.resume() == 0
    first, second, notice = told.value(10)
    assert (first, second, notice.kind) == (0, 1, "lost" if how == "lost" else "finished")


def test_two_references_to_one_coroutine_are_one_monitor(runtime_pair):
    watched = runtime_pair.one.spawn(end_when_told)
    told = runtime_pair.other.spawn(hear, 2)
    for _ in range(2):
        assert watched.notify(reference(runtime_pair.one, told)) == 0
    watched.send("x")
    nothing_is_left(runtime_pair.one, runtime_pair.other)
    told.send("nothing else")
    notice, last = told.value(10)
    assert (notice.kind, last) == ("finished", "nothing else")


def test_the_end_of_the_monitor_leaves_nothing_on_either_side(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other
    watched = other.spawn(end_when_told)
    there = reference(one, watched)

    def monitors_and_ends(coro=None):
        return coro.monitor(there)

    def cycles(count):
        return {one.spawn(monitors_and_ends).value() for _ in range(count)}

    assert one.spawn(cycles, 1000).value(60) == {0}
    nothing_is_left(one, other)
    poll_until(lambda: not len(watched._observers), what="the one watched has no observers")
    stays = one.spawn(hear, 1)
    assert stays.monitor(there) == 0
    watched.send("x")
    assert stays.value(10)[0].kind == "finished"


def test_a_monitor_that_lives_on_keeps_nothing_of_those_that_ended(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other

    def watches_many(coro=None):
        before = len(coro._observers or ())
        for _ in range(100):
            watched = other.spawn(end_when_told)
            assert coro.monitor(reference(one, watched)) == 0
            watched.send("x")
            assert coro.receive(10).kind == "finished"
        return len(coro._observers or ()) - before

    assert runtime_pair.run(watches_many) == 0
    nothing_is_left(one, other)


def test_N4_a_monitor_that_ends_while_it_is_set_up_is_none(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other
    watched, told = other.spawn(end_when_told), one.spawn(hear, 1)
    there = reference(one, watched)
    hold = hold_still(one.reactor)
    asking = one.spawn(told.monitor, there)
    poll_until(lambda: open_watches(one))
    told.terminate()
    with pytest.raises(CoroTerminated):
        told.value(5)
    hold.set()
    assert asking.value(10) == -1
    nothing_is_left(one, other)
    poll_until(lambda: not len(watched._observers or ()))
    watched.send("x")


def test_who_is_terminated_while_it_asks_for_one_elsewhere_to_be_told_has_it_undone(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other
    watched, told = one.spawn(end_when_told), other.spawn(hear, 1)
    monitor = reference(one, told)
    assert monitor.send("it is reached") == 0
    assert told.value(10) == ["it is reached"]
    told = other.spawn(hear, 1)
    monitor = reference(one, told)
    hold = hold_still(one.reactor)
    asking = one.spawn(watched.notify, monitor)
    link = poll_until(lambda: [link for link in one.peer_table.online() if link.answers.pending])[0]
    asking.terminate()
    with pytest.raises(CoroTerminated):
        asking.value(5)
    hold.set()
    served_all(one, other)
    assert not link.answers.pending
    nothing_is_left(one, other)
    poll_until(lambda: not len(watched._observers or ()), what="the one watched has no observers")
    watched.send("x")
    told.send("nothing else")
    assert told.value(10) == ["nothing else"]


def test_what_is_taken_back_stays_where_somebody_else_asked_for_it_too(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other
    watched, told = one.spawn(end_when_told), other.spawn(hear, 1)
    to = one.peer_infos()[0]
    header = {"monitor": told.id, "observed": to_json(watched), "number": 77}
    assert one.request(to, NOTIFY, header, timeout=10).header == {"result": 0}
    one.post(to, UNDO_NOTIFY, header | {"number": 76})
    served_all(one, other)
    assert any(key[2] is told for key in list(other.services.monitors._monitored))
    assert watched.notify(reference(one, told)) == 0
    one.post(to, UNDO_NOTIFY, header)
    served_all(one, other)
    watched.send("x")
    assert told.value(10)[0].kind == "finished"


def test_nobody_monitors_itself(runtime_pair):
    there = runtime_pair.at_other(end_when_told)
    again = reference(runtime_pair.one, runtime_pair.other._find(there.id))
    for refused in (lambda: there.monitor(again), lambda: there.notify(again), lambda: there.notify(there)):
        with pytest.raises(ValueError, match="cannot monitor itself"):
            refused()
    there.terminate()


@pytest.mark.parametrize("operation", [NOTIFY, UNDO_NOTIFY])
def test_S14_a_bad_request_is_refused_and_sets_nothing_up(runtime_pair, operation):
    told = runtime_pair.other.spawn(hear, 1)
    watched = runtime_pair.one.spawn(end_when_told)
    to = runtime_pair.one.peer_infos()[0]
    good = {"monitor": told.id, "observed": to_json(watched), "number": 1}
    for change in ({"monitor": "x"}, {"monitor": None}, {"observed": 5}, {"observed": [1, 2]}, {"observed": None}):
        with pytest.raises(NetworkError):
            runtime_pair.one.request(to, operation, good | change, timeout=10)
    nothing_is_left(runtime_pair.one, runtime_pair.other)
    for coro in (told, watched):
        coro.terminate()


def test_N4_of_ends_that_race_with_monitors_that_end_each_is_heard_of_once_at_most(runtime_pair):
    one, other = runtime_pair.one, runtime_pair.other
    heard = []

    def monitors(there, coro=None):
        result = coro.monitor(there)
        if result == 0:
            heard.append((there.id, coro.receive(20)))
        return result

    def run_all(coro=None):
        results = []
        for _ in range(200):
            watched = other.spawn(end_when_told)
            there = reference(one, watched)
            asking = one.spawn(monitors, there)
            watched.send("x")
            results.append((watched.id, asking.value(20)))
        return results

    results = runtime_pair.run(run_all, timeout=60)
    told = [coro_id for coro_id, notice in heard if notice is not None]
    assert sorted(told) == sorted(coro_id for coro_id, result in results if result == 0)
    nothing_is_left(one, other)
