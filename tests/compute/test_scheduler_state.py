import dataclasses

import pytest

from greencoro.compute import client_words as client
from greencoro.compute import scheduler_vocabulary as vocabulary
from greencoro.compute.node_words import Free
from greencoro.compute.scheduler_report import problems, ready_locations
from greencoro.compute.scheduler_state import SchedulerState
from greencoro.errors import LocalProtocolError
from tests.compute.scheduler_events import (
    ASKED,
    AT,
    CLOSE,
    CLOSED,
    HERE,
    LOOKED,
    LOST,
    READY,
    SUBMITTED,
    accept,
    facts,
    feed,
    names,
    orders,
    started,
    told,
    up,
)

REFUSED = client.Verdict(1, "n", accepted=False, reason="too small")


@pytest.fixture
def state():
    return SchedulerState(HERE)


def test_the_client_is_told_of_all_in_the_order_in_which_it_happens(state):
    instructions = feed(state, *READY, CLOSE, vocabulary.Released("n", 1))
    assert names(instructions) == ["Begun", "NodeOffered", "ServerStarted", "NodeChanged", "Ended"]
    assert [each.number for each in told(instructions)] == [1, 2, 3, 4, 5]
    assert {each.computation for each in told(instructions)} == {1}


def test_a_notice_says_what_it_is_about(state):
    begun, offered, server = told(feed(state, *READY))
    assert begun == client.Begun(1, 1, HERE)
    assert offered == client.NodeOffered(1, 2, "n", facts("10.0.0.1"))
    assert server == client.ServerStarted(1, 3, "n", 1, "s", AT, "node-1")


def test_node_that_comes_before_the_computation_is_offered_once(state):
    assert feed(state, up()) == []
    assert names(feed(state, SUBMITTED)) == ["Begun"]
    assert names(feed(state, LOOKED)) == ["NodeOffered"]
    assert feed(state, up()) == []


def test_node_is_reserved_when_the_client_accepts_it_and_once(state):
    assert orders(feed(state, SUBMITTED, up())) == []
    assert feed(state, accept()) == [vocabulary.Reserve("n", 1, 1)]
    assert feed(state, accept()) == []


def test_node_that_the_client_does_not_want_is_not_reserved_and_offered_to_the_next(state):
    feed(state, SUBMITTED, vocabulary.Submitted(2), up())
    assert feed(state, REFUSED) == [vocabulary.LookLater("n", facts("10.0.0.1"), 1)]
    assert problems(state) == ["node 10.0.0.1 is not used: too small"]
    assert names(feed(state, CLOSE)) == ["Ended", "Begun"]
    assert names(feed(state, LOOKED)) == ["NodeOffered"]


def test_a_node_is_offered_with_what_is_free_there_now(state):
    feed(state, *READY, vocabulary.Submitted(2))
    *_, look = feed(state, CLOSE, vocabulary.Released("n", 1))
    assert look == vocabulary.Look("n", facts("10.0.0.1"))
    fresh = dataclasses.replace(facts("10.0.0.1"), free=Free(50.0, 1000, 2000, 0.0))
    [offered] = told(feed(state, vocabulary.Looked("n", fresh)))
    assert offered.facts.free.memory == 1000


def test_a_node_that_was_not_wanted_is_offered_again_when_it_was_looked_at(state):
    feed(state, SUBMITTED, up(), REFUSED)
    assert names(feed(state, LOOKED)) == ["NodeOffered"]
    assert problems(state) == ["node 10.0.0.1 is not used: too small"]
    assert feed(state, accept()) == [vocabulary.Reserve("n", 1, 1)]
    # Of one that is in use, is given back or is lost, nothing is decided anew.
    assert feed(state, LOOKED, vocabulary.Granted("n", 1), LOOKED) == [vocabulary.Watch("n", 1, 1)]
    assert feed(state, CLOSE, LOOKED) == [vocabulary.Release("n", 1, 1)]
    assert feed(state, vocabulary.NodeLost("n", "x"), LOOKED)[2:] == []


def test_verdict_of_another_computation_counts_for_nothing(state):
    feed(state, SUBMITTED, vocabulary.Submitted(2), up())
    assert feed(state, accept(computation=2)) == []


def test_server_is_ready_only_after_its_set_up(state):
    feed(state, *READY[:-1])
    assert ready_locations(state) == []
    assert "still being set up" in problems(state)[0]
    feed(state, READY[-1])
    assert ready_locations(state) == [AT]
    assert problems(state) == []


def test_server_whose_set_up_failed_is_named_as_a_problem(state):
    feed(state, *READY[:-1], client.SetUpFailed(1, "s", "no module named x"))
    assert ready_locations(state) == []
    assert str(AT) in problems(state)[0] and "no module named x" in problems(state)[0]


def test_news_of_a_server_may_overtake_the_answer_to_the_reservation(state):
    assert names(feed(state, *ASKED, started()))[-1] == "ServerStarted"
    assert feed(state, vocabulary.Granted("n", 1), started()) == [vocabulary.Watch("n", 1, 1)]


def test_server_of_an_earlier_reservation_is_none(state):
    feed(state, *ASKED, vocabulary.Refused("n", 1, "busy"), vocabulary.Retry("n", 1), vocabulary.Granted("n", 2))
    assert feed(state, started(attempt=1)) == []
    assert names(feed(state, started(attempt=2))) == ["ServerStarted"]
    assert feed(state, vocabulary.ServerDied("n", 1, "s", "late"), vocabulary.ServerDraining("n", 1, "s")) == []


def test_dead_server_is_told_once(state):
    feed(state, *READY)
    [gone] = told(feed(state, vocabulary.ServerDied("n", 1, "s", "was killed")))
    assert (gone.server, gone.explanation, gone.closed) == ("s", "was killed", False)
    assert feed(state, vocabulary.ServerDied("n", 1, "s", "again"), client.Unreachable(1, "s", "x")) == []
    assert problems(state) == ["node 10.0.0.1 has no server running yet, the last one was killed"]
    feed(state, started("t"), client.SetUpDone(1, "t"))
    assert state.nodes["n"].last_end == ""


def test_a_node_that_the_client_gives_back_is_released_and_not_offered_to_it_again(state):
    feed(state, *READY)
    reject = client.Verdict(1, "n", accepted=False, reason="its servers die")
    instructions = feed(state, reject)
    assert orders(instructions) == [vocabulary.Release("n", 1, 1)]
    [gone] = told(instructions)
    assert gone.closed
    assert problems(state) == ["node 10.0.0.1 is not used any more: its servers die"]
    assert names(feed(state, vocabulary.Released("n", 1))) == ["NodeChanged"]
    assert problems(state) == ["node 10.0.0.1 is not used any more: its servers die"]
    feed(state, vocabulary.Submitted(2))
    assert names(feed(state, CLOSE, LOOKED)) == ["Ended", "Begun", "NodeOffered"]


def test_a_close_waits_for_a_node_that_is_given_back(state):
    feed(state, *READY, client.Verdict(1, "n", accepted=False, reason="its servers die"))
    assert feed(state, CLOSE) == []
    assert names(feed(state, vocabulary.Released("n", 1))) == ["NodeChanged", "Ended"]


def test_draining_server_is_not_ready_any_more(state):
    feed(state, *READY)
    assert names(feed(state, vocabulary.ServerDraining("n", 1, "s"))) == ["ServerDraining"]
    assert ready_locations(state) == []


def test_server_that_the_client_cannot_reach_is_explained_by_its_node(state):
    feed(state, *READY)
    assert feed(state, client.Unreachable(1, "s", "reset")) == [vocabulary.AwaitExplanation("s", "reset")]
    assert ready_locations(state) == []
    [gone] = told(feed(state, vocabulary.ServerDied("n", 1, "s", "was killed")))
    assert gone.explanation == "was killed"
    assert feed(state, vocabulary.Unexplained("s", "reset")) == []


def test_server_that_nobody_explains_is_replaced(state):
    feed(state, *READY, client.Unreachable(1, "s", "reset"))
    replace, gone = feed(state, vocabulary.Unexplained("s", "reset"))
    assert replace == vocabulary.Replace("n", 1, 1, "s")
    assert "cannot be reached any more: reset" in gone.notice.explanation


def test_lost_node_takes_its_servers_with_it(state):
    feed(state, *READY, started("t"))
    instructions = feed(state, vocabulary.NodeLost("n", "it was switched off"))
    *servers, node = told(instructions)
    assert {each.server for each in servers} == {"s", "t"}
    assert all("it was switched off" in each.explanation for each in servers)
    assert (node.address, node.change) == ("10.0.0.1", LOST)


def test_node_in_use_is_asked_again_later_with_a_new_attempt(state):
    feed(state, *ASKED)
    assert feed(state, vocabulary.Refused("n", 1, "is in use")) == [vocabulary.RetryLater("n", 1)]
    assert problems(state) == ["node 10.0.0.1 is in use"]
    assert feed(state, vocabulary.Retry("n", 1)) == [vocabulary.Reserve("n", 1, 2)]
    assert feed(state, vocabulary.Retry("n", 1), vocabulary.Retry("n", 2)) == []


def test_reservation_that_is_not_answered_is_released_before_it_is_tried_again(state):
    feed(state, *ASKED)
    assert feed(state, vocabulary.Unanswered("n", 1, "did not say")) == [vocabulary.Release("n", 1, 1)]
    assert feed(state, started()) == []
    assert feed(state, vocabulary.Released("n", 1)) == [vocabulary.RetryLater("n", 1)]
    assert feed(state, vocabulary.Retry("n", 1)) == [vocabulary.Reserve("n", 1, 2)]
    # Until it is reserved, that is what is known of it.
    assert problems(state) == ["node 10.0.0.1 did not say"]
    feed(state, vocabulary.Granted("n", 2))
    assert problems(state) == ["node 10.0.0.1 has no server running yet"]


def test_servers_of_a_reservation_that_is_not_answered_are_gone(state):
    feed(state, *ASKED, started())
    assert names(feed(state, vocabulary.Unanswered("n", 1, "did not say"))) == ["ServerGone"]


def test_close_during_a_reservation_that_is_not_answered_releases_it(state):
    feed(state, *ASKED, CLOSE)
    assert orders(feed(state, vocabulary.Unanswered("n", 1, "did not say"))) == [vocabulary.Release("n", 1, 1)]
    assert names(feed(state, vocabulary.Released("n", 1)))[-1] == "Ended"


def test_close_while_an_unanswered_reservation_is_released_waits_for_that(state):
    feed(state, *ASKED, vocabulary.Unanswered("n", 1, "did not say"))
    assert feed(state, CLOSE) == []
    assert names(feed(state, vocabulary.Released("n", 1)))[-1] == "Ended"


@pytest.mark.parametrize(
    "late",
    [
        vocabulary.Granted("n", 1),
        vocabulary.Refused("n", 1, "x"),
        vocabulary.Unanswered("n", 1, "did not say"),
        vocabulary.Released("n", 1),
        vocabulary.LeaseEnded("n", 1, "x"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_answer_to_an_earlier_attempt_is_ignored(state, late):
    # The daemon's connection broke with the answer under way, and it is asked again.
    feed(state, *ASKED, vocabulary.NodeLost("n", "reset"), up(), accept())
    assert feed(state, late) == []
    feed(state, vocabulary.Granted("n", 2))
    assert feed(state, late) == []
    assert state.lease_of("n") == (1, 2)


def test_lease_that_the_node_ends_takes_its_servers_with_it_and_is_not_asked_for_again(state):
    feed(state, *READY, up("m", "b"), accept("m"), vocabulary.Granted("m", 2))
    server, node = told(feed(state, vocabulary.LeaseEnded("n", 1, "was closed")))
    assert (server.explanation, server.closed) == ("was closed", True)
    assert node.change is CLOSED
    assert problems(state)[0] == "node 10.0.0.1 takes no jobs of this computation any more: its reservation was closed"
    assert feed(state, vocabulary.Retry("n", 1), started("t"), vocabulary.LeaseEnded("n", 1, "x")) == []
    feed(state, vocabulary.Submitted(2), CLOSE)
    assert names(feed(state, vocabulary.Released("m", 2))) == [
        "NodeChanged",
        "Ended",
        "Begun",
    ]
    assert names(feed(state, LOOKED, vocabulary.Looked("m", facts("b")))) == ["NodeOffered", "NodeOffered"]


def test_computation_is_over_when_the_last_of_its_nodes_has_closed_its_servers(state):
    feed(state, *READY, up("m", "b"), accept("m"), vocabulary.Granted("m", 2), vocabulary.Submitted(2))
    assert "Ended" not in names(feed(state, vocabulary.LeaseEnded("n", 1, "no job ran")))
    instructions = told(feed(state, vocabulary.LeaseEnded("m", 2, "no job ran")))
    [ended] = [each for each in instructions if isinstance(each, client.Ended)]
    assert (ended.computation, ended.lost) == (1, False)
    assert "no job ran" in ended.reason
    assert state.current == 2


def test_lease_may_end_before_the_answer_to_its_reservation_is_here(state):
    feed(state, *ASKED, up("m", "b"), vocabulary.LeaseEnded("n", 1, "was closed"))
    assert feed(state, vocabulary.Granted("n", 1)) == []
    assert names(feed(state, CLOSE)) == ["Ended"]


def test_close_waits_for_every_node(state):
    feed(state, *READY, up("m", "b"), accept("m"), vocabulary.Granted("m", 2))
    assert orders(feed(state, CLOSE)) == [vocabulary.Release("n", 1, 1), vocabulary.Release("m", 1, 2)]
    assert names(feed(state, vocabulary.Released("n", 1))) == ["NodeChanged"]
    assert names(feed(state, vocabulary.Released("m", 2))) == ["NodeChanged", "Ended"]


def test_close_does_not_wait_for_a_lost_node(state):
    feed(state, *READY, CLOSE)
    assert names(feed(state, vocabulary.NodeLost("n", "gone"))) == ["NodeChanged", "Ended"]


def test_close_during_a_reservation_gives_back_what_is_granted_later(state):
    feed(state, *ASKED)
    assert feed(state, CLOSE) == []
    assert feed(state, vocabulary.Granted("n", 1)) == [vocabulary.Release("n", 1, 1)]
    assert names(feed(state, vocabulary.Released("n", 1)))[-1] == "Ended"


def test_close_during_a_reservation_ends_with_a_refusal(state):
    feed(state, *ASKED, CLOSE)
    assert names(feed(state, vocabulary.Refused("n", 1, "x"))) == ["Ended"]


def test_close_before_the_verdict_needs_nothing_of_the_node(state):
    feed(state, SUBMITTED, up())
    assert names(feed(state, CLOSE)) == ["Ended"]
    assert feed(state, accept()) == []


def test_close_during_set_up_ignores_how_that_ends(state):
    feed(state, *READY[:-1], CLOSE)
    late = client.SetUpDone(1, "s"), client.SetUpFailed(1, "s", "late"), client.Unreachable(1, "s", "late")
    assert feed(state, *late) == []


def test_second_close_changes_nothing(state):
    feed(state, *READY, CLOSE)
    assert feed(state, CLOSE) == []
    assert names(feed(state, vocabulary.Released("n", 1)))[-1] == "Ended"
    assert feed(state, CLOSE) == []


def test_computations_have_their_turn_in_the_order_submitted_and_know_their_place(state):
    feed(state, *READY)
    places = told(feed(state, vocabulary.Submitted(2), vocabulary.Submitted(3)))
    assert places == [client.Queued(2, 1, 0), client.Queued(3, 1, 1)]
    _, ended, begun, moved, offered = told(feed(state, CLOSE, vocabulary.Released("n", 1), LOOKED))
    assert isinstance(ended, client.Ended)
    assert begun == client.Begun(2, 2, HERE)
    assert moved == client.Queued(3, 2, 0)
    assert isinstance(offered, client.NodeOffered)


def test_queued_computation_that_is_closed_is_skipped(state):
    feed(state, *READY, vocabulary.Submitted(2), vocabulary.Submitted(3))
    assert told(feed(state, client.Close(2))) == [client.Ended(2, 2), client.Queued(3, 2, 0)]
    instructions = feed(state, CLOSE, vocabulary.Released("n", 1))
    assert client.Begun(3, 3, HERE) in told(instructions)


def test_lease_is_known_while_servers_may_be_told_of(state):
    feed(state, SUBMITTED, up())
    assert state.lease_of("n") is None
    feed(state, accept())
    assert state.lease_of("n") == (1, 1)
    feed(state, vocabulary.Granted("n", 1))
    assert state.lease_of("n") == (1, 1)
    feed(state, CLOSE)
    assert state.lease_of("n") is None
    assert state.lease_of("m") is None


def test_event_that_cannot_happen_raises_and_changes_nothing(state):
    feed(state, *READY)
    with pytest.raises(LocalProtocolError, match=r"server 10\.0\.0\.1:5 that is ready cannot take 'set_up'"):
        state.handle(client.SetUpDone(1, "s"))
    assert ready_locations(state) == [AT]
