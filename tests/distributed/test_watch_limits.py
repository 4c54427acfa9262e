"""S11: how many coroutines of one process are watched from another at once."""

import pytest

from greencoro.errors import BusyResource
from greencoro.hub.execution import sleep
from tests.distributed.conftest import reference
from tests.distributed.test_watches import end_when_told, watch
from tests.distributed.watching import open_watches
from tests.support.polling import poll_until


def test_S11_no_more_are_watched_than_the_other_side_takes(runtime_pair, monkeypatch):
    monkeypatch.setattr("greencoro.distributed.watches.MAX_WATCHED", 10)
    one, other = runtime_pair.one, runtime_pair.other
    (link,) = one.peer_table.online()
    # Mailboxes that one sends to are no watches.
    idle = [other.spawn(sleep, 60) for _ in range(15)]
    there = [reference(one, coro) for coro in idle]
    assert [each.deliver("x", 10) for each in there] == [1] * 15

    tried = []

    def watch_all(coro=None):
        tried.extend([coro.monitor(each) for each in there])
        return tried

    gate = one.spawn(lambda coro=None: coro.receive() and [*watch_all(coro), coro.receive() and 0])
    gate.send("go")
    poll_until(lambda: tried)
    assert len(open_watches(one)) == 9
    for each in there[9:11]:
        with pytest.raises(BusyResource, match=r"too many coroutines of .* are watched here already"):
            each.value(10)
    assert not one.watches.outcomes
    idle[0].terminate()
    assert gate.value(10) == [0] * 9 + [-1] * 6 + [0]
    assert not link.is_lost and len(other.watches._watched) <= 1
    for coro in idle:
        coro.terminate()


@pytest.mark.parametrize("over", ["watched", "watching"])
def test_S11_watches_that_are_over_do_not_count(runtime_pair, monkeypatch, over):
    monkeypatch.setattr("greencoro.distributed.watches.MAX_WATCHED", 10)
    one, other = runtime_pair.one, runtime_pair.other
    (link,) = one.peer_table.online()
    idle = [other.spawn(sleep, 60) for _ in range(2)]
    # One of them stays watched all the time, so what is counted is remembered.
    kept = one.spawn(watch, reference(one, idle[0]))
    poll_until(lambda: idle[0]._observers)
    for _ in range(15):
        coro = other.spawn(end_when_told) if over == "watched" else idle[1]
        watching = one.spawn(watch, reference(one, coro))
        poll_until(lambda coro=coro: coro._observers)
        if over == "watched":
            coro.send("done")
        else:
            watching.terminate()
        poll_until(lambda coro=coro: not coro._observers)
    for coro in idle:
        coro.terminate()
    assert kept.value(10)[1].kind == "terminated"
    assert not link.is_lost
