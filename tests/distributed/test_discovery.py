"""Which pings lead to a dial; no socket and no clock here."""

from greencoro.distributed.datagrams import Ping
from greencoro.distributed.discovery import DIAL_AGAIN_SECONDS, MAX_DIALS_A_SECOND, Discovery, Rate
from greencoro.distributed.location import Location

KEY = b"d" * 32
OURS, THEIRS = b"o" * 16, b"t" * 16
PLACE = Location("192.0.2.7", 51347)


def a_ping(incarnation=THEIRS, location=PLACE):
    return Ping(incarnation, location)


def test_a_ping_of_somebody_new_is_to_be_dialled():
    theirs = Discovery(THEIRS, KEY)
    assert Discovery(OURS, KEY).heard(theirs.ping(PLACE), (), 0.0) == a_ping()


def test_a_ping_on_behalf_of_another_tells_of_that_one():
    relayed = Discovery(b"r" * 16, KEY).ping(PLACE, THEIRS)
    assert Discovery(OURS, KEY).heard(relayed, (), 0.0) == a_ping()


def test_ones_own_ping_is_not_dialled():
    ours = Discovery(OURS, KEY)
    assert ours.heard(ours.ping(PLACE), (), 0.0) is None


def test_S8_nobody_who_is_online_is_dialled():
    assert Discovery(OURS, KEY).heard(a_ping().encode(KEY), {THEIRS: "a link"}, 0.0) is None


def test_S8_a_ping_under_another_secret_is_not_dialled_and_uses_nothing_up():
    ours = Discovery(OURS, KEY)
    assert ours.heard(a_ping().encode(b"e" * 32), (), 0.0) is None
    assert ours.heard(a_ping().encode(KEY), (), 0.0) is not None


def test_S8_a_replayed_ping_is_dialled_once_in_5_seconds():
    ours, datagram = Discovery(OURS, KEY), a_ping().encode(KEY)
    dialled = [now / 100 for now in range(1001) if ours.heard(datagram, (), now / 100)]
    assert dialled == [0.0, 5.0, 10.0]
    assert DIAL_AGAIN_SECONDS == 5.0


def test_S8_a_location_is_dialled_once_in_5_seconds_whatever_incarnations_are_said_to_be_there():
    ours = Discovery(OURS, KEY)
    pings = [a_ping(number.to_bytes(16, "big")).encode(KEY) for number in range(100)]
    assert sum(ours.heard(ping, (), 1.0) is not None for ping in pings) == 1


def test_S8_all_together_50_a_second_are_dialled():
    ours = Discovery(OURS, KEY)
    pings = [a_ping(location=Location("192.0.2.7", port)).encode(KEY) for port in range(1, 10_001)]
    times = [index / 1000 for index, ping in enumerate(pings) if ours.heard(ping, (), index / 1000)]
    assert MAX_DIALS_A_SECOND == 50
    for begin in range(10):
        assert 0 < sum(begin <= at < begin + 1 for at in times) <= 50
    assert max(sum(begin <= at < begin + 1 for at in times) for begin in times) <= 50


def test_S8_what_is_remembered_of_dials_is_bounded():
    rate = Rate()
    for number in range(20_000):
        rate.allows(number, number / 1000)
    assert len(rate._by_subject) <= 50 * 6
