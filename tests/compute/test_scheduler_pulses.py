"""What a scheduler decides about nodes that it pulses: that are away, silent, idle, or were its own process's fault."""

import pytest

from greencoro.compute import client_words as client
from greencoro.compute import scheduler_vocabulary as vocabulary
from greencoro.compute.node_words import Free
from greencoro.compute.scheduler_records import NodeState
from greencoro.compute.scheduler_report import problems
from greencoro.compute.scheduler_state import SchedulerState
from tests.compute.scheduler_events import (
    ASKED,
    CLOSE,
    HERE,
    LOST,
    RESERVED,
    accept,
    feed,
    names,
    orders,
    started,
    told,
    up,
)


@pytest.fixture
def state():
    return SchedulerState(HERE)


PULSED = (vocabulary.Submitted(1, pulses=True), up(), accept(), vocabulary.Granted("n", 1), started())
LOSS = vocabulary.NodeLost("n", "reset")


def test_node_is_watched_from_when_it_is_reserved(state):
    assert orders(feed(state, *ASKED)) == [vocabulary.Reserve("n", 1, 1)]
    assert orders(feed(state, vocabulary.Granted("n", 1))) == [vocabulary.Watch("n", 1, 1)]


def test_node_whose_connection_broke_keeps_its_servers_and_goes_on_when_it_is_back(state):
    feed(state, *PULSED)
    assert feed(state, LOSS) == []
    assert "cannot be reached now: reset" in problems(state)[-1]
    assert feed(state, up()) == [vocabulary.Reserve("n", 1, 1)]
    assert feed(state, started(), vocabulary.Granted("n", 1)) == [vocabulary.Watch("n", 1, 1)]
    assert list(state.servers) == ["s"]


def test_node_whose_connection_broke_is_lost_where_nobody_pulses(state):
    feed(state, *RESERVED, started())
    assert names(feed(state, LOSS)) == ["ServerGone", "NodeChanged"]


def test_node_without_servers_is_lost_at_once(state):
    feed(state, *PULSED[:-1])
    assert names(feed(state, LOSS)) == ["NodeChanged"]


def test_node_that_has_ended_the_lease_while_it_was_away_is_asked_for_another_one(state):
    feed(state, *PULSED, LOSS, up())
    instructions = feed(state, vocabulary.Refused("n", 1, "does not take the computation: the reservation has ended"))
    assert [(each.server, each.closed) for each in told(instructions)] == [("s", True)]
    assert orders(feed(state, vocabulary.Retry("n", 1))) == [vocabulary.Reserve("n", 1, 2)]


def test_J4_node_that_is_silent_for_five_pulses_is_lost_for_good(state):
    feed(state, *PULSED)
    server, node = told(feed(state, vocabulary.NodeLost("n", "it was silent", for_good=True)))
    assert "it was silent" in server.explanation
    assert node.change is LOST


def test_node_that_is_away_and_does_not_come_back_is_lost(state):
    feed(state, *PULSED, LOSS)
    gone = vocabulary.NodeLost("n", "it was silent", for_good=True)
    assert names(feed(state, gone)) == ["ServerGone", "NodeChanged"]
    assert feed(state, gone) == []


@pytest.mark.parametrize("events", [(LOSS, "unreachable"), ("unreachable", LOSS)])
def test_node_is_lost_at_once_where_one_of_its_servers_cannot_be_reached_either(state, events):
    feed(state, *PULSED)
    unreachable = client.Unreachable(1, "s", "reset")
    instructions = feed(state, *(unreachable if each == "unreachable" else each for each in events))
    server, node = told(instructions)
    assert "was lost with its node 10.0.0.1: reset" in server.explanation
    assert node.change is LOST
    assert state.nodes == {}


def test_close_does_not_wait_for_a_node_that_is_away_but_for_the_others(state):
    feed(state, *PULSED, up("m", "b"), accept("m"), vocabulary.Granted("m", 2), LOSS)
    assert names(feed(state, CLOSE)) == ["NodeChanged"]
    assert names(feed(state, vocabulary.Released("m", 2))) == ["NodeChanged", "Ended"]


@pytest.mark.parametrize(
    "late",
    [vocabulary.Granted("n", 1), vocabulary.Refused("n", 1, "busy"), vocabulary.Unanswered("n", 1, "did not say")],
)
def test_answer_of_a_node_that_is_away_counts_for_nothing(state, late):
    feed(state, *PULSED, LOSS)
    assert feed(state, late) == []
    assert state.nodes["n"].state is NodeState.AWAY


def test_what_is_free_at_a_node_is_told_of_the_present_reservation(state):
    feed(state, *PULSED)
    free = Free(99.0, 1, 2, 100.0)
    [notice] = told(feed(state, vocabulary.NodeFree("n", 1, free), vocabulary.NodeFree("n", 2, free)))
    # The next computation's filters are told what was free last.
    assert state.nodes["n"].facts.free == free
    assert (notice.node, notice.address, notice.free) == ("n", "10.0.0.1", free)
    feed(state, CLOSE)
    assert feed(state, vocabulary.NodeFree("n", 1, free)) == []


def test_J9_computation_is_over_where_this_process_was_stopped_for_too_long(state):
    feed(state, *PULSED)
    assert feed(state, vocabulary.Overslept(2, "another's")) == []
    assert orders(feed(state, vocabulary.Overslept(1, "it was stopped"))) == [vocabulary.Release("n", 1, 1)]
    ended = told(feed(state, vocabulary.Released("n", 1)))[-1]
    assert ended.reason == "it was stopped"
