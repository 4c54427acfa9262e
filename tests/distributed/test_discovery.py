"""Which pings lead to a dial; no socket and no clock here."""

import itertools

from greencoro.distributed.datagrams import Echo, Ping
from greencoro.distributed.discovery import (
    DIAL_AGAIN_SECONDS,
    ECHO_AGAIN_SECONDS,
    MAX_DIALS_A_SECOND,
    START_PINGS_SECONDS,
    Discovery,
    Rate,
)
from greencoro.distributed.location import Location
from greencoro.distributed.presence import NOTHING_SPECIAL, Presence

KEY = b"d" * 32
OURS, THEIRS = b"o" * 16, b"t" * 16
PLACE = Location("192.0.2.7", 51347)


def a_ping(incarnation=THEIRS, location=PLACE):
    return Ping(incarnation, location)


def test_a_ping_of_somebody_new_is_to_be_dialled():
    theirs = Discovery(THEIRS, KEY)
    assert Discovery(OURS, KEY).heard(theirs.ping(PLACE), (), 0.0) == a_ping()


def test_a_ping_on_behalf_of_another_tells_of_that_one():
    relayed = Discovery(b"r" * 16, KEY).relayed(a_ping())
    assert Discovery(OURS, KEY).heard(relayed, (), 0.0) == a_ping()


def test_ones_own_ping_is_not_dialled():
    ours = Discovery(OURS, KEY)
    assert ours.heard(ours.ping(PLACE), (), 0.0) is None


def test_a_ping_is_dialled_only_where_both_want_to_meet():
    node, scheduler = Presence("node", schedulers_only=True), Presence("scheduler")
    server = Presence("server", schedulers_only=True)
    for here, there, dialled in [
        (node, scheduler, True),
        (scheduler, node, True),
        (node, server, False),
        (node, node, False),
        (node, NOTHING_SPECIAL, False),
        (NOTHING_SPECIAL, node, False),
        (NOTHING_SPECIAL, scheduler, True),
        (scheduler, scheduler, True),
        (Presence("node"), Presence("node"), True),
        (Presence("node"), node, False),
        (Presence("scheduler", schedulers_only=True), scheduler, True),
        (Presence("scheduler", schedulers_only=True), NOTHING_SPECIAL, False),
    ]:
        ping = Discovery(THEIRS, KEY, there).ping(PLACE)
        heard = Discovery(OURS, KEY, here).heard(ping, (), 0.0)
        assert heard == (Ping(THEIRS, PLACE, there) if dialled else None), (here, there)
        assert here.meets(there) is there.meets(here) is dialled


def test_a_ping_of_one_that_is_not_to_be_met_uses_up_no_dial():
    ours = Discovery(OURS, KEY, Presence("node", schedulers_only=True))
    assert ours.heard(a_ping().encode(KEY), (), 0.0) is None
    assert ours.heard(Ping(THEIRS, PLACE, Presence("scheduler")).encode(KEY), (), 0.0) is not None


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


# Echoes.


def asked_from(place, key=KEY):
    return Echo(b"n" * 16, place).question(key)


def test_S8_a_question_is_answered_to_the_place_that_asked():
    answer = Discovery(OURS, KEY).echo(asked_from(PLACE), PLACE.addr, PLACE.port, 0.0)
    assert answer == Echo(b"n" * 16, PLACE).answer(KEY)


def test_S8_a_question_that_comes_from_elsewhere_than_it_says_is_not_answered_and_uses_nothing_up():
    ours = Discovery(OURS, KEY)
    assert ours.echo(asked_from(PLACE), "192.0.2.8", PLACE.port, 0.0) is None
    assert ours.echo(asked_from(PLACE), PLACE.addr, PLACE.port + 1, 0.0) is None
    assert ours.echo(asked_from(PLACE, b"e" * 32), PLACE.addr, PLACE.port, 0.0) is None
    assert ours.echo(asked_from(PLACE), PLACE.addr, PLACE.port, 0.0) is not None


def test_S8_pings_and_answers_are_not_answered():
    ours = Discovery(OURS, KEY)
    for datagram in (a_ping().encode(KEY), Echo(b"n" * 16, PLACE).answer(KEY)):
        assert ours.echo(datagram, PLACE.addr, PLACE.port, 0.0) is None


def test_S8_a_question_sent_again_and_again_is_answered_10_times_a_second_at_most():
    ours, datagram = Discovery(OURS, KEY), asked_from(PLACE)
    answered = [now for now in range(1000) if ours.echo(datagram, PLACE.addr, PLACE.port, now / 1000)]
    assert len(answered) == 10
    assert ECHO_AGAIN_SECONDS == 0.1


def test_S8_all_together_50_questions_a_second_are_answered():
    ours = Discovery(OURS, KEY)
    places = [Location(f"10.0.{number // 256}.{number % 256}", 7) for number in range(1000)]
    assert sum(ours.echo(asked_from(each), each.addr, each.port, 1.0) is not None for each in places) == 50


def test_an_address_of_IPv6_is_the_same_however_it_is_spelt():
    place = Location("2001:db8::7", 9)
    assert Discovery(OURS, KEY).echo(asked_from(place), "2001:0db8:0:0::0007", 9, 0.0) is not None


def test_L3_pings_come_often_enough_for_2_seconds_and_go_on_for_a_minute():
    # Of four the loss of 30 % takes all in less than one case of a hundred, and the last leaves time to connect.
    in_time = [at for at in START_PINGS_SECONDS if at <= 1.6]
    assert in_time[0] == 0.0 and 0.3 ** len(in_time) < 0.01
    assert any(DIAL_AGAIN_SECONDS < at < DIAL_AGAIN_SECONDS + 2 for at in START_PINGS_SECONDS)
    # Nobody is left to wait for more than half a minute while a network comes up.
    pauses = [later - at for at, later in itertools.pairwise(START_PINGS_SECONDS)]
    assert max(pauses) <= 30.0 and START_PINGS_SECONDS[-1] >= 60.0


def test_S8_the_pings_of_one_start_are_few_and_their_place_is_dialled_at_most_once_in_5_seconds():
    ours, datagram = Discovery(OURS, KEY), a_ping().encode(KEY)
    dialled = [at for at in START_PINGS_SECONDS if ours.heard(datagram, (), at)]
    assert len(START_PINGS_SECONDS) <= 10
    assert all(later - at >= DIAL_AGAIN_SECONDS for at, later in itertools.pairwise(dialled))
