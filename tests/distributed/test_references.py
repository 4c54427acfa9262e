"""What a reference is bound to (M3), and how long it waits for what: over every transport."""

import copy
import pickle
import threading

import pytest

from greencoro.errors import DeadlineExceeded, PeerLost, RemoteError
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import sleep
from tests.distributed.conftest import reference
from tests.distributed.watching import open_watches
from tests.support.held import hold_still
from tests.support.polling import poll_until


def echo(coro=None):
    """Takes what comes until "end"; says what that was."""
    got = []
    while not got or got[-1] != "end":
        got.append(coro.receive())
    return got


def break_and_mend(pair):
    """The two lose each other, and are peers again."""
    links = pair.one.peer_table.online() + pair.other.peer_table.online()
    pair.cut()
    poll_until(lambda: all(link.is_lost for link in links), what="both sides know of the loss")
    assert pair.one.peer(pair.other.location, timeout=10) == 0
    poll_until(lambda: pair.one.location in pair.other.peers() and pair.other.location in pair.one.peers())


@pytest.fixture
def target(runtime_pair):
    coro = runtime_pair.other.spawn(echo)
    yield coro
    coro.terminate()


def test_M3_after_a_loss_the_old_reference_is_over_and_a_new_one_works(runtime_pair, target):
    one = runtime_pair.one
    old, idle = reference(one, target), one.spawn(sleep, 60)
    unused = reference(one, target)
    assert old.deliver("before", 10) == 1
    break_and_mend(runtime_pair)
    for _ in range(2):
        assert old.send("a gap") == -1
        assert old.deliver("a gap", 10) == 0
        assert (idle.monitor(old), old.notify(idle), idle.notify(old), old.monitor(idle)) == (-1, -1, -1, -1)
        assert old.terminate() == -1
        assert old.link(idle) == -1
        for ask in (old.value, old.finish, lambda: old.call("x", 5)):
            with pytest.raises(PeerLost):
                ask()
        assert not old.is_alive()
    # Of what each of these sends nothing can be missing in between.
    for new in (unused, reference(one, target), pickle.loads(pickle.dumps(reference(one, target)))):
        assert new.deliver("after", 10) == 1
        assert new == old
    assert reference(one, target).send("end") == 0
    assert target.value(10) == ["before", "after", "after", "after", "end"]
    idle.terminate()


def test_M3_one_that_is_located_or_received_after_the_loss_works(runtime_pair, target):
    old = reference(runtime_pair.one, target)
    assert old.deliver("before", 10) == 1
    target.register("found anew")
    break_and_mend(runtime_pair)
    assert old.send("a gap") == -1
    found = runtime_pair.run(Coro.locate, "found anew", None, 10)
    assert found == old
    assert found.deliver("located", 10) == 1

    def passes_on(coro=None):
        return coro.receive(10).send("received")

    passing = runtime_pair.one.spawn(passes_on)
    assert reference(runtime_pair.other, passing).send(target) == 0
    assert passing.value(10) == 0
    assert found.send("end") == 0
    got = target.value(10)
    assert sorted(got) == ["before", "end", "located", "received"]


def test_M3_who_sends_on_and_on_is_told_at_the_break(runtime_pair, target):
    """Nothing that comes after a message that was lost comes through the same reference."""
    there = reference(runtime_pair.one, target)
    results = []

    def sends(coro=None):
        for number in range(20_000):
            results.append(there.send(number))
            if number % 10 == 0:
                sleep(0)

    sending = runtime_pair.one.spawn(sends)
    poll_until(lambda: len(results) > 1000)
    break_and_mend(runtime_pair)
    sending.value(60)
    refused = results.index(-1)
    assert set(results[:refused]) == {0} and set(results[refused:]) == {-1}
    reference(runtime_pair.one, target).send("end")
    got = target.value(20)[:-1]
    assert got == list(range(len(got))) and len(got) <= refused


def test_threads_that_use_a_reference_for_the_first_time_find_one_link(runtime_pair, target):
    there = reference(runtime_pair.one, target)
    found, begin = [], threading.Barrier(4)

    def use():
        begin.wait()
        found.append(there.reach())

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1 and found[0] is not None


@pytest.mark.parametrize("ask", ["value", "finish", "call"])
def test_N7_what_waits_gives_up_by_its_timeout_though_nobody_answers(runtime_pair, target, ask):
    there = reference(runtime_pair.one, target)
    hold = hold_still(runtime_pair.one.reactor)
    asking = runtime_pair.one.spawn(getattr(there, ask), *(["x", 0.5] if ask == "call" else [0.5]))
    with pytest.raises(DeadlineExceeded):
        # Much less than the time that a peer has to answer.
        asking.value(5)
    hold.set()
    assert there.deliver("end", 10) == 1
    assert [message for message in target.value(10) if isinstance(message, str)] == ["end"]


def test_of_one_that_was_over_before_anybody_asked_there_is_no_value_however_often(runtime_pair, target):
    there = reference(runtime_pair.one, target)
    target.send("end")
    target.value(10)
    for _ in range(3):
        with pytest.raises(RemoteError, match="not kept"):
            there.value(10)
    assert not open_watches(runtime_pair.one) and not runtime_pair.one.watches.outcomes


@pytest.mark.parametrize("method", ["deliver", "call"])
@pytest.mark.parametrize("how", ["throw", "terminate"])
def test_M6_what_waits_to_go_is_taken_back_where_its_sender_is_thrown_into(runtime_pair, target, method, how):
    one = runtime_pair.one
    there = reference(one, target)
    assert there.deliver("before", 10) == 1
    hold = hold_still(one.reactor)
    sending = one.spawn(getattr(there, method), "thrown into", 20)
    (link,) = one.peer_table.online()
    poll_until(lambda: one.services.answers._pending if method == "call" else link.answers.pending)
    if how == "throw":
        sending.throw(KeyError("thrown"))
    else:
        sending.terminate()
    with pytest.raises(Exception, match=r"thrown|terminated"):
        sending.value(10)
    assert not one.services.answers._pending
    hold.set()
    assert there.deliver("end", 10) == 1
    assert target.value(10) == ["before", "end"]
    assert not link.answers.pending


def test_a_copy_of_a_reference_is_bound_for_itself(runtime_pair, target):
    there = reference(runtime_pair.one, target)
    there.reach()
    again = copy.copy(there)
    assert again == there and again is not there
