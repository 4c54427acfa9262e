import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from greencoro.compute.placement import least_loaded
from greencoro.compute.scheduler_state import SchedulerState
from greencoro.compute.scheduler_vocabulary import (
    Begun,
    CloseRequested,
    Ended,
    Granted,
    NodeLost,
    NodeUp,
    Refused,
    Release,
    Released,
    Reserve,
    Retry,
    RetryLater,
    ServerGone,
    ServerLost,
    ServerReady,
    ServerSilent,
    ServerStarted,
    SetUp,
    SetUpDone,
    SetUpFailed,
    Submitted,
    Tell,
)
from greencoro.errors import LocalProtocolError


@pytest.fixture
def state():
    return SchedulerState("here")


def feed(state, *events):
    return [instruction for event in events for instruction in state.handle(event)]


def told(instructions):
    return [each.status.name for each in instructions if isinstance(each, Tell)]


def orders(instructions):
    return [each for each in instructions if not isinstance(each, Tell)]


READY = (
    Submitted(1),
    NodeUp("n", "10.0.0.1"),
    Granted("n"),
    ServerStarted("n", "s", "10.0.0.1:5"),
    SetUpDone("s"),
)


def test_the_usual_order_of_statuses_is_that_of_the_seed(state):
    instructions = feed(state, *READY, CloseRequested(1), Released("n"))
    assert told(instructions) == [
        "ComputationScheduled",
        "NodeDiscovered",
        "ServerDiscovered",
        "NodeInitialized",
        "ServerInitialized",
        "ServerClosed",
        "NodeClosed",
        "ComputationClosed",
    ]


def test_node_that_comes_before_the_computation_is_reserved_once(state):
    assert orders(feed(state, NodeUp("n", "a"))) == []
    assert orders(feed(state, Submitted(1))) == [Begun(1), Reserve("n", 1)]


def test_node_that_comes_later_is_reserved_once(state):
    assert orders(feed(state, Submitted(1))) == [Begun(1)]
    assert orders(feed(state, NodeUp("n", "a"), NodeUp("n", "a"))) == [Reserve("n", 1)]


def test_server_takes_jobs_only_after_its_set_up(state):
    feed(state, *READY[:-1])
    assert not list(state.candidates())
    assert orders(feed(state, SetUpDone("s"))) == [ServerReady("s", 1)]
    assert [each.server for each in state.candidates()] == ["s"]


def test_server_whose_set_up_failed_is_told_as_ignored_and_named_as_a_problem(state):
    feed(state, *READY[:-1])
    assert told(feed(state, SetUpFailed("s", "no module named x"))) == ["ServerIgnore"]
    assert not list(state.candidates())
    assert "10.0.0.1:5" in state.problems()[0] and "no module named x" in state.problems()[0]


def test_news_of_a_server_may_overtake_the_answer_to_the_reservation(state):
    feed(state, Submitted(1), NodeUp("n", "a"))
    assert orders(feed(state, ServerStarted("n", "s", "a:1"))) == [SetUp("s", 1)]
    feed(state, Granted("n"), SetUpDone("s"))
    assert state.is_ready("s")


def test_lost_server_takes_its_jobs_with_it(state):
    feed(state, *READY)
    instructions = feed(state, ServerLost("s", "was killed"))
    assert orders(instructions) == [ServerGone("s", 1, "was killed")]
    assert told(instructions) == ["ServerDisconnected"]
    assert feed(state, ServerLost("s", "again")) == []


def test_silent_server_gets_no_more_jobs_but_is_not_gone_yet(state):
    feed(state, *READY)
    assert orders(feed(state, ServerSilent("s"))) == []
    assert not list(state.candidates())
    assert orders(feed(state, ServerSilent("s"), ServerLost("s", "why"))) == [ServerGone("s", 1, "why")]


def test_lost_node_takes_its_servers_with_it(state):
    feed(state, *READY, ServerStarted("n", "t", "10.0.0.1:6"))
    instructions = feed(state, NodeLost("n", "it was switched off"))
    assert {each.server for each in orders(instructions)} == {"s", "t"}
    assert all("it was switched off" in each.explanation for each in orders(instructions))
    assert told(instructions) == ["ServerDisconnected", "ServerDisconnected", "NodeDisconnected"]


def test_node_in_use_is_asked_again_later(state):
    feed(state, Submitted(1), NodeUp("n", "a"))
    assert orders(feed(state, Refused("n"))) == [RetryLater("n")]
    assert "in use" in state.problems()[0]
    assert orders(feed(state, Retry("n"))) == [Reserve("n", 1)]
    assert feed(state, Retry("n")) == []


def test_close_waits_for_every_node(state):
    feed(state, *READY, NodeUp("m", "b"), Granted("m"))
    assert orders(feed(state, CloseRequested(1))) == [Release("n", 1), Release("m", 1)]
    assert orders(feed(state, Released("n"))) == []
    assert orders(feed(state, Released("m"))) == [Ended(1)]


def test_close_does_not_wait_for_a_lost_node(state):
    feed(state, *READY, CloseRequested(1))
    assert orders(feed(state, NodeLost("n", "gone"))) == [Ended(1)]


def test_close_during_a_reservation_gives_back_what_is_granted_later(state):
    feed(state, Submitted(1), NodeUp("n", "a"))
    assert orders(feed(state, CloseRequested(1))) == []
    assert orders(feed(state, Granted("n"))) == [Release("n", 1)]
    assert orders(feed(state, Released("n"))) == [Ended(1)]


def test_close_during_a_reservation_ends_with_a_refusal(state):
    feed(state, Submitted(1), NodeUp("n", "a"), CloseRequested(1))
    assert orders(feed(state, Refused("n"))) == [Ended(1)]


def test_close_during_set_up_ignores_how_that_ends(state):
    feed(state, *READY[:-1], CloseRequested(1))
    assert feed(state, SetUpDone("s")) == []
    assert feed(state, SetUpFailed("s", "late")) == []


def test_second_close_changes_nothing(state):
    feed(state, *READY, CloseRequested(1))
    assert feed(state, CloseRequested(1)) == []
    assert orders(feed(state, Released("n"))) == [Ended(1)]
    assert feed(state, CloseRequested(1)) == []


def test_computations_have_their_turn_in_the_order_submitted(state):
    feed(state, *READY)
    assert orders(feed(state, Submitted(2), Submitted(3))) == []
    assert orders(feed(state, CloseRequested(1), Released("n"))) == [
        Release("n", 1),
        Ended(1),
        Begun(2),
        Reserve("n", 2),
    ]


def test_queued_computation_that_is_closed_is_skipped(state):
    feed(state, *READY, Submitted(2), Submitted(3))
    assert orders(feed(state, CloseRequested(2))) == [Ended(2)]
    assert Begun(3) in orders(feed(state, CloseRequested(1), Released("n")))


def test_jobs_are_counted_for_placement(state):
    feed(state, *READY, ServerStarted("n", "t", "10.0.0.1:6"), SetUpDone("t"))
    state.job_started("s")
    assert least_loaded(state.candidates()) == "t"
    state.job_started("t")
    state.job_started("t")
    state.job_over("s")
    assert least_loaded(state.candidates()) == "s"


def test_end_of_a_job_at_a_forgotten_server_is_ignored(state):
    feed(state, *READY)
    state.job_started("s")
    feed(state, ServerLost("s", "why"))
    state.job_over("s")


def test_event_that_cannot_happen_raises_and_changes_nothing(state):
    feed(state, *READY)
    with pytest.raises(LocalProtocolError, match=r"node 10\.0\.0\.1 that is reserved cannot take 'granted'"):
        state.handle(Granted("n"))
    assert state.is_ready("s")
    with pytest.raises(LocalProtocolError):
        state.handle(SetUpDone("s"))
    assert state.is_ready("s")


def test_each_node_is_listed_once(state):
    feed(state, *READY, ServerStarted("n", "t", "10.0.0.1:6"), SetUpDone("t"))
    assert state.ready_addresses() == ["10.0.0.1"]
    assert state.ready_locations() == ["10.0.0.1:5", "10.0.0.1:6"]


class Machine(RuleBasedStateMachine):
    """Nodes that come, go, answer as they like: every computation begins and ends once, in order."""

    def __init__(self):
        super().__init__()
        self.state = SchedulerState("here")
        self.begun, self.ended, self.submitted = [], [], 0
        self.asked, self.releasing, self.setting_up = set(), set(), set()
        self.count = 0

    def feed(self, event):
        for order in self.state.handle(event):
            match order:
                case Begun(number):
                    self.begun.append(number)
                case Ended(number):
                    self.ended.append(number)
                case Reserve(node, _):
                    assert node not in self.asked
                    self.asked.add(node)
                case Release(node, _):
                    self.releasing.add(node)
                case SetUp(server, _):
                    self.setting_up.add(server)
                case RetryLater(node):
                    self.feed(Retry(node))

    @rule()
    def submit(self):
        self.submitted += 1
        self.feed(Submitted(self.submitted))

    @rule(data=st.data())
    def close(self, data):
        self.feed(CloseRequested(data.draw(st.integers(1, max(1, self.submitted)))))

    @rule(node=st.sampled_from("abc"))
    def up(self, node):
        self.feed(NodeUp(node, node))

    @rule(node=st.sampled_from("abc"))
    def lose(self, node):
        self.asked.discard(node)
        self.releasing.discard(node)
        self.feed(NodeLost(node, "x"))

    @rule(node=st.sampled_from("abc"), granted=st.booleans())
    def answer(self, node, granted):
        if node in self.asked:
            self.asked.discard(node)
            if granted:
                self.feed(Granted(node))
            elif self.begun != self.ended:
                # A refusal leads to the next question at once here, so refuse only now and then.
                self.feed(Refused(node))

    @rule(node=st.sampled_from("abc"))
    def release(self, node):
        if node in self.releasing:
            self.releasing.discard(node)
            self.feed(Released(node))

    @rule(node=st.sampled_from("abc"))
    def start_server(self, node):
        self.count += 1
        self.feed(ServerStarted(node, f"s{self.count}", self.count))

    @rule(good=st.booleans())
    def set_up(self, good):
        if self.setting_up:
            server = self.setting_up.pop()
            self.feed(SetUpDone(server) if good else SetUpFailed(server, "x"))

    @invariant()
    def one_at_a_time(self):
        assert len(self.begun) - len([each for each in self.ended if each in self.begun]) <= 1
        assert len(set(self.begun)) == len(self.begun)
        assert len(set(self.ended)) == len(self.ended)
        assert self.begun == sorted(self.begun)
        if self.state.current is not None:
            assert self.state.current == self.begun[-1]
        else:
            assert not list(self.state.candidates())


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
