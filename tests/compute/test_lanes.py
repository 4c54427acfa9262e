"""Which server takes the next job, and who waits for it."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from greencoro.compute.lanes import Lane, Lanes


@pytest.fixture
def lane():
    return Lane("s", "n")


def test_a_job_takes_from_when_the_server_was_free_to_its_end(lane):
    lane.begin("a", 10.0)
    lane.begin("b", 10.0)
    lane.end("a", 12.0, ran=True)
    assert lane.job_seconds == 2.0
    lane.end("b", 14.0, ran=True)
    assert lane.job_seconds == 2.0
    lane.begin("c", 20.0)
    lane.end("c", 22.0, ran=True)
    assert lane.job_seconds == 2.0
    assert lane.load == 0


def test_waiting_of_a_withdrawn_job_is_not_the_time_of_a_job(lane):
    lane.begin("running", 0.0)
    lane.begin("withdrawn", 0.0)
    lane.end("withdrawn", 100.0, ran=False)
    assert lane.job_seconds is None
    lane.end("running", 101.0, ran=True)
    assert lane.job_seconds == 101.0


def test_time_of_a_terminated_job_is_not_the_next_ones(lane):
    lane.begin("terminated", 0.0)
    lane.begin("next", 0.0)
    lane.end("terminated", 100.0, ran=False)
    lane.end("next", 100.5, ran=True)
    assert lane.job_seconds == 0.5


def lanes_of_short_jobs(*servers):
    """Lanes that take several jobs at once."""
    lanes = Lanes()
    for server in servers:
        lanes.open(server, "n", 0.0)
    for server in servers:
        lanes._lanes[server].estimate(0.01)
    return lanes


def test_who_waits_for_an_empty_lane_gets_it_in_the_order_of_asking():
    lanes = Lanes()
    lanes.open("s", "n", 0.0)
    assert lanes.ask("a", True, 0.0) == "s"
    assert [lanes.ask(ticket, True, 0.0) for ticket in "bc"] == [None, None]
    assert lanes.over("s", "a", True, 1.0) == [("b", "s")]
    assert lanes.over("s", "b", True, 2.0) == [("c", "s")]
    assert lanes.over("s", "c", True, 3.0) == []


def test_many_jobs_keep_a_lane_full_but_not_the_one_that_is_held_for_a_job_alone():
    lanes = lanes_of_short_jobs("s", "t")
    at = {number: lanes.ask(number, False, 0.0) for number in range(6)}
    assert sorted(at.values()) == ["s"] * 3 + ["t"] * 3
    assert lanes.ask("alone", True, 0.0) is None
    assert lanes.ask("more", False, 0.0) is None
    grants = []
    jobs = {server: [number for number, there in at.items() if there == server] for server in "st"}
    held = next(iter(lanes._held)).server
    other = "t" if held == "s" else "s"
    grants += lanes.over(held, jobs[held][0], True, 0.01)
    grants += lanes.over(held, jobs[held][1], True, 0.02)
    assert grants == []
    grants += lanes.over(other, jobs[other][0], True, 0.03)
    grants += lanes.over(other, jobs[other][1], True, 0.04)
    assert grants == [("more", other)]
    grants += lanes.over(held, jobs[held][2], True, 0.05)
    assert grants == [("more", other), ("alone", held)]


def test_a_lane_that_nobody_waits_for_alone_any_more_takes_others_again():
    lanes = lanes_of_short_jobs("s")
    assert [lanes.ask(number, False, 0.0) for number in range(2)] == ["s", "s"]
    assert lanes.ask("alone", True, 0.0) is None
    assert lanes.ask("other", False, 0.0) is None
    assert lanes.give_up("alone", 0.0) == [("other", "s")]


def test_jobs_alone_that_keep_coming_do_not_starve_the_others():
    lanes = lanes_of_short_jobs("s")
    assert lanes.ask("first", True, 0.0) == "s"
    lanes.ask("alone 1", True, 0.0)
    lanes.ask("many", False, 0.0)
    lanes.ask("alone 2", True, 0.0)
    assert lanes.over("s", "first", True, 0.1) == [("alone 1", "s")]
    assert lanes.over("s", "alone 1", True, 0.2) == [("many", "s")]
    assert lanes.over("s", "many", True, 0.3) == [("alone 2", "s")]


def test_a_lane_that_is_shut_takes_nothing_more_and_is_forgotten_with_its_last_job():
    lanes = Lanes()
    lanes.open("s", "n", 0.0)
    lanes.ask("a", True, 0.0)
    lanes.ask("b", True, 0.0)
    assert lanes.shut("s", 0.0) == []
    assert lanes.over("s", "a", False, 0.0) == []
    assert lanes._lanes == {}
    assert lanes.open("t", "n", 1.0) == [("b", "t")]


class Machine(RuleBasedStateMachine):
    """Any order of events: no place is given twice or lost, and nobody waits while there is one."""

    def __init__(self):
        super().__init__()
        self.lanes = Lanes()
        self.tickets = 0
        self.waiting = {}
        self.running = {}
        self.now = 0.0

    def took(self, grants):
        for ticket, server in grants:
            alone = self.waiting.pop(ticket)
            self.begin(ticket, server, alone)

    def begin(self, ticket, server, alone):
        assert not alone or server not in self.running.values()
        self.running[ticket] = server

    @rule(server=st.sampled_from("abc"))
    def open(self, server):
        if server not in self.lanes._lanes:
            self.took(self.lanes.open(server, server, self.now))

    @rule(server=st.sampled_from("abc"))
    def shut(self, server):
        self.took(self.lanes.shut(server, self.now))

    @rule(alone=st.booleans())
    def ask(self, alone):
        self.tickets += 1
        server = self.lanes.ask(self.tickets, alone, self.now)
        if server is None:
            self.waiting[self.tickets] = alone
        else:
            self.begin(self.tickets, server, alone)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data):
        ticket = data.draw(st.sampled_from(sorted(self.waiting)))
        del self.waiting[ticket]
        self.took(self.lanes.give_up(ticket, self.now))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), ran=st.booleans(), took=st.sampled_from([0.001, 0.5]))
    def over(self, data, ran, took):
        ticket = data.draw(st.sampled_from(sorted(self.running)))
        server = self.running.pop(ticket)
        self.now += took
        self.took(self.lanes.over(server, ticket, ran, self.now))

    @invariant()
    def nobody_waits_while_a_lane_is_empty(self):
        assert sorted(self.lanes.waiting()) == sorted(self.waiting)
        empty = [lane for lane in self.lanes._lanes.values() if lane.is_open and not lane.load]
        assert not (empty and self.waiting)

    @invariant()
    def as_many_lanes_are_held_as_jobs_alone_wait(self):
        alone = sum(self.waiting.values())
        opened = sum(lane.is_open for lane in self.lanes._lanes.values())
        assert len(self.lanes._held) == min(alone, opened)


TestLanes = Machine.TestCase
