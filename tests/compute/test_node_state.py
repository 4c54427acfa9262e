import pytest

from greencoro.compute.node_options import NodeOptions
from greencoro.compute.node_phase import NodePhase
from greencoro.compute.node_state import NodeState
from greencoro.compute.node_vocabulary import (
    Answer,
    Assign,
    Drain,
    EndServer,
    Holder,
    Identity,
    StartServer,
    Stopped,
    Tell,
)
from greencoro.compute.node_words import (
    LeaseEnded,
    Refusal,
    Release,
    Released,
    Replace,
    Reserve,
    ReserveAnswer,
    ServerDied,
    ServerDraining,
    ServerStarted,
)
from greencoro.compute.slots import SlotState
from greencoro.distributed.location import Location

T, U = "ab" * 32, "cd" * 32
ONE, TWO, NEW = (Identity(f"{n:02x}" * 16, Location("10.0.0.1", n), f"node-{n}", 1000 + n) for n in (1, 2, 3))


HOLDER, SOMEBODY = Holder("h" * 32, "link 1"), Holder("s" * 32, "link 2")


def started(identity, token=T, attempt=7, holder=HOLDER):
    return Tell(
        holder,
        ServerStarted(token, attempt, identity.incarnation, identity.location, identity.name, identity.pid),
    )


def refused(request, refusal, reason):
    return Answer(request, ReserveAnswer(refusal, reason))


BUSY = Refusal.BUSY, "the node is in use by a client"
GRANTED = ReserveAnswer()


@pytest.fixture
def state():
    state = NodeState(NodeOptions(servers=2))
    assert state.start(0.0, 0.0) == [StartServer(1, 1), StartServer(2, 1)]
    return state


def warm(state):
    assert state.ready(1, 1, ONE) == []
    assert state.ready(2, 1, TWO) == []


def lease(state, token=T):
    return state.reserve("request", HOLDER, Reserve(token, 7, "a client"), 0.0)


def another(state, token=U, holder=SOMEBODY):
    return state.reserve("other", holder, Reserve(token, 1, "another"), 0.0)


def release(state, token=T):
    return state.release("bye", Release(token))


def test_warm_servers_are_handed_over_with_the_reservation(state):
    warm(state)
    assert lease(state) == [
        Answer("request", GRANTED),
        Assign(1, T),
        started(ONE),
        Assign(2, T),
        started(TWO),
    ]


def test_server_that_becomes_ready_during_the_lease_is_handed_over_then(state):
    assert lease(state) == [Answer("request", GRANTED)]
    assert state.ready(1, 1, ONE) == [Assign(1, T), started(ONE)]


def test_second_reservation_is_refused_and_names_the_first(state):
    lease(state)
    assert another(state) == [refused("other", *BUSY)]
    assert another(state, holder=HOLDER) == [refused("other", *BUSY)]
    assert another(state, token=T) == [refused("other", *BUSY)]


def test_holder_that_asks_again_is_told_again(state):
    warm(state)
    lease(state)
    assert lease(state) == [Answer("request", GRANTED), started(ONE), started(TWO)]


def test_release_ends_leased_servers_and_is_answered_when_they_have_ended(state):
    warm(state)
    lease(state)
    assert release(state) == [EndServer(1), EndServer(2)]
    assert state.exited(1, 1, "code 0", 1.0) == [StartServer(1, 2)]
    assert state.in_use_by is None
    assert another(state) == [refused("other", *BUSY)]
    assert state.exited(2, 1, "code 0", 1.0) == [StartServer(2, 2), Answer("bye", Released())]
    assert another(state) == [Answer("other", GRANTED)]


def test_server_that_was_not_leased_serves_the_next_computation(state):
    state.ready(1, 1, ONE)
    lease(state)
    assert release(state) == [EndServer(1)]
    assert state.ready(2, 1, TWO) == []
    state.exited(1, 1, "code 0", 1.0)
    assert Assign(2, U) in another(state)


def test_release_with_another_token_gives_nothing_back(state):
    warm(state)
    lease(state)
    assert state.release("thief", Release(U)) == [Answer("thief", Released())]
    assert state.in_use_by == "a client"


def test_loss_of_the_holder_ends_the_lease(state):
    warm(state)
    lease(state)
    assert state.holder_lost(SOMEBODY, 1.0) == []
    assert state.holder_lost(HOLDER, 1.0)[1:] == [EndServer(1), EndServer(2)]
    assert state.holder_lost(HOLDER, 1.0) == []


def test_death_of_a_leased_server_is_told_and_a_fresh_one_handed_over(state):
    warm(state)
    lease(state)
    assert state.exited(1, 1, "was killed", 100.0) == [
        Tell(HOLDER, ServerDied(T, 7, ONE.incarnation, "was killed")),
        StartServer(1, 2),
    ]
    assert state.ready(1, 2, NEW) == [Assign(1, T), started(NEW)]


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
            assert state.due(due - 0.001, 0.0) == []
            instructions = state.due(due, 0.0)
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
    assert state.ready(1, 1, NEW) == []
    assert state.exited(1, 1, "again", 60.0) == []
    assert state.slots[0].state is SlotState.STARTING


def test_holder_can_have_a_server_replaced(state):
    warm(state)
    lease(state)
    assert state.replace(Replace(U, TWO.incarnation)) == []
    assert state.replace(Replace(T, NEW.incarnation)) == []
    assert state.replace(Replace(T, TWO.incarnation)) == [EndServer(2, at_once=True)]
    assert state.exited(2, 1, "was killed", 60.0)[-1] == StartServer(2, 2)
    assert state.ready(2, 2, NEW)[0] == Assign(2, T)


def test_close_by_the_operator_tells_the_holder_why_and_nothing_of_single_servers(state):
    warm(state)
    lease(state)
    ended = Tell(HOLDER, LeaseEnded(T, 7, "was closed by whoever runs its node"))
    assert state.close() == [ended, EndServer(1), EndServer(2)]
    assert state.close() == []
    assert state.exited(1, 1, "code 0", 1.0) == [StartServer(1, 2)]
    assert state.exited(2, 1, "code 0", 1.0) == [StartServer(2, 2)]
    assert another(state) == [Answer("other", GRANTED)]


def test_stop_tells_the_holder(state):
    warm(state)
    lease(state)
    assert state.stop()[0] == Tell(HOLDER, LeaseEnded(T, 7, "was ended with its node"))


@pytest.mark.parametrize("end", [release, NodeState.close, lambda state: state.holder_lost(HOLDER, 1.0)])
def test_J9_a_lease_that_has_ended_is_dead_for_good(state, end):
    lease(state)
    end(state)
    assert lease(state) == [refused("request", Refusal.EXPIRED, "the reservation has ended")]
    assert another(state) == [Answer("other", GRANTED)]
    release(state, U)
    assert lease(state) == [refused("request", Refusal.EXPIRED, "the reservation has ended")]
    assert release(state) == [Answer("bye", Released())]


def test_leases_that_have_ended_fill_no_memory(state):
    for number in range(10_010):
        another(state, token=f"{number:064x}")
        state.close()
    assert len(state._ended) == 10_000
    assert another(state, token=f"{10_009:064x}") == [refused("other", Refusal.EXPIRED, "the reservation has ended")]


def test_stop_ends_everything_at_once_and_says_when_it_is_done(state):
    state.ready(1, 1, ONE)
    assert state.stop() == [EndServer(1, at_once=True), EndServer(2, at_once=True)]
    assert state.stop() == []
    assert state.exited(1, 1, "x", 1.0) == []
    assert state.exited(2, 1, "x", 1.0) == [Stopped()]


def test_stop_lets_the_jobs_of_a_lease_clean_up(state):
    state.ready(1, 1, ONE)
    lease(state)
    orders = [each for each in state.stop() if isinstance(each, EndServer)]
    assert orders == [EndServer(1), EndServer(2, at_once=True)]


def test_nothing_is_reserved_or_started_while_stopping(state):
    state.stop()
    assert lease(state) == [refused("request", Refusal.ENDING, "the node is ending")]
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
    release(state)
    assert state.exited(1, 1, "x", 1.0) == []
    assert state.exited(2, 1, "x", 1.0) == [Answer("bye", Released())]
    assert state.stop() == [Stopped()]


def test_drain_without_a_lease_stops(state):
    assert state.drain(0.0) == [EndServer(1, at_once=True), EndServer(2, at_once=True)]


def test_drain_waits_for_the_last_job(state):
    warm(state)
    lease(state)
    assert [each.slot for each in state.drain(0.0) if isinstance(each, Drain)] == [1, 2]
    assert state.drained(1, 1) == []
    assert [each for each in state.drained(2, 1) if isinstance(each, EndServer)] == [EndServer(1), EndServer(2)]


def test_drain_tells_the_holder_which_servers_take_no_more_jobs(state):
    warm(state)
    lease(state)
    told = [each for each in state.drain(0.0) if isinstance(each, Tell)]
    assert told == [Tell(HOLDER, ServerDraining(T, 7, each.incarnation)) for each in (ONE, TWO)]


def test_drain_counts_a_server_that_dies_as_done(state):
    warm(state)
    lease(state)
    state.drain(0.0)
    state.drained(1, 1)
    assert EndServer(1) in state.exited(2, 1, "x", 60.0)


def test_drain_ends_when_the_client_releases(state):
    warm(state)
    lease(state)
    state.drain(0.0)
    release(state)
    state.exited(1, 1, "x", 1.0)
    assert Answer("bye", Released()) in state.exited(2, 1, "x", 1.0)
    assert state.is_stopping


def test_draining_node_is_not_reserved_and_starts_nothing_in_the_place_of_what_ended(state):
    warm(state)
    lease(state)
    state.drain(0.0)
    assert another(state) == [refused("other", Refusal.ENDING, "the node is ending")]
    assert not any(isinstance(each, StartServer) for each in state.exited(1, 1, "x", 60.0))
    assert state.slots[0].state is SlotState.ENDED


def test_server_that_becomes_ready_while_the_node_drains_is_not_handed_over(state):
    state.ready(1, 1, ONE)
    lease(state)
    state.drain(0.0)
    assert state.ready(2, 1, TWO) == []


def test_drain_does_not_wait_for_a_server_that_waits_for_its_restart(state):
    state.exited(1, 1, "x", 0.1)
    state.exited(1, 2, "x", 0.2)
    assert state.drain(0.0) == [EndServer(2, at_once=True)]
    assert state.exited(2, 1, "x", 1.0) == [Stopped()]


def test_drained_is_taken_of_servers_that_were_told_to(state):
    warm(state)
    lease(state)
    assert state.drained(1, 2) == []
    state.drain(0.0)
    state.drained(1, 1)
    assert state.drained(1, 1) == []
    assert state.phase is NodePhase.DRAINING


def test_stop_says_once_that_it_is_done(state):
    warm(state)
    lease(state)
    state.drain(0.0)
    state.drained(1, 1)
    state.drained(2, 1)
    told = state.exited(1, 1, "x", 1.0) + state.exited(2, 1, "x", 1.0)
    assert told.count(Stopped()) == 1
    assert state.phase is NodePhase.STOPPED
    assert state.stop() == state.drain(0.0) == []


@pytest.mark.parametrize("before", [lambda state: state.drain(0.0), NodeState.retire, NodeState.stop])
def test_what_a_person_asks_for_at_an_odd_time_does_no_harm(state, before):
    before(state)
    state.drain(0.0)
    state.retire()
    state.stop()
    state.retire()
    state.drain(0.0)
    assert state.phase is NodePhase.STOPPING
    assert state.exited(1, 1, "x", 1.0) + state.exited(2, 1, "x", 1.0) == [Stopped()]


def test_ready_count_is_of_servers_that_could_serve(state):
    assert state.ready_count == 0
    warm(state)
    assert state.ready_count == 2
    lease(state)
    assert state.ready_count == 2


def test_draining_node_starts_no_server_that_waits_for_its_restart(state):
    state.ready(2, 1, TWO)
    lease(state)
    state.exited(1, 1, "x", 0.1)
    state.exited(1, 2, "x", 0.2)
    state.drain(0.0)
    assert state.due(1000.0, 0.0) == []
