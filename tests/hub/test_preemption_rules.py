"""Tests of greencoro.hub.preemption_rules."""

import pytest

from greencoro.hub.preemption_rules import MAX_RAISED, Attempts, Kind, Moment, Verdict, is_whole

CARRIER, MACHINERY, LIBRARY, USERS = Kind.CARRIER, Kind.MACHINERY, Kind.LIBRARY, Kind.USERS
RAISE, LATER, GIVE_UP = Verdict.RAISE, Verdict.LATER, Verdict.GIVE_UP

MANY = 1000


def moment(*kinds: Kind, cleans_up: bool = False, is_clean: bool = True) -> Moment:
    return Moment(kinds, cleans_up, is_clean)


def verdicts(at: Moment) -> list[Verdict]:
    """What one coroutine's attempts come to where it is met there again and again."""
    attempts = Attempts()
    return [attempts.verdict(at) for _ in range(MANY)]


@pytest.mark.parametrize(
    "kinds",
    [
        (USERS, CARRIER),
        (USERS, USERS, CARRIER, CARRIER, CARRIER),
        (LIBRARY, USERS, CARRIER),
        (USERS, LIBRARY, USERS, CARRIER),
    ],
)
def test_users_code_under_carriers_is_whole(kinds):
    assert is_whole(kinds)


@pytest.mark.parametrize(
    "kinds",
    [
        (),
        (CARRIER,),
        (CARRIER, CARRIER),
        (USERS,),
        (USERS, USERS),
        (MACHINERY, CARRIER),
        (MACHINERY, USERS, CARRIER),
        (USERS, MACHINERY, CARRIER),
        (USERS, MACHINERY, USERS, CARRIER),
        (LIBRARY, MACHINERY, USERS, CARRIER),
        (USERS, CARRIER, MACHINERY),
        (USERS, CARRIER, USERS, CARRIER),
        (CARRIER, USERS, CARRIER),
        (USERS, CARRIER, USERS),
    ],
)
def test_nothing_is_raised_where_machinery_is_under_way_or_no_carrier_is_below(kinds):
    assert not is_whole(kinds)
    assert set(verdicts(moment(*kinds))) == {LATER}


def test_it_is_raised_at_once_at_a_clean_moment_and_so_often_before_it_is_given_up():
    found = verdicts(moment(USERS, CARRIER))
    assert found[: MAX_RAISED + 1] == [RAISE] * MAX_RAISED + [GIVE_UP]
    assert set(found[MAX_RAISED:]) == {GIVE_UP}


@pytest.mark.parametrize("at", [moment(USERS, CARRIER, is_clean=False), moment(LIBRARY, USERS, CARRIER)])
def test_a_moment_that_is_not_clean_is_let_go_by_for_some_tries_only(at):
    found = verdicts(at)
    first = found.index(RAISE)
    assert 50 <= first <= 200
    assert set(found[:first]) == {LATER}
    assert found.count(RAISE) == MAX_RAISED
    assert found[-1] is GIVE_UP


def test_each_time_it_is_tried_anew_for_a_clean_moment():
    attempts = Attempts()
    dirty = moment(USERS, CARRIER, is_clean=False)
    while attempts.verdict(dirty) is LATER:
        continue
    assert attempts.raised == 1
    assert attempts.verdict(dirty) is LATER


def test_machinery_uses_up_no_tries():
    attempts = Attempts()
    for _ in range(MANY):
        assert attempts.verdict(moment(MACHINERY, USERS, CARRIER)) is LATER
    assert attempts.verdict(moment(USERS, CARRIER, is_clean=False)) is LATER


def test_who_cleans_up_is_left_alone_however_long_it_takes():
    attempts = Attempts()
    assert attempts.verdict(moment(USERS, CARRIER)) is RAISE
    for _ in range(MANY):
        assert attempts.verdict(moment(USERS, CARRIER, cleans_up=True)) is LATER
    assert attempts.verdict(moment(USERS, CARRIER)) is RAISE


def test_who_was_interrupted_for_the_last_time_may_clean_up_as_well():
    attempts = Attempts()
    for _ in range(MAX_RAISED):
        assert attempts.verdict(moment(USERS, CARRIER)) is RAISE
    assert attempts.verdict(moment(USERS, CARRIER, cleans_up=True)) is LATER
    assert attempts.verdict(moment(USERS, CARRIER)) is GIVE_UP


def test_one_given_up_is_given_up_wherever_it_is_met():
    attempts = Attempts()
    for _ in range(MAX_RAISED):
        attempts.verdict(moment(USERS, CARRIER))
    assert attempts.verdict(moment(MACHINERY, USERS, CARRIER)) is GIVE_UP
