"""What a computation does at its client, whatever its scheduler says."""

import dataclasses

import pytest

from greencoro.compute import client_vocabulary as decisions
from greencoro.compute import client_words as words
from greencoro.compute.avail_info import NodeAvailInfo
from greencoro.compute.client_phase import Phase
from greencoro.compute.client_state import DEATHS_IN_SET_UP, ClientState
from greencoro.compute.node_words import Free, NodeFacts, lease_token
from greencoro.compute.server_pool import ServerState
from greencoro.distributed.location import Location
from greencoro.errors import LocalProtocolError

TOKEN = bytes(range(16))
HERE, AT, OTHER = Location("10.0.0.9", 1), Location("10.0.0.1", 5), Location("10.0.0.1", 6)
FACTS = NodeFacts("10.0.0.1", "node", servers=2, ready=2, platform="", cpus=2)
BEGUN = words.Begun(1, 1, HERE)
OFFERED = words.NodeOffered(1, 2, "n", FACTS)


def started(server="s", location=AT, attempt=7, node="n"):
    return words.ServerStarted(1, 3, node, attempt, server, location, f"name of {server}")


@pytest.fixture
def state():
    made = ClientState(TOKEN)
    made.ask()
    made.submitted(1)
    return made


@pytest.fixture
def ready(state):
    hear(state, BEGUN, OFFERED, started())
    state.judged("n", True, "")
    state.set_up_done(state.pool.get("s"))
    return state


def hear(state, *notices):
    return [instruction for notice in notices for instruction in state.hear(notice)]


def statuses(instructions):
    return [each.message.name for each in instructions if isinstance(each, decisions.Tell)]


def said(instructions):
    return [each.request for each in instructions if isinstance(each, decisions.Say)]


def others(instructions):
    return [each for each in instructions if not isinstance(each, decisions.Tell | decisions.Say)]


def test_the_usual_order_of_statuses_is_that_of_the_seed(state):
    instructions = hear(state, BEGUN, OFFERED)
    instructions += state.judged("n", True, "")
    instructions += hear(state, started())
    instructions += state.set_up_done(state.pool.get("s"))
    instructions += state.close()
    closed = words.NodeChanged(1, 4, "n", "10.0.0.1", words.NodeChange.CLOSED)
    instructions += hear(state, closed, words.Ended(1, 5))
    assert statuses(instructions) == [
        "ComputationScheduled",
        "NodeDiscovered",
        "ServerDiscovered",
        "NodeInitialized",
        "ServerInitialized",
        "ServerClosed",
        "NodeClosed",
        "ComputationClosed",
    ]
    assert said(instructions) == [words.Verdict(1, "n", True), words.SetUpDone(1, "s"), words.Close(1)]


def test_a_node_that_is_offered_again_and_again_is_told_of_once(state):
    instructions = hear(state, BEGUN, OFFERED)
    instructions += state.judged("n", False, "too small")
    instructions += hear(state, words.NodeOffered(1, 3, "n", FACTS))
    instructions += state.judged("n", False, "too small")
    instructions += hear(state, words.NodeOffered(1, 4, "n", FACTS))
    instructions += state.judged("n", True, "")
    assert statuses(instructions) == ["ComputationScheduled", "NodeDiscovered", "NodeIgnore"]
    assert [verdict.accepted for verdict in said(instructions)] == [False, False, True]


def die(state, server):
    instructions = hear(state, words.ServerGone(1, 4, server, "was killed", False))
    return [*instructions, *state.gone(state.pool.get(server), "was killed", False)]


def test_a_node_whose_servers_die_one_after_another_over_their_set_up_is_given_back(ready):
    assert said(die(ready, "s")) == []  # that one was set up
    for number in range(1, DEATHS_IN_SET_UP):
        hear(ready, started(f"s{number}"))
        assert said(die(ready, f"s{number}")) == []
    hear(ready, started("last"))
    instructions = die(ready, "last")
    assert "NodeIgnore" in statuses(instructions)
    [verdict] = said(instructions)
    assert (verdict.node, verdict.accepted) == ("n", False)
    assert verdict.reason == f"{DEATHS_IN_SET_UP} servers died before they were set up; the last one was killed"


def test_a_server_that_is_set_up_between_deaths_has_them_counted_anew(ready):
    for number in range(3 * DEATHS_IN_SET_UP):
        server = f"s{number}"
        hear(ready, started(server))
        if number % (DEATHS_IN_SET_UP - 1) == 0:
            ready.set_up_done(ready.pool.get(server))
        if number % 3 == 0:
            ready.set_up_failed(ready.pool.get(server), "no")
        assert said(die(ready, server)) == []


def test_it_is_scheduled_once(state):
    with pytest.raises(LocalProtocolError, match="a computation that is queued cannot take 'ask'"):
        state.ask()
    assert state.phase is Phase.QUEUED


def test_its_turn_may_come_before_its_number():
    state = ClientState(TOKEN)
    state.ask()
    assert decisions.Begin() in hear(state, BEGUN)
    assert state.submitted(1) == []
    assert state.phase is Phase.CURRENT


def test_it_may_be_scheduled_again_after_no_scheduler_has_taken_it():
    state = ClientState(TOKEN)
    state.ask()
    assert state.refused() == []
    state.ask()
    assert state.phase is Phase.ASKED


def test_close_before_there_is_a_number_is_said_when_there_is_one():
    state = ClientState(TOKEN)
    state.ask()
    assert state.close() == [decisions.EndJobs("")]
    assert said(state.submitted(1)) == [words.Close(1)]
    assert others(hear(state, words.Ended(1, 1)))[-1] == decisions.End("")


def test_close_while_no_scheduler_takes_it_ends_it():
    state = ClientState(TOKEN)
    state.ask()
    state.close()
    assert state.refused() == [decisions.End("")]
    assert state.phase is Phase.OVER


def test_computation_that_never_had_its_turn_is_not_told_as_closed(state):
    assert said(state.close()) == [words.Close(1)]
    assert hear(state, words.Ended(1, 1)) == [decisions.EndJobs(""), decisions.End("")]


def test_jobs_are_over_when_it_is_closed_and_not_only_when_the_nodes_have_said_so(ready):
    assert decisions.EndJobs("") in ready.close()


def test_J7_whoever_waits_is_told_that_the_scheduler_is_lost(ready):
    instructions = hear(ready, words.Ended(1, 4, "the scheduler was lost", lost=True))
    assert decisions.EndJobs("the scheduler was lost", lost=True) in instructions
    assert ready.phase is Phase.OVER


# Which nodes it uses.


def test_the_filters_are_asked_about_each_node_before_the_scheduler_is_told(state):
    instructions = hear(state, BEGUN, OFFERED)
    assert decisions.Judge("n", FACTS) in instructions
    assert said(instructions) == []
    assert state.judged("n", True, "") == [decisions.Say(words.Verdict(1, "n", True))]


def test_node_that_the_filters_reject_is_told_as_ignored(state):
    hear(state, BEGUN, OFFERED)
    instructions = state.judged("n", False, "too small")
    assert statuses(instructions) == ["NodeIgnore"]
    assert instructions[0].message.info == "10.0.0.1"
    assert said(instructions) == [words.Verdict(1, "n", False, "too small")]


def test_verdict_on_a_node_that_is_lost_meanwhile_or_after_the_close_is_not_said(state):
    hear(state, BEGUN, OFFERED, words.NodeChanged(1, 3, "n", "10.0.0.1", words.NodeChange.LOST))
    assert state.judged("n", False, "too small") == []
    hear(state, words.NodeOffered(1, 4, "m", FACTS))
    state.close()
    assert state.judged("m", True, "") == []


def test_what_is_free_at_a_node_is_told_while_the_computation_has_its_turn(ready):
    free = words.NodeFree(1, 4, "n", "10.0.0.1", Free(50.0, 2**30, 2**40, 100.0))
    assert hear(ready, free) == [decisions.Tell(NodeAvailInfo(50.0, 2**30, 2**40, 100.0, "10.0.0.1"))]
    ready.close()
    assert hear(ready, free) == []


def test_second_close_changes_nothing(ready):
    ready.close()
    assert ready.close() == []
    hear(ready, words.Ended(1, 4))
    assert ready.close() == []


def test_server_wants_to_see_the_token_of_its_nodes_lease(state):
    [set_up] = others(hear(state, BEGUN, OFFERED, started(attempt=7)))[2:]
    server = set_up.server
    assert server.token == lease_token(TOKEN, 7)
    assert server.token != lease_token(TOKEN, 8)
    assert (server.id, server.node, server.address, server.location) == ("s", "n", "10.0.0.1", AT)


def test_node_is_told_as_initialized_once(ready):
    hear(ready, started("t", OTHER))
    assert statuses(ready.set_up_done(ready.pool.get("t"))) == ["ServerInitialized"]


def test_server_takes_jobs_only_after_its_set_up(state):
    hear(state, BEGUN, OFFERED, started())
    assert list(state.pool.ready()) == []
    server = state.pool.get("s")
    assert decisions.Ready(server) in state.set_up_done(server)
    assert list(state.pool.ready()) == [server]


def test_server_whose_set_up_failed_is_told_as_ignored(state):
    hear(state, BEGUN, OFFERED, started())
    instructions = state.set_up_failed(state.pool.get("s"), "no module named x")
    assert statuses(instructions) == ["ServerIgnore"]
    assert said(instructions) == [words.SetUpFailed(1, "s", "no module named x")]
    assert state.set_up_done(state.pool.get("s")) == []


def test_set_up_that_ends_after_the_server_is_lost_or_given_back_counts_for_nothing(state):
    hear(state, BEGUN, OFFERED, started(), started("t", OTHER))
    lost, given_back = state.pool.get("s"), state.pool.get("t")
    state.unreachable("s", "reset")
    assert state.set_up_done(lost) == []
    state.close()
    assert state.set_up_done(given_back) == state.set_up_failed(given_back, "late") == []


def test_server_that_ended_is_heard_out_before_it_is_gone(ready):
    server = ready.pool.get("s")
    assert hear(ready, words.ServerGone(1, 4, "s", "was killed")) == [decisions.HearOut(server, "was killed", False)]
    assert list(ready.pool.ready()) == []
    assert not server.is_gone
    instructions = ready.gone(server, "was killed", False)
    assert others(instructions) == [decisions.Gone(server)]
    assert statuses(instructions) == ["ServerDisconnected"]
    assert server.explanation == "was killed"
    assert ready.gone(server, "again", False) == []


def in_the_place_of_s(server):
    return words.ServerStarted(1, 3, "n", 8, server, AT, "name of s")


def test_server_that_takes_the_place_of_one_that_is_heard_out_is_told_of_after_its_end(ready):
    first = ready.pool.get("s")
    hear(ready, words.ServerGone(1, 4, "s", "was killed"))
    assert hear(ready, in_the_place_of_s("u")) == []
    # Another one has nothing to wait for.
    assert statuses(hear(ready, started("t", OTHER))) == ["ServerDiscovered"]
    assert statuses(ready.gone(first, "was killed", False)) == ["ServerDisconnected", "ServerDiscovered"]
    assert ready.pool.get("u") is not None


@pytest.mark.parametrize("end", [words.ServerGone(1, 4, "u", "was killed, too"), words.ServerDraining(1, 4, "u")])
def test_server_that_is_over_before_its_predecessor_was_heard_out_is_never_told_of(ready, end):
    first = ready.pool.get("s")
    hear(ready, words.ServerGone(1, 4, "s", "was killed"))
    hear(ready, in_the_place_of_s("u"), end)
    assert statuses(ready.gone(first, "was killed", False)) == ["ServerDisconnected"]
    assert ready.pool.get("u") is None


def test_server_whose_lease_was_ended_is_told_as_closed(ready):
    server = ready.pool.get("s")
    [hear_out] = hear(ready, words.ServerGone(1, 4, "s", "was closed", closed=True))
    assert hear_out.closed
    assert statuses(ready.gone(server, "was closed", True)) == ["ServerClosed"]


def test_server_that_is_being_heard_out_when_the_computation_ends_is_told_of_all_the_same(ready):
    hear(ready, started("t", OTHER))
    hear(ready, words.ServerGone(1, 4, "s", "was closed", closed=True))
    ready.unreachable("t", "reset")
    first = ready.pool.get("s")
    assert hear(ready, words.Ended(1, 5, "all were closed")) == []
    told = statuses(ready.gone(first, "was closed", closed=True))
    assert told == ["ServerClosed", "ServerDisconnected", "ComputationClosed"]


def abandoned(ready):
    """Its two servers, which the node has closed with the computation."""
    hear(ready, started("t", OTHER))
    servers = [ready.pool.get("s"), ready.pool.get("t")]
    hear(ready, *(words.ServerGone(1, 4, each.id, "was closed", closed=True) for each in servers))
    assert hear(ready, words.Ended(1, 6, "the node has closed it")) == []
    return servers


def test_jobs_of_a_computation_that_its_nodes_end_hear_so_when_all_servers_were_heard_out(ready):
    first, second = abandoned(ready)
    assert (ready.phase, ready.reason) == (Phase.ENDING, "the node has closed it")
    assert ready.gone(first, "was closed", closed=True) == []
    ends = others(ready.gone(second, "was closed", closed=True))
    assert ends == [decisions.EndJobs("the node has closed it"), decisions.End("the node has closed it")]
    assert ready.phase is Phase.OVER
    assert ready.gone(second, "was closed", closed=True) == []


def test_server_that_died_before_its_node_ended_the_computation_tells_its_jobs_how(ready):
    died = ready.pool.get("s")
    hear(ready, words.ServerGone(1, 4, "s", "was killed"), words.Ended(1, 5, "the node has closed it"))
    told = others(ready.gone(died, "was killed", closed=False))
    assert [type(each) for each in told] == [decisions.Gone, decisions.EndJobs, decisions.End]
    assert died.explanation == "was killed"


def test_computation_that_its_nodes_end_waits_for_nothing_else(ready):
    first, _ = abandoned(ready)
    assert ready.close() == ready.unreachable("s", "reset") == ready.submitted(1) == []
    assert hear(ready, words.ServerGone(1, 7, "s", "again"), words.Ended(1, 8)) == []
    assert ready.set_up_done(first) == []
    assert (ready.phase, ready.reason) == (Phase.ENDING, "the node has closed it")


def test_computation_whose_scheduler_is_lost_or_that_was_closed_waits_for_nobody(ready):
    hear(ready, words.ServerGone(1, 4, "s", "was closed", closed=True))
    assert others(hear(ready, words.Ended(1, 5, "no pulse", lost=True))) == [
        decisions.EndJobs("no pulse", lost=True),
        decisions.End("no pulse"),
    ]


def test_server_that_cannot_be_reached_is_asked_about_once(ready):
    server = ready.pool.get("s")
    instructions = ready.unreachable("s", "reset")
    assert said(instructions) == [words.Unreachable(1, "s", "reset")]
    assert others(instructions) == [decisions.AwaitExplanation(server, "reset")]
    assert ready.unreachable("s", "reset") == ready.unreachable("another", "reset") == []


def test_draining_server_takes_no_more_jobs_and_may_be_lost(ready):
    assert hear(ready, words.ServerDraining(1, 4, "s")) == []
    assert list(ready.pool.ready()) == []
    assert ready.pool.get("s").state is ServerState.DRAINING
    assert said(ready.unreachable("s", "reset")) == [words.Unreachable(1, "s", "reset")]


def test_lost_node_is_told_and_a_closed_one_only_where_it_was_initialized(state):
    hear(state, BEGUN, OFFERED)
    lost, closed = words.NodeChange.LOST, words.NodeChange.CLOSED
    assert statuses(hear(state, words.NodeChanged(1, 4, "n", "10.0.0.1", closed))) == []
    assert statuses(hear(state, words.NodeChanged(1, 5, "n", "10.0.0.1", lost))) == ["NodeDisconnected"]


@pytest.mark.parametrize(
    ("change", "closed", "expected"),
    [
        (words.NodeChange.LOST, False, ["ServerDisconnected", "ServerDisconnected", "NodeDisconnected"]),
        (words.NodeChange.CLOSED, True, ["ServerClosed", "ServerClosed", "NodeClosed"]),
    ],
)
def test_node_is_told_of_after_the_last_of_its_servers(ready, change, closed, expected):
    hear(ready, started("t", OTHER))
    servers = [ready.pool.get(each) for each in "st"]
    told = statuses(hear(ready, *(words.ServerGone(1, 4, each.id, "x", closed) for each in servers)))
    told += statuses(hear(ready, words.NodeChanged(1, 6, "n", "10.0.0.1", change)))
    assert told == []
    for server in servers:
        told += statuses(ready.gone(server, "x", closed))
    assert told == expected


def test_node_that_left_before_its_servers_were_heard_out_is_told_at_the_end(ready):
    hear(ready, words.NodeChanged(1, 6, "n", "10.0.0.1", words.NodeChange.CLOSED))
    told = statuses(hear(ready, words.Ended(1, 7)))
    assert told == ["ServerClosed", "NodeClosed", "ComputationClosed"]


def test_computation_that_its_scheduler_ends_gives_everything_up(ready):
    instructions = hear(ready, words.Ended(1, 4, "the scheduler was closed"))
    assert statuses(instructions) == ["ServerClosed", "ComputationClosed"]
    why = "the scheduler was closed"
    assert others(instructions) == [decisions.EndJobs(why), decisions.End(why)]
    assert list(ready.pool.ready()) == []
    assert ready.phase is Phase.OVER


@pytest.mark.parametrize(
    "late",
    [BEGUN, OFFERED, started(), words.ServerGone(1, 1, "s", "x"), words.Queued(1, 1, 0), words.Ended(1, 1)],
    ids=lambda notice: type(notice).__name__,
)
def test_nothing_is_heard_after_the_end(ready, late):
    hear(ready, words.Ended(1, 4))
    assert hear(ready, late) == []


def test_servers_and_nodes_that_come_while_it_closes_are_not_used(ready):
    ready.close()
    assert hear(ready, started("t", OTHER), words.NodeOffered(1, 9, "m", FACTS)) == []
    assert hear(ready, words.ServerGone(1, 10, "s", "x"), words.ServerDraining(1, 11, "s")) == []


def test_server_of_a_node_that_was_not_offered_is_not_used(state):
    hear(state, BEGUN)
    assert hear(state, started()) == []


def test_server_that_is_told_of_twice_is_set_up_once(ready):
    assert hear(ready, started()) == []


def test_a_node_whose_only_server_could_not_be_set_up_is_given_back_in_the_end(state):
    hear(state, BEGUN, OFFERED, started())
    state.judged("n", True, "")
    state.set_up_failed(state.pool.get("s"), "no")
    closed = words.NodeChanged(1, 4, "n", "10.0.0.1", words.NodeChange.CLOSED)
    assert statuses([*state.close(), *hear(state, closed)]) == ["NodeClosed"]


def test_a_node_that_was_ignored_is_not_given_back(state):
    hear(state, BEGUN, OFFERED)
    state.judged("n", False, "no")
    assert statuses(hear(state, words.NodeChanged(1, 4, "n", "10.0.0.1", words.NodeChange.CLOSED))) == []


@pytest.mark.parametrize("listed", [False, True])
def test_where_ports_are_listed_another_server_may_come_to_the_place_of_a_dead_one(state, listed):
    facts = dataclasses.replace(FACTS, has_listed_ports=listed)
    hear(state, BEGUN, words.NodeOffered(1, 2, "n", facts), started())
    state.judged("n", True, "")
    die(state, "s")
    assert state.pool.death_at(AT) == ("" if listed else "was killed")
