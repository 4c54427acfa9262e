"""A scheduler's decisions, whatever comes in whatever order."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from greencoro.compute import client_words as client
from greencoro.compute import scheduler_vocabulary as vocabulary
from greencoro.compute.scheduler_records import NodeState
from greencoro.compute.scheduler_state import SchedulerState
from tests.compute.scheduler_events import AT, HERE, facts

_OF_USE = (NodeState.RESERVED, NodeState.RESERVING, NodeState.AWAY)


class Machine(RuleBasedStateMachine):
    """Nodes that come, go, are mute and end leases, and clients: each computation begins and ends once, in order."""

    def __init__(self):
        super().__init__()
        self.state = SchedulerState(HERE)
        self.begun, self.ended, self.submitted = [], [], 0
        self.offered = set()
        #: What the shell has under way: (node, attempt), of requests to reserve and to release.
        self.asked, self.releasing, self.retries, self.looks = set(), set(), set(), set()
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
            elif isinstance(order, vocabulary.Look):
                self.looks.add(order.node)
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
            self.feed(vocabulary.Unanswered(*lease, "x"))

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

    @rule(node=st.sampled_from("abc"))
    def give_back(self, node):
        if self.state.current is not None:
            self.feed(client.Verdict(self.state.current, node, False, "x"))

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
            self.feed(vocabulary.Unanswered(*lease, "x"))

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

    @precondition(lambda self: self.looks)
    @rule(data=st.data())
    def look(self, data):
        node = self.draw(data, self.looks)
        self.looks.discard(node)
        self.feed(vocabulary.Looked(node, facts(node)))

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
                self.feed(vocabulary.Unanswered(*lease, "x"))
            self.asked.clear()
            for lease in sorted(self.releasing):
                self.feed(vocabulary.Released(*lease))
                self.releasing.discard(lease)
        assert sorted(self.ended) == list(range(1, self.submitted + 1))
        assert self.state.current is None


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
