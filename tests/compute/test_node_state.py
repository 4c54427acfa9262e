import pytest

from greencoro.compute.node_state import (
    Assign,
    Drain,
    EndServer,
    Grant,
    NodeState,
    Refuse,
    SlotState,
    StartServer,
    Stopped,
    TellDied,
    TellDraining,
    TellReady,
    TellReleased,
)


@pytest.fixture
def state():
    state = NodeState(2)
    assert state.start(0.0) == [StartServer(1, 1), StartServer(2, 1)]
    return state


def warm(state):
    assert state.ready(1, 1, "one") == []
    assert state.ready(2, 1, "two") == []


def lease(state, token="t"):
    return state.reserve("request", "holder", token, "a client")


def test_warm_servers_are_handed_over_with_the_reservation(state):
    warm(state)
    assert lease(state) == [
        Grant("request"),
        Assign(1, "t"),
        TellReady("holder", "t", 1, "one"),
        Assign(2, "t"),
        TellReady("holder", "t", 2, "two"),
    ]


def test_server_that_becomes_ready_during_the_lease_is_handed_over_then(state):
    assert lease(state) == [Grant("request")]
    assert state.ready(1, 1, "one") == [Assign(1, "t"), TellReady("holder", "t", 1, "one")]


def test_second_reservation_is_refused_and_names_the_first(state):
    lease(state)
    assert state.reserve("other", "somebody", "u", "another") == [Refuse("other", "the node is in use by a client")]


def test_holder_that_asks_again_is_told_again(state):
    warm(state)
    lease(state)
    assert lease(state) == [Grant("request"), TellReady("holder", "t", 1, "one"), TellReady("holder", "t", 2, "two")]
    assert isinstance(state.reserve("r", "holder", "other token", "n")[0], Refuse)


def test_release_ends_leased_servers_and_is_answered_when_they_have_ended(state):
    warm(state)
    lease(state)
    assert state.release("bye", "t") == [EndServer(1), EndServer(2)]
    assert state.exited(1, 1, "code 0", 1.0) == [StartServer(1, 2)]
    assert state.in_use_by is None
    assert state.reserve("other", "x", "u", "next")[0] == Refuse("other", "the node is in use by a client")
    assert state.exited(2, 1, "code 0", 1.0) == [StartServer(2, 2), TellReleased("bye")]
    assert state.reserve("other", "x", "u", "next") == [Grant("other")]


def test_server_that_was_not_leased_serves_the_next_computation(state):
    state.ready(1, 1, "one")
    lease(state)
    assert state.release("bye", "t") == [EndServer(1)]
    assert state.ready(2, 1, "two") == []
    state.exited(1, 1, "code 0", 1.0)
    assert Assign(2, "u") in state.reserve("other", "x", "u", "next")


def test_release_with_another_token_gives_nothing_back(state):
    warm(state)
    lease(state)
    assert state.release("thief", "x") == [TellReleased("thief")]
    assert state.in_use_by == "a client"


def test_loss_of_the_holder_ends_the_lease(state):
    warm(state)
    lease(state)
    assert state.holder_lost("somebody else") == []
    assert state.holder_lost("holder") == [EndServer(1), EndServer(2)]
    assert state.holder_lost("holder") == []


def test_death_of_a_leased_server_is_told_and_a_fresh_one_handed_over(state):
    warm(state)
    lease(state)
    assert state.exited(1, 1, "was killed", 100.0) == [TellDied("holder", "t", "one", "was killed"), StartServer(1, 2)]
    assert state.ready(1, 2, "new") == [Assign(1, "t"), TellReady("holder", "t", 1, "new")]


def test_death_of_a_warm_server_is_nobodys_business(state):
    warm(state)
    assert state.exited(1, 1, "was killed", 100.0) == [StartServer(1, 2)]


def test_servers_that_end_at_their_start_are_started_again_with_growing_pauses(state):
    now, pauses = 0.0, []
    run = 1
    for _ in range(12):
        instructions = state.exited(1, run, "code 1", now)
        if not instructions:
            due = state.next_due_at()
            pauses.append(due - now)
            assert state.due(due - 0.001) == []
            instructions = state.due(due)
            now = due
        run += 1
        assert instructions == [StartServer(1, run)]
    assert len(pauses) == 11  # only the first restart is at once
    assert pauses[0] == pytest.approx(0.1)
    assert pauses == pytest.approx(sorted(pauses))
    assert pauses[-1] == pytest.approx(10.0)


def test_server_that_lived_is_started_again_at_once(state):
    warm(state)
    now = 0.0
    for run in range(1, 6):
        now += 60.0
        assert state.exited(1, run, "code 1", now) == [StartServer(1, run + 1)]


def test_news_of_an_earlier_process_are_ignored(state):
    state.exited(1, 1, "code 1", 60.0)
    assert state.ready(1, 1, "old") == []
    assert state.exited(1, 1, "again", 60.0) == []
    assert state.slots[0].state is SlotState.STARTING


def test_holder_can_have_a_server_replaced(state):
    warm(state)
    lease(state)
    assert state.replace("other token", lambda identity: True) == []
    assert state.replace("t", lambda identity: identity == "two") == [EndServer(2, at_once=True)]
    assert state.exited(2, 1, "was killed", 60.0)[-1] == StartServer(2, 2)
    assert state.ready(2, 2, "new")[0] == Assign(2, "t")


def test_close_by_the_operator_tells_the_holder_why(state):
    warm(state)
    lease(state)
    died = [each for each in state.close() if isinstance(each, TellDied)]
    assert [each.identity for each in died] == ["one", "two"]
    assert "closed by whoever runs its node" in died[0].explanation
    assert state.close() == []


def test_stop_ends_everything_at_once_and_says_when_it_is_done(state):
    state.ready(1, 1, "one")
    assert state.stop() == [EndServer(1, at_once=True), EndServer(2, at_once=True)]
    assert state.stop() == []
    assert state.exited(1, 1, "x", 1.0) == []
    assert state.exited(2, 1, "x", 1.0) == [Stopped()]


def test_stop_lets_the_jobs_of_a_lease_clean_up(state):
    state.ready(1, 1, "one")
    lease(state)
    orders = [each for each in state.stop() if isinstance(each, EndServer)]
    assert orders == [EndServer(1), EndServer(2, at_once=True)]


def test_nothing_is_reserved_or_started_while_stopping(state):
    state.stop()
    assert state.reserve("r", "h", "t", "n") == [Refuse("r", "the node is ending")]
    assert state.exited(1, 1, "x", 1.0) == []


def test_stop_includes_a_server_that_waits_for_its_restart(state):
    state.exited(1, 1, "x", 0.1)
    state.exited(1, 2, "x", 0.2)
    assert state.slots[0].state is SlotState.WAITING
    state.stop()
    assert state.exited(2, 1, "x", 1.0) == [Stopped()]
    assert state.next_due_at() is None


def test_retired_node_starts_nothing_after_a_release(state):
    warm(state)
    lease(state)
    state.retire()
    state.release("bye", "t")
    assert state.exited(1, 1, "x", 1.0) == []
    assert state.exited(2, 1, "x", 1.0) == [TellReleased("bye")]
    assert state.stop() == [Stopped()]


def test_drain_without_a_lease_stops(state):
    assert state.drain() == [EndServer(1, at_once=True), EndServer(2, at_once=True)]


def test_drain_waits_for_the_last_job(state):
    warm(state)
    lease(state)
    assert [each.slot for each in state.drain() if isinstance(each, Drain)] == [1, 2]
    assert state.drained(1, 1) == []
    assert [each for each in state.drained(2, 1) if isinstance(each, EndServer)] == [EndServer(1), EndServer(2)]


def test_drain_tells_the_holder_which_servers_take_no_more_jobs(state):
    warm(state)
    lease(state)
    told = [each for each in state.drain() if isinstance(each, TellDraining)]
    assert told == [TellDraining("holder", "t", slot.identity) for slot in state.slots]


def test_drain_counts_a_server_that_dies_as_done(state):
    warm(state)
    lease(state)
    state.drain()
    state.drained(1, 1)
    assert EndServer(1) in state.exited(2, 1, "x", 60.0)


def test_drain_ends_when_the_client_releases(state):
    warm(state)
    lease(state)
    state.drain()
    state.release("bye", "t")
    state.exited(1, 1, "x", 1.0)
    assert TellReleased("bye") in state.exited(2, 1, "x", 1.0)
    assert state.is_stopping


def test_ready_count_is_of_servers_that_could_serve(state):
    assert state.ready_count == 0
    warm(state)
    assert state.ready_count == 2
    lease(state)
    assert state.ready_count == 2
