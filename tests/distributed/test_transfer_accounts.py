import pytest

from greencoro.distributed import transfer_accounts
from greencoro.distributed.location import Location
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.transfer_accounts import Accounts
from greencoro.distributed.transfer_plan import Limits
from greencoro.distributed.transfer_words import Place
from greencoro.errors import BusyResource, TransferError

LOCATION = Location("127.0.0.1", 1)
ONE, OTHER = PeerInfo(LOCATION, "one", b"1" * 16), PeerInfo(LOCATION, "other", b"2" * 16)
F, G = Place((), "f"), Place(("d",), "g")


@pytest.fixture
def accounts():
    return Accounts(Limits(0, 1000))


def put(accounts, peer, place, size):
    accounts.reserve(peer, place, size, 0)
    accounts.placed(peer, place, size)
    accounts.release(peer, place, size)


def refused(accounts, peer, place, size):
    with pytest.raises(TransferError, match="max_dest_size is 1000"):
        accounts.reserve(peer, place, size, 0)
    return True


def test_F4_a_file_that_replaces_another_counts_as_what_is_there_in_the_end(accounts):
    put(accounts, ONE, F, 600)
    put(accounts, ONE, F, 600)
    put(accounts, ONE, F, 900)
    assert refused(accounts, ONE, G, 101)
    assert refused(accounts, ONE, F, 1001)
    put(accounts, ONE, F, 100)
    put(accounts, ONE, G, 900)


def test_F4_what_did_not_come_counts_no_more(accounts):
    accounts.reserve(ONE, F, 600, 0)
    assert refused(accounts, ONE, G, 401)
    accounts.release(ONE, F, 600)
    put(accounts, ONE, G, 1000)


def test_F4_a_file_that_is_removed_while_its_successor_is_on_the_way_makes_no_room_that_there_is_not(accounts):
    put(accounts, ONE, F, 600)
    accounts.reserve(ONE, F, 700, 0)
    accounts.removed(F)
    assert refused(accounts, ONE, G, 301)
    accounts.placed(ONE, F, 700)
    accounts.release(ONE, F, 700)
    put(accounts, ONE, G, 300)


def test_F4_two_files_on_the_way_to_one_place_count_as_the_larger(accounts):
    accounts.reserve(ONE, F, 600, 0)
    accounts.reserve(ONE, F, 700, 0)
    accounts.reserve(ONE, F, 500, 0)
    assert refused(accounts, ONE, G, 301)
    accounts.release(ONE, F, 700)
    assert refused(accounts, ONE, G, 401)
    accounts.reserve(ONE, G, 400, 0)


def test_F4_each_peer_has_its_own_files_and_who_replaces_another_ones_has_it_instead(accounts):
    put(accounts, ONE, F, 1000)
    put(accounts, OTHER, G, 900)
    assert refused(accounts, OTHER, F, 101)
    put(accounts, OTHER, F, 100)
    put(accounts, ONE, Place((), "h"), 1000)


def test_F4_whoever_removes_a_file_its_owner_has_room_again(accounts):
    put(accounts, ONE, F, 1000)
    put(accounts, OTHER, G, 1000)
    accounts.removed(G)
    assert refused(accounts, ONE, Place((), "h"), 1)
    put(accounts, OTHER, G, 1000)


def test_F4_to_remove_what_was_never_counted_makes_no_room(accounts):
    put(accounts, ONE, F, 900)
    accounts.removed(G)
    accounts.removed(G)
    assert refused(accounts, ONE, G, 101)


def test_F4_a_file_that_is_forgotten_among_many_counts_on(accounts, monkeypatch):
    monkeypatch.setattr(transfer_accounts, "_MAX_PLACES", 2)
    for name in "abc":
        put(accounts, ONE, Place((), name), 300)
    accounts.removed(Place((), "a"))
    assert refused(accounts, ONE, F, 101)
    accounts.removed(Place((), "b"))
    put(accounts, ONE, F, 400)


def test_what_is_remembered_of_peers_is_bounded(accounts, monkeypatch):
    monkeypatch.setattr(transfer_accounts, "_MAX_PEERS", 2)
    peers = [PeerInfo(LOCATION, str(number), bytes([number] * 16)) for number in range(5)]
    for number, peer in enumerate(peers):
        accounts.begin(peer)
        put(accounts, peer, Place((), str(number)), 1000)
        accounts.end(peer)
    assert len(accounts._kept) == 2
    for number in range(5):
        accounts.removed(Place((), str(number)))
    assert not accounts._kept
    assert not accounts._owners
    assert not accounts._coming
    assert not accounts._under_way


def test_B1_transfers_of_all_peers_together_are_bounded_and_what_is_over_makes_room(accounts):
    peers = [PeerInfo(LOCATION, str(number), b"%016d" % number) for number in range(5)]
    for peer in peers[:4]:
        for _ in range(16):
            accounts.begin(peer)
    with pytest.raises(BusyResource, match="16 transfers of this peer"):
        accounts.begin(peers[0])
    with pytest.raises(BusyResource, match="64 transfers of all peers together"):
        accounts.begin(peers[4])
    accounts.end(peers[0])
    accounts.begin(peers[4])
    with pytest.raises(BusyResource):
        accounts.begin(peers[0])
