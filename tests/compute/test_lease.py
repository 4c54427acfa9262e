import pytest

from greencoro.compute.lease import Lease, LeaseState
from greencoro.compute.node_vocabulary import Answer, Holder, Identity, Tell
from greencoro.compute.node_words import LeaseEnded, Released, Reserve, ServerDied, ServerDraining, ServerStarted
from greencoro.compute.slots import Slot, SlotState
from greencoro.distributed.location import Location

TOKEN = "ab" * 32
HOLDER, AGAIN = Holder("h" * 32, "link 1"), Holder("h" * 32, "link 2")
ASKED = Reserve(TOKEN, 7, "a client", pulse_interval=10.0, zombie_period=300.0)


def lease(own_zombie_period=0.0, **changes):
    return Lease(Reserve(**{**vars(ASKED), **changes}), HOLDER, own_zombie_period, 0.0)


def slot(number, state=SlotState.LEASED):
    return Slot(number, state, identity=Identity(f"{number:02x}" * 16, Location("10.0.0.1", number), "node", 1000))


def over_at(lease, last, pulses=True):
    for now in range(1, last):
        if pulses:
            lease.clock.pulse(float(now))
        reason = lease.overdue(float(now))
        if reason is not None:
            return now, reason
    return None


@pytest.mark.parametrize(
    ("own", "asked", "after"), [(0.0, 300.0, 300), (100.0, 300.0, 100), (400.0, 300.0, 300), (100.0, 0.0, 100)]
)
def test_J5_the_smaller_zombie_period_counts(own, asked, after):
    now, reason = over_at(lease(own, zombie_period=asked), 1000)
    assert now == after
    assert reason == f"was ended by its node, for no job ran for {after} s (zombie_period)"


def test_J5_without_a_zombie_period_nothing_is_too_idle():
    assert over_at(lease(zombie_period=0.0), 1000) is None


def test_a_lease_is_over_when_its_holder_is_silent_and_says_for_how_long():
    assert over_at(lease(), 1000, pulses=False) == (
        50,
        "was ended by its node, which heard nothing of the computation for 50 s",
    )


def test_a_lease_without_pulses_is_over_with_its_link():
    held = lease(pulse_interval=0.0)
    held.clock.lost(1.0)
    assert "connection" in held.overdue(1.0)


def test_S16_who_does_not_know_the_token_does_not_hold_it():
    held = lease()
    assert held.is_held_by(HOLDER, TOKEN)
    assert held.is_held_by(AGAIN, TOKEN)
    assert not held.is_held_by(HOLDER, "cd" * 32)
    assert not held.is_held_by(Holder("s" * 32, "link 1"), TOKEN)
    held.state = LeaseState.OVER
    assert not held.is_held_by(HOLDER, TOKEN)


def test_who_takes_it_up_again_is_told_what_it_may_have_missed():
    held, one, two = lease(), slot(1), slot(2)
    dead = slot(3)
    assert held.died(dead, "was killed", 1.0) == Tell(
        HOLDER, ServerDied(TOKEN, 7, dead.known.incarnation, "was killed")
    )
    told = list(held.take_up(AGAIN, [one, two, slot(3, SlotState.STARTING)], 2.0))
    assert {each.holder for each in told} == {AGAIN}
    assert [type(each.word) for each in told] == [ServerDied, ServerStarted, ServerStarted]
    assert [each.word.incarnation[:2] for each in told] == ["03", "01", "02"]
    held.state = LeaseState.DRAINING
    told = list(held.take_up(AGAIN, [slot(1, SlotState.DRAINED)], 2.0))
    assert [type(each.word) for each in told] == [ServerDied, ServerStarted, ServerDraining]


def test_taking_it_up_again_counts_as_a_pulse():
    held = lease(zombie_period=0.0)
    held.clock.lost(1.0)
    assert over_at(held, 6, pulses=False) is None
    list(held.take_up(AGAIN, [], 6.0))
    assert held.clock.is_linked
    assert over_at(held, 56, pulses=False) is None


def test_deaths_fill_no_memory():
    held = lease()
    for number in range(1, 201):
        held.died(slot(number), "was killed", 1.0)
    told = list(held.take_up(AGAIN, [], 2.0))
    assert len(told) == 100
    assert told[-1].word.incarnation == slot(200).known.incarnation


def test_a_server_that_died_is_not_busy():
    held = lease()
    held.clock.busy(1)
    held.died(slot(1), "was killed", 100.0)
    assert over_at(held, 1000)[0] == 400


def test_releases_are_answered_once():
    held = lease()
    held.await_end("one")
    held.await_end("two")
    assert list(held.answer_releases()) == [Answer("one", Released()), Answer("two", Released())]
    assert list(held.answer_releases()) == []


def test_its_end_is_told_with_the_reason():
    assert lease().ended("for fun") == Tell(HOLDER, LeaseEnded(TOKEN, 7, "for fun"))
