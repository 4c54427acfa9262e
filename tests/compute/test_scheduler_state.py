import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from greencoro.compute import scheduler_vocabulary as vocabulary
from greencoro.compute.placement import least_loaded
from greencoro.compute.scheduler_state import SchedulerState
from greencoro.errors import LocalProtocolError


@pytest.fixture
def state():
    return SchedulerState("here")


def feed(state, *events):
    return [instruction for event in events for instruction in state.handle(event)]


def told(instructions):
    return [each.status.name for each in instructions if isinstance(each, vocabulary.Tell)]


def orders(instructions):
    return [each for each in instructions if not isinstance(each, vocabulary.Tell)]


READY = (
    vocabulary.Submitted(1),
    vocabulary.NodeUp("n", "10.0.0.1"),
    vocabulary.Granted("n"),
    vocabulary.ServerStarted("n", "s", "10.0.0.1:5"),
    vocabulary.SetUpDone("s"),
)


def test_the_usual_order_of_statuses_is_that_of_the_seed(state):
    instructions = feed(state, *READY, vocabulary.CloseRequested(1), vocabulary.Released("n"))
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
    assert orders(feed(state, vocabulary.NodeUp("n", "a"))) == []
    assert orders(feed(state, vocabulary.Submitted(1))) == [vocabulary.Begun(1), vocabulary.Reserve("n", 1)]


def test_node_that_comes_later_is_reserved_once(state):
    assert orders(feed(state, vocabulary.Submitted(1))) == [vocabulary.Begun(1)]
    assert orders(feed(state, vocabulary.NodeUp("n", "a"), vocabulary.NodeUp("n", "a"))) == [vocabulary.Reserve("n", 1)]


def test_server_takes_jobs_only_after_its_set_up(state):
    feed(state, *READY[:-1])
    assert not list(state.candidates())
    assert orders(feed(state, vocabulary.SetUpDone("s"))) == [vocabulary.ServerReady("s", 1)]
    assert [each.server for each in state.candidates()] == ["s"]


def test_server_whose_set_up_failed_is_told_as_ignored_and_named_as_a_problem(state):
    feed(state, *READY[:-1])
    assert told(feed(state, vocabulary.SetUpFailed("s", "no module named x"))) == ["ServerIgnore"]
    assert not list(state.candidates())
    assert "10.0.0.1:5" in state.problems()[0] and "no module named x" in state.problems()[0]


def test_news_of_a_server_may_overtake_the_answer_to_the_reservation(state):
    feed(state, vocabulary.Submitted(1), vocabulary.NodeUp("n", "a"))
    assert orders(feed(state, vocabulary.ServerStarted("n", "s", "a:1"))) == [vocabulary.SetUp("s", 1)]
    feed(state, vocabulary.Granted("n"), vocabulary.SetUpDone("s"))
    assert [each.server for each in state.candidates()] == ["s"]


def test_lost_server_takes_its_jobs_with_it(state):
    feed(state, *READY)
    instructions = feed(state, vocabulary.ServerLost("s", "was killed"))
    assert orders(instructions) == [vocabulary.ServerGone("s", 1, "was killed")]
    assert told(instructions) == ["ServerDisconnected"]
    assert feed(state, vocabulary.ServerLost("s", "again")) == []


def test_silent_server_gets_no_more_jobs_but_is_not_gone_yet(state):
    feed(state, *READY)
    assert orders(feed(state, vocabulary.ServerSilent("s"))) == []
    assert not list(state.candidates())
    lost = feed(state, vocabulary.ServerSilent("s"), vocabulary.ServerLost("s", "why"))
    assert orders(lost) == [vocabulary.ServerGone("s", 1, "why")]


def test_lost_node_takes_its_servers_with_it(state):
    feed(state, *READY, vocabulary.ServerStarted("n", "t", "10.0.0.1:6"))
    instructions = feed(state, vocabulary.NodeLost("n", "it was switched off"))
    assert {each.server for each in orders(instructions)} == {"s", "t"}
    assert all("it was switched off" in each.explanation for each in orders(instructions))
    assert told(instructions) == ["ServerDisconnected", "ServerDisconnected", "NodeDisconnected"]


def test_node_in_use_is_asked_again_later(state):
    feed(state, vocabulary.Submitted(1), vocabulary.NodeUp("n", "a"))
    assert orders(feed(state, vocabulary.Refused("n"))) == [vocabulary.RetryLater("n")]
    assert "in use" in state.problems()[0]
    assert orders(feed(state, vocabulary.Retry("n"))) == [vocabulary.Reserve("n", 1)]
    assert feed(state, vocabulary.Retry("n")) == []


def test_close_waits_for_every_node(state):
    feed(state, *READY, vocabulary.NodeUp("m", "b"), vocabulary.Granted("m"))
    assert orders(feed(state, vocabulary.CloseRequested(1))) == [vocabulary.Release("n", 1), vocabulary.Release("m", 1)]
    assert orders(feed(state, vocabulary.Released("n"))) == []
    assert orders(feed(state, vocabulary.Released("m"))) == [vocabulary.Ended(1)]


def test_close_does_not_wait_for_a_lost_node(state):
    feed(state, *READY, vocabulary.CloseRequested(1))
    assert orders(feed(state, vocabulary.NodeLost("n", "gone"))) == [vocabulary.Ended(1)]


def test_close_during_a_reservation_gives_back_what_is_granted_later(state):
    feed(state, vocabulary.Submitted(1), vocabulary.NodeUp("n", "a"))
    assert orders(feed(state, vocabulary.CloseRequested(1))) == []
    assert orders(feed(state, vocabulary.Granted("n"))) == [vocabulary.Release("n", 1)]
    assert orders(feed(state, vocabulary.Released("n"))) == [vocabulary.Ended(1)]


def test_close_during_a_reservation_ends_with_a_refusal(state):
    feed(state, vocabulary.Submitted(1), vocabulary.NodeUp("n", "a"), vocabulary.CloseRequested(1))
    assert orders(feed(state, vocabulary.Refused("n"))) == [vocabulary.Ended(1)]


def test_close_during_set_up_ignores_how_that_ends(state):
    feed(state, *READY[:-1], vocabulary.CloseRequested(1))
    assert feed(state, vocabulary.SetUpDone("s")) == []
    assert feed(state, vocabulary.SetUpFailed("s", "late")) == []


def test_second_close_changes_nothing(state):
    feed(state, *READY, vocabulary.CloseRequested(1))
    assert feed(state, vocabulary.CloseRequested(1)) == []
    assert orders(feed(state, vocabulary.Released("n"))) == [vocabulary.Ended(1)]
    assert feed(state, vocabulary.CloseRequested(1)) == []


def test_computations_have_their_turn_in_the_order_submitted(state):
    feed(state, *READY)
    assert orders(feed(state, vocabulary.Submitted(2), vocabulary.Submitted(3))) == []
    assert orders(feed(state, vocabulary.CloseRequested(1), vocabulary.Released("n"))) == [
        vocabulary.Release("n", 1),
        vocabulary.Ended(1),
        vocabulary.Begun(2),
        vocabulary.Reserve("n", 2),
    ]


def test_queued_computation_that_is_closed_is_skipped(state):
    feed(state, *READY, vocabulary.Submitted(2), vocabulary.Submitted(3))
    assert orders(feed(state, vocabulary.CloseRequested(2))) == [vocabulary.Ended(2)]
    assert vocabulary.Begun(3) in orders(feed(state, vocabulary.CloseRequested(1), vocabulary.Released("n")))


def test_jobs_are_counted_for_placement(state):
    feed(state, *READY, vocabulary.ServerStarted("n", "t", "10.0.0.1:6"), vocabulary.SetUpDone("t"))
    state.job_started("s")
    assert least_loaded(state.candidates()) == "t"
    state.job_started("t")
    state.job_started("t")
    state.job_over("s")
    assert least_loaded(state.candidates()) == "s"


def test_end_of_a_job_at_a_forgotten_server_is_ignored(state):
    feed(state, *READY)
    state.job_started("s")
    feed(state, vocabulary.ServerLost("s", "why"))
    state.job_over("s")


def test_event_that_cannot_happen_raises_and_changes_nothing(state):
    feed(state, *READY)
    with pytest.raises(LocalProtocolError, match=r"node 10\.0\.0\.1 that is reserved cannot take 'granted'"):
        state.handle(vocabulary.Granted("n"))
    assert [each.server for each in state.candidates()] == ["s"]
    with pytest.raises(LocalProtocolError):
        state.handle(vocabulary.SetUpDone("s"))
    assert [each.server for each in state.candidates()] == ["s"]


def test_each_node_is_listed_once(state):
    feed(state, *READY, vocabulary.ServerStarted("n", "t", "10.0.0.1:6"), vocabulary.SetUpDone("t"))
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
                case vocabulary.Begun(number):
                    self.begun.append(number)
                case vocabulary.Ended(number):
                    self.ended.append(number)
                case vocabulary.Reserve(node, _):
                    assert node not in self.asked
                    self.asked.add(node)
                case vocabulary.Release(node, _):
                    self.releasing.add(node)
                case vocabulary.SetUp(server, _):
                    self.setting_up.add(server)
                case vocabulary.RetryLater(node):
                    self.feed(vocabulary.Retry(node))

    @rule()
    def submit(self):
        self.submitted += 1
        self.feed(vocabulary.Submitted(self.submitted))

    @rule(data=st.data())
    def close(self, data):
        self.feed(vocabulary.CloseRequested(data.draw(st.integers(1, max(1, self.submitted)))))

    @rule(node=st.sampled_from("abc"))
    def up(self, node):
        self.feed(vocabulary.NodeUp(node, node))

    @rule(node=st.sampled_from("abc"))
    def lose(self, node):
        self.asked.discard(node)
        self.releasing.discard(node)
        self.feed(vocabulary.NodeLost(node, "x"))

    @rule(node=st.sampled_from("abc"), granted=st.booleans())
    def answer(self, node, granted):
        if node in self.asked:
            self.asked.discard(node)
            if granted:
                self.feed(vocabulary.Granted(node))
            elif self.begun != self.ended:
                # A refusal leads to the next question at once here, so refuse only now and then.
                self.feed(vocabulary.Refused(node))

    @rule(node=st.sampled_from("abc"))
    def release(self, node):
        if node in self.releasing:
            self.releasing.discard(node)
            self.feed(vocabulary.Released(node))

    @rule(node=st.sampled_from("abc"))
    def start_server(self, node):
        self.count += 1
        self.feed(vocabulary.ServerStarted(node, f"s{self.count}", self.count))

    @rule(good=st.booleans())
    def set_up(self, good):
        if self.setting_up:
            server = self.setting_up.pop()
            self.feed(vocabulary.SetUpDone(server) if good else vocabulary.SetUpFailed(server, "x"))

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
