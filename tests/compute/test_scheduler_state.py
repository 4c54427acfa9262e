import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from greencoro.compute import client_words as client
from greencoro.compute import scheduler_vocabulary as vocabulary
from greencoro.compute.scheduler_records import NodeState
from greencoro.compute.scheduler_report import problems, ready_locations
from greencoro.compute.scheduler_state import SchedulerState
from greencoro.errors import LocalProtocolError
from tests.compute.scheduler_events import (
    ASKED,
    AT,
    CLOSE,
    CLOSED,
    HERE,
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

_OF_USE = (NodeState.RESERVED, NodeState.RESERVING, NodeState.AWAY)


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
    assert names(feed(state, SUBMITTED)) == ["Begun", "NodeOffered"]
    assert feed(state, up()) == []


def test_node_is_reserved_when_the_client_accepts_it_and_once(state):
    assert orders(feed(state, SUBMITTED, up())) == []
    assert feed(state, accept()) == [vocabulary.Reserve("n", 1, 1)]
    assert feed(state, accept()) == []


def test_node_that_the_client_does_not_want_is_not_reserved_and_offered_to_the_next(state):
    feed(state, SUBMITTED, vocabulary.Submitted(2), up())
    assert feed(state, client.Verdict(1, "n", accepted=False, reason="too small")) == []
    assert problems(state) == ["node 10.0.0.1 is not used: too small"]
    assert names(feed(state, CLOSE)) == ["Ended", "Begun", "NodeOffered"]


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
    assert problems(state) == ["node 10.0.0.1 has no server running yet"]


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
    assert feed(state, vocabulary.Unanswered("n", 1)) == [vocabulary.Release("n", 1, 1)]
    assert feed(state, started()) == []
    assert feed(state, vocabulary.Released("n", 1)) == [vocabulary.RetryLater("n", 1)]
    assert feed(state, vocabulary.Retry("n", 1)) == [vocabulary.Reserve("n", 1, 2)]


def test_servers_of_a_reservation_that_is_not_answered_are_gone(state):
    feed(state, *ASKED, started())
    assert names(feed(state, vocabulary.Unanswered("n", 1))) == ["ServerGone"]


def test_close_during_a_reservation_that_is_not_answered_releases_it(state):
    feed(state, *ASKED, CLOSE)
    assert orders(feed(state, vocabulary.Unanswered("n", 1))) == [vocabulary.Release("n", 1, 1)]
    assert names(feed(state, vocabulary.Released("n", 1)))[-1] == "Ended"


def test_close_while_an_unanswered_reservation_is_released_waits_for_that(state):
    feed(state, *ASKED, vocabulary.Unanswered("n", 1))
    assert feed(state, CLOSE) == []
    assert names(feed(state, vocabulary.Released("n", 1)))[-1] == "Ended"


@pytest.mark.parametrize(
    "late",
    [
        vocabulary.Granted("n", 1),
        vocabulary.Refused("n", 1, "x"),
        vocabulary.Unanswered("n", 1),
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
    assert "was closed" in problems(state)[0]
    assert feed(state, vocabulary.Retry("n", 1), started("t"), vocabulary.LeaseEnded("n", 1, "x")) == []
    feed(state, vocabulary.Submitted(2), CLOSE)
    assert names(feed(state, vocabulary.Released("m", 2))) == [
        "NodeChanged",
        "Ended",
        "Begun",
        "NodeOffered",
        "NodeOffered",
    ]


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
    _, ended, begun, moved, offered = told(feed(state, CLOSE, vocabulary.Released("n", 1)))
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


class Machine(RuleBasedStateMachine):
    """Nodes that come, go, are mute and end leases, and clients: each computation begins and ends once, in order."""

    def __init__(self):
        super().__init__()
        self.state = SchedulerState(HERE)
        self.begun, self.ended, self.submitted = [], [], 0
        self.offered = set()
        #: What the shell has under way: (node, attempt), of requests to reserve and to release.
        self.asked, self.releasing, self.retries = set(), set(), set()
        #: What the nodes know: attempts that were granted and not released.
        self.leases = set()
        self.servers = {}
        self.numbers = {}
        self.count = 0

    def feed(self, event):
        for order in self.state.handle(event):
            if isinstance(order, vocabulary.Reserve):
                assert order.attempt not in {attempt for _, attempt in self.asked}
                self.asked.add((order.node, order.attempt))
            elif isinstance(order, vocabulary.Release):
                self.releasing.add((order.node, order.attempt))
            elif isinstance(order, vocabulary.RetryLater):
                self.retries.add((order.node, order.attempt))
            elif isinstance(order, vocabulary.Tell):
                self.hear(order.notice)
        # A node that is lost, or away when the computation ends, hears no more of it and ends the lease by itself.
        self.leases = {lease for lease in self.leases if lease[0] in self.state.nodes}

    def hear(self, notice):
        assert notice.computation not in self.ended
        self.numbers[notice.computation] = self.numbers.get(notice.computation, 0) + 1
        assert notice.number == self.numbers[notice.computation]
        if isinstance(notice, client.Begun):
            self.begun.append(notice.computation)
        elif isinstance(notice, client.Ended):
            self.ended.append(notice.computation)
        elif isinstance(notice, client.NodeOffered):
            self.offered.add((notice.computation, notice.node))
        elif isinstance(notice, client.ServerStarted):
            self.servers[notice.server] = notice.computation
        elif isinstance(notice, client.ServerGone):
            assert self.servers.pop(notice.server) == notice.computation

    def draw(self, data, things):
        return data.draw(st.sampled_from(sorted(things)))

    @rule(pulses=st.booleans())
    def submit(self, pulses):
        self.submitted += 1
        self.feed(vocabulary.Submitted(self.submitted, pulses))

    @rule(data=st.data())
    def close(self, data):
        self.feed(client.Close(data.draw(st.integers(1, max(1, self.submitted)))))

    @rule(node=st.sampled_from("abc"))
    def up(self, node):
        self.feed(vocabulary.NodeUp(node, facts(node)))

    @rule(node=st.sampled_from("abc"))
    def lose(self, node):
        # The node hears of that too. What was asked of it stays under way, and is answered late.
        self.leases = {lease for lease in self.leases if lease[0] != node}
        self.feed(vocabulary.NodeLost(node, "x", for_good=True))

    @rule(node=st.sampled_from("abc"))
    def go_away(self, node):
        self.feed(vocabulary.NodeLost(node, "x"))
        # What was asked of it fails with the connection.
        for lease in [lease for lease in self.asked if lease[0] == node]:
            self.asked.discard(lease)
            self.feed(vocabulary.Unanswered(*lease))

    @rule()
    def oversleep(self):
        if self.state.current is not None:
            self.feed(vocabulary.Overslept(self.state.current, "x"))

    @precondition(lambda self: self.offered)
    @rule(data=st.data(), accepted=st.booleans())
    def judge(self, data, accepted):
        computation, node = self.draw(data, self.offered)
        self.offered.discard((computation, node))
        self.feed(client.Verdict(computation, node, accepted))

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), answer=st.sampled_from(["granted", "refused", "lost answer", "lost question"]))
    def answer(self, data, answer):
        lease = self.draw(data, self.asked)
        self.asked.discard(lease)
        node = self.state.nodes.get(lease[0])
        if answer in ("granted", "lost answer") and node is not None and node.attempt == lease[1]:
            self.leases.add(lease)
        if answer == "granted":
            self.feed(vocabulary.Granted(*lease))
        elif answer == "refused":
            self.feed(vocabulary.Refused(*lease, "x"))
        else:
            self.feed(vocabulary.Unanswered(*lease))

    @precondition(lambda self: self.releasing)
    @rule(data=st.data())
    def release(self, data):
        lease = self.draw(data, self.releasing)
        self.releasing.discard(lease)
        self.leases.discard(lease)
        self.feed(vocabulary.Released(*lease))

    @precondition(lambda self: self.retries)
    @rule(data=st.data())
    def retry(self, data):
        lease = self.draw(data, self.retries)
        self.retries.discard(lease)
        self.feed(vocabulary.Retry(*lease))

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def end_lease(self, data):
        lease = self.draw(data, self.leases)
        self.leases.discard(lease)
        self.feed(vocabulary.LeaseEnded(*lease, "x"))

    @precondition(lambda self: self.leases | self.asked)
    @rule(data=st.data())
    def start_server(self, data):
        self.count += 1
        node, attempt = self.draw(data, self.leases | self.asked)
        self.feed(vocabulary.ServerStarted(node, attempt, f"s{self.count}", AT, "x"))

    @precondition(lambda self: self.servers)
    @rule(data=st.data(), what=st.sampled_from(["unreachable", "unexplained"]))
    def lose_server(self, data, what):
        server = self.draw(data, self.servers)
        if what == "unreachable":
            self.feed(client.Unreachable(self.servers[server], server, "x"))
        else:
            self.feed(vocabulary.Unexplained(server, "x"))

    @invariant()
    def one_at_a_time(self):
        assert len(self.begun) - len([each for each in self.ended if each in self.begun]) <= 1
        assert len(set(self.begun)) == len(self.begun)
        assert self.begun == sorted(self.begun)

    @invariant()
    def nothing_is_kept_from_its_node(self):
        """Whoever has a lease is using it or giving it back."""
        for node, attempt in self.leases:
            known = self.state.nodes[node]
            in_use = known.attempt == attempt and known.state in _OF_USE
            assert in_use or (node, attempt) in self.releasing

    def teardown(self):
        for number in range(1, self.submitted + 1):
            self.feed(client.Close(number))
        while self.asked or self.releasing:
            for lease in sorted(self.asked):
                self.feed(vocabulary.Unanswered(*lease))
            self.asked.clear()
            for lease in sorted(self.releasing):
                self.feed(vocabulary.Released(*lease))
                self.releasing.discard(lease)
        assert sorted(self.ended) == list(range(1, self.submitted + 1))
        assert self.state.current is None


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
