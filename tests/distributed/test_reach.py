"""Closed runtimes: who was given no reference to something there finds nothing there (S16)."""

import itertools
import pickle
import threading

import pytest

from greencoro.distributed import reach, refs
from greencoro.distributed.link import Link
from greencoro.distributed.messages import Unlocked
from greencoro.distributed.peer_info import PeerInfo, PeerLimits
from greencoro.distributed.refs import Reference
from greencoro.distributed.standing import MAX_SHOWN
from greencoro.errors import BrokenResource, RemoteError
from greencoro.hub.coroutine import Coro
from tests.distributed.conftest import Pair, reference
from tests.distributed.test_rci import rci_at
from tests.distributed.test_remote_channel import channel_at
from tests.support.polling import poll_until


@pytest.fixture
def closed_pair(world):
    """`one`, and a closed `other`; they are peers."""
    one, other = world.runtime(), world.runtime(closed=True)
    assert one.peer(other.location, timeout=10) == 0
    poll_until(lambda: one.location in other.peers(), what="the other side knows as well")
    return Pair(one, other, world)


def keep(coro=None):
    """Collects what comes, until None does."""
    kept = []
    while (message := coro.receive()) is not None:
        kept.append(message)
    return kept


def arrived(at, thing):
    """What a reference to ``thing`` becomes that travels to the runtime ``at``."""
    place, port, incarnation, number, name, *key = thing.__reduce__()[1]
    return at.resolve(Reference(refs.Location(place, port), incarnation, number, name, *key))


def without_key(at, thing):
    """As `arrived`, by somebody who made it up of what is no secret."""
    return at.resolve(thing_reference(thing)._replace(key=b""))


def thing_reference(thing):
    place, port, incarnation, number, name, *key = thing.__reduce__()[1]
    return Reference(refs.Location(place, port), incarnation, number, name, *key)


@pytest.fixture
def keeper(closed_pair):
    made = closed_pair.other.spawn(keep)
    yield made
    made.send(None)
    assert made.value(10) == [], "nothing reached it"


def test_S16_send_and_deliver_without_the_key_reach_nobody(closed_pair, keeper):
    there = without_key(closed_pair.one, keeper)
    there.send("a")
    assert there.deliver("b", 10) == 0
    poll_until(lambda: closed_pair.other.reach.refused >= 1)


def test_S16_terminate_without_the_key_ends_nobody(closed_pair, keeper):
    assert without_key(closed_pair.one, keeper).terminate() == -1
    assert without_key(closed_pair.one, keeper).terminate(hard=True) == -1
    assert closed_pair.other.reach.refused == 2
    assert keeper.is_alive()


def test_S16_a_result_cannot_be_read_without_the_key(closed_pair):
    read = closed_pair.other.spawn(lambda coro=None: coro.receive())
    with pytest.raises(RemoteError, match="over or unknown"):
        without_key(closed_pair.one, read).value(10)

    def watch(coro=None):
        return coro.monitor(without_key(closed_pair.one, read)), coro.receive(timeout=0)

    assert closed_pair.run(watch) == (-1, None)
    assert not read._observers
    read.send("over")
    assert read.value(10) == "over"


def test_S16_nobody_is_joined_without_the_key(closed_pair, keeper):
    there = without_key(closed_pair.one, keeper)

    def join(coro=None):
        return coro.link(there), coro.notify(there), there.link(coro)

    assert closed_pair.run(join) == (-1, -1, -1)
    assert not keeper._observers
    with pytest.raises(BrokenResource):
        without_key(closed_pair.one, keeper).call("question", 10)


def test_S16_a_coroutine_there_is_not_watched_on_behalf_of_who_has_no_key(closed_pair, keeper):
    """Another one there, which it may reach, would be sent the notice."""
    forged = without_key(closed_pair.other, keeper)
    assert forged is not keeper
    assert forged.send("x") == -1 and forged.terminate() == -1
    watcher = closed_pair.other.spawn(lambda coro=None: (coro.monitor(forged), coro.receive(timeout=0)))
    assert watcher.value(10) == (-1, None)
    assert arrived(closed_pair.other, keeper) is keeper
    channel, rci = channel_at(closed_pair.other), rci_at(closed_pair.other, keep)
    assert arrived(closed_pair.other, channel) is channel and arrived(closed_pair.other, rci) is rci
    assert not without_key(closed_pair.other, channel).is_local()
    assert not without_key(closed_pair.other, rci).is_local()
    channel.close()
    rci.unregister()


def test_S16_names_are_not_found_without_the_key(closed_pair, keeper):
    def register(coro=None):
        coro.register("a name")
        return coro.receive()

    named = closed_pair.other.spawn(register)
    poll_until(lambda: closed_pair.other.names.lookup("coro", "a name") is not None)
    assert closed_pair.run(lambda: Coro.locate("a name", closed_pair.other.location, 0.3)) is None
    assert closed_pair.other.reach.refused >= 1
    assert not closed_pair.other.names._listeners, "nothing is kept for who may not look"
    named.send(None)
    named.value(10)


def test_S16_channels_pass_nothing_on_and_take_nobody_without_the_key(closed_pair, keeper):
    channel = channel_at(closed_pair.other)
    assert channel.subscribe(keeper) == 0
    there = without_key(closed_pair.one, channel)
    there.send("a")
    assert there.deliver("b", 10) == 0
    mine = closed_pair.one.spawn(keep)
    for_mine = without_key(closed_pair.one, channel)
    assert for_mine.subscribe(mine, 10) == -1
    assert without_key(closed_pair.one, channel).unsubscribe(arrived(closed_pair.one, keeper), 10) == -1
    assert channel.subscribers() == (keeper,)
    mine.send(None)
    mine.value(10)
    channel.close()


def test_S16_an_rci_starts_nothing_without_the_key(closed_pair):
    started = []
    rci = rci_at(closed_pair.other, lambda: started.append(1))
    with pytest.raises(BrokenResource, match="not registered"):
        closed_pair.run(lambda: without_key(closed_pair.one, rci)())
    assert not started
    assert closed_pair.run(lambda: arrived(closed_pair.one, rci)().value(10)) is None
    assert started == [1]
    rci.unregister()


def test_S16_files_are_neither_taken_nor_removed_without_the_key(world, tmp_path):
    one, other = world.runtime(), world.runtime(closed=True, dest_path=tmp_path / "there")
    (tmp_path / "mine").write_text("by a stranger")
    (tmp_path / "there" / "kept").write_text("by its owner")
    assert one.send_file(other.location, tmp_path / "mine") == -1
    assert one.del_file(other.location, "kept") == -1
    assert [path.name for path in (tmp_path / "there").iterdir() if not path.name.startswith(".")] == ["kept"]
    assert other.reach.refused == 2
    one.reach.show(one.peer_table.links[other.incarnation], other.reach.key)
    assert one.send_file(other.location, tmp_path / "mine") == 0
    assert one.del_file(other.location, "kept") == 0


def test_files_go_between_closed_runtimes_that_share_a_key(world, tmp_path):
    one, other = (world.runtime(closed=True, dest_path=tmp_path / str(number)) for number in range(2))
    (tmp_path / "mine").write_text("there")
    assert one.send_file(other.location, tmp_path / "mine") == -1
    one.reach.key = other.reach.key
    assert one.send_file(other.location, tmp_path / "mine") == 0
    # Who gets a file is shown no key, and what it is told proves nothing to others or by them.
    assert not one.peer_table.links[other.incarnation].standing.shown
    proofs = {other.reach.proof(*pair) for pair in itertools.permutations((b"a" * 16, b"b" * 16, b"c" * 16), 2)}
    assert len(proofs) == 6


def test_S16_a_wrong_key_opens_nothing_and_the_right_one_behind_it_does(closed_pair):
    keeper = closed_pair.other.spawn(keep)
    wrong = closed_pair.one.resolve(thing_reference(keeper)._replace(key=b"w" * 16))
    assert wrong.deliver("a", 10) == 0
    # And what the refusal said of it is forgotten: nobody can keep others out by handing on wrong references.
    assert arrived(closed_pair.one, keeper).deliver("b", 10) == 1
    assert arrived(closed_pair.one, keeper).send(None) == 0
    assert keeper.value(10) == ["b"]


def test_S16_wrong_keys_however_many_keep_nobody_out(closed_pair):
    keeper = closed_pair.other.spawn(keep)
    for number in range(2 * MAX_SHOWN):
        wrong = thing_reference(keeper)._replace(key=number.to_bytes(16, "big"))
        closed_pair.one.resolve(wrong).terminate()
    (link,) = closed_pair.one.peer_table.online()
    assert len(link.standing.shown) == MAX_SHOWN
    assert arrived(closed_pair.one, keeper).deliver("b", 10) == 1
    keeper.send(None)
    assert keeper.value(10) == ["b"]


def test_who_was_given_a_reference_does_all_that_it_does_elsewhere(closed_pair):
    """M1, M8 and the like: the key makes no difference that its user sees."""
    keeper = closed_pair.other.spawn(keep)
    there = arrived(closed_pair.one, keeper)
    assert there.send("first") == 0
    assert there.deliver("second", 10) == 1

    def watch(coro=None):
        heard = coro.monitor(there)
        there.send(None)
        return heard, coro.receive().value

    assert closed_pair.run(watch) == (0, ["first", "second"])
    sleeper = arrived(closed_pair.one, closed_pair.other.spawn(keep))
    assert sleeper.terminate() == 0
    channel = channel_at(closed_pair.other)
    mine = closed_pair.one.spawn(keep)
    assert arrived(closed_pair.one, channel).subscribe(mine, 10) == 0
    assert arrived(closed_pair.one, channel).deliver("through it", 10) == 1
    mine.send(None)
    assert mine.value(10) == ["through it"]
    channel.close()
    assert closed_pair.other.reach.refused == 0


def test_the_first_messages_of_many_threads_come_behind_the_key(closed_pair):
    keeper = closed_pair.other.spawn(keep)
    start = threading.Barrier(8)

    def send(number):
        mine = arrived(closed_pair.one, keeper)
        start.wait()
        assert mine.send(number) == 0

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert arrived(closed_pair.one, keeper).deliver(None, 10) == 1
    assert sorted(keeper.value(10)) == list(range(8))
    assert closed_pair.other.reach.refused == 0


def test_the_key_does_not_wait_behind_what_is_on_its_way(closed_pair):
    keeper = closed_pair.other.spawn(keep)
    (info,) = closed_pair.one.peer_infos()
    assert closed_pair.one.post(info, "greencoro.ping", {}, [bytes(30_000_000)]) == 0
    assert arrived(closed_pair.one, keeper).deliver("small", 20) == 1
    keeper.send(None)
    assert keeper.value(10) == ["small"]


def test_what_was_said_to_be_gone_before_the_key_was_taken_need_not_be():
    handlers = {}
    dispatcher = type("Table", (), {"register": lambda self, kind, handler: handlers.update({kind: handler})})()
    taken = []
    one = reach.Reach(dispatcher, b"", taken.append)
    link = Link(PeerInfo(None, "peer", b"i" * 16), lambda *args: None, PeerLimits(9, 5000, 5000))
    link.target_gone(5)
    one.show(link, b"k" * 16)
    assert not link.gone
    link.target_gone(5)
    # So many references with wrong keys came meanwhile that the right one is forgotten.
    for number in range(2 * MAX_SHOWN):
        one.show(link, number.to_bytes(16, "big"))
    link.target_gone(5)
    handlers[Unlocked](link, Unlocked(b"k" * 16))
    assert not link.gone and taken == [link] and link.standing.key == b"k" * 16
    link.target_gone(6)
    handlers[Unlocked](link, Unlocked(b"x" * 16))
    assert list(link.gone) == [6] and taken == [link] and link.standing.key == b"k" * 16


def test_a_key_is_shown_while_the_reactor_makes_room_for_what_is_gone(monkeypatch):
    monkeypatch.setattr("greencoro.distributed.link._MAX_GONE", 2)
    one = reach.Reach(type("Table", (), {"register": lambda *_: None})(), b"", None)
    link = Link(PeerInfo(None, "peer", b"i" * 16), lambda *args: None, PeerLimits(9, 5000, 5000))
    showing = threading.Thread(target=one.show, args=(link, b"k" * 16))

    class Looked(dict):
        def __iter__(self):
            if not showing.ident:
                showing.start()
                # As long as it takes where nothing keeps it from that.
                showing.join(0.3)
            return super().__iter__()

    link.gone = Looked({1: None, 2: None})
    link.target_gone(3)
    showing.join(10)
    assert not showing.is_alive() and not list(link.gone)


def test_of_two_threads_that_show_a_key_none_goes_on_before_it_is_queued(monkeypatch):
    """The first may be held up before it has queued it, and the second one's message would come first."""
    one = reach.Reach(type("Table", (), {"register": lambda *_: None})(), b"", None)
    link = Link(PeerInfo(None, "peer", b"i" * 16), lambda *args: None, PeerLimits(9, 5000, 5000))
    held, go_on, sent = threading.Event(), threading.Event(), []

    def send(key, buffers):
        if not held.is_set():
            held.set()
            go_on.wait(10)
        sent.append(buffers)

    monkeypatch.setattr(link, "send", send)
    first = threading.Thread(target=one.show, args=(link, b"k" * 16))
    first.start()
    assert held.wait(10)
    one.show(link, b"k" * 16)
    assert len(sent) == 1
    go_on.set()
    first.join(10)
    one.show(link, b"k" * 16)
    assert len(sent) == 2


def test_S16_a_closed_runtime_lets_nobody_in_because_it_was_let_in_there(world):
    one, other = world.runtime(closed=True), world.runtime(closed=True)
    kept, keeper = one.spawn(keep), other.spawn(keep)
    assert arrived(one, keeper).deliver("a", 10) == 1
    (link,) = one.peer_table.online()
    poll_until(lambda: link.standing.key == other.reach.key)
    assert without_key(other, kept).deliver("x", 10) == 0
    for each in (kept, keeper):
        each.send(None)
    assert (kept.value(10), keeper.value(10)) == ([], ["a"])


def test_a_reference_that_is_handed_on_works_for_who_gets_it(closed_pair):
    third = closed_pair.world.runtime()
    keeper = closed_pair.other.spawn(keep)

    def pass_on(to, coro=None):
        to.send(coro.receive())

    def use(coro=None):
        return coro.receive().deliver("from a third", 10)

    user = third.spawn(use)
    between = closed_pair.one.spawn(pass_on, reference(closed_pair.one, user))
    assert closed_pair.other.spawn(lambda: reference(closed_pair.other, between).send(keeper)).value(10) == 0
    assert user.value(20) == 1
    keeper.send(None)
    assert keeper.value(10) == ["from a third"]


def test_a_name_is_found_once_the_key_was_shown_and_what_was_found_can_be_handed_on(closed_pair):
    def register(coro=None):
        coro.register("late")
        return keep(coro)

    named = closed_pair.other.spawn(register)
    poll_until(lambda: closed_pair.other.names.lookup("coro", "late") is not None)
    looking = closed_pair.one.spawn(lambda: Coro.locate("late", closed_pair.other.location, 20))
    poll_until(lambda: closed_pair.other.reach.refused >= 1, what="it was looked for in vain")
    keeper = closed_pair.other.spawn(keep)
    assert arrived(closed_pair.one, keeper).terminate() == 0
    found = looking.value(10)
    assert found == arrived(closed_pair.one, named)
    assert thing_reference(found).key == closed_pair.other.reach.key
    third = closed_pair.world.runtime()
    assert arrived(third, found).deliver("found", 10) == 1
    named.send(None)
    assert named.value(10) == ["found"]


def test_a_name_that_is_waited_for_is_asked_for_once_after_the_key_was_shown(closed_pair):
    """Asked for twice, the link would end."""
    keeper = closed_pair.other.spawn(keep)
    assert arrived(closed_pair.one, keeper).deliver("here", 10) == 1
    looking = closed_pair.one.spawn(lambda: Coro.locate("later", closed_pair.other.location, 20))
    poll_until(lambda: closed_pair.other.names._listeners, what="it is looked for")

    def register(coro=None):
        coro.register("later")
        return keep(coro)

    named = closed_pair.other.spawn(register)
    assert looking.value(10) == arrived(closed_pair.one, named)
    assert len(closed_pair.one.peers()) == 1
    for each in (named, keeper):
        each.send(None)
        each.value(10)


def test_the_key_is_shown_anew_on_each_link(closed_pair):
    keeper = closed_pair.other.spawn(keep)
    assert arrived(closed_pair.one, keeper).deliver("before", 10) == 1
    closed_pair.cut()
    poll_until(lambda: not closed_pair.one.peers() and not closed_pair.other.peers())
    assert closed_pair.one.peer(closed_pair.other.location, timeout=10) == 0
    assert without_key(closed_pair.one, keeper).deliver("without", 10) == 0
    assert arrived(closed_pair.one, keeper).deliver("after", 10) == 1
    keeper.send(None)
    assert keeper.value(10) == ["before", "after"]


def test_what_a_layer_above_refers_to_by_number_takes_the_key(closed_pair):
    keeper = closed_pair.other.spawn(keep)
    info = PeerInfo(closed_pair.other.location, closed_pair.other.name, closed_pair.other.incarnation)
    assert closed_pair.one.reference(info, keeper.id, "keep").deliver("a", 10) == 0
    made = closed_pair.one.reference(info, keeper.id, "keep", key=closed_pair.other.reach.key)
    assert made.deliver("b", 10) == 1
    keeper.send(None)
    assert keeper.value(10) == ["b"]


def test_of_an_open_runtime_nobody_has_to_show_anything(runtime_pair):
    keeper = runtime_pair.other.spawn(keep)
    assert runtime_pair.other.reach.key == b"" and thing_reference(keeper).key == b""
    made_up = runtime_pair.one.resolve(thing_reference(keeper)._replace(key=b"x" * 16))
    assert made_up.deliver("a", 10) == 1
    (link,) = runtime_pair.one.peer_table.online()
    assert link.standing.key == b""
    keeper.send(None)
    assert keeper.value(10) == ["a"]


def test_a_key_is_shown_to_nobody_who_reads_a_log(closed_pair):
    keeper = closed_pair.other.spawn(keep)
    key = closed_pair.other.reach.key
    shown = repr(thing_reference(keeper)) + repr(arrived(closed_pair.one, keeper)) + repr(closed_pair.other)
    assert repr(key)[2:-1] not in shown and key.hex() not in shown
    assert key in pickle.dumps(keeper)
    keeper.terminate()


def test_each_runtime_has_a_key_of_its_own_of_16_bytes(world):
    one, other = world.runtime(closed=True), world.runtime(closed=True)
    assert len(one.reach.key) == len(other.reach.key) == 16
    assert one.reach.key != other.reach.key


def test_keys_are_compared_in_a_time_that_does_not_tell_how_alike_they_are(monkeypatch):
    compared = []
    monkeypatch.setattr(reach.hmac, "compare_digest", lambda *keys: compared.append(keys) or False)
    standing = reach.Reach(type("Nobody", (), {"register": lambda *_: None})(), b"k" * 16, lambda link: None)
    assert not standing.is_own(b"k" * 16)
    assert compared == [(b"k" * 16, b"k" * 16)]
