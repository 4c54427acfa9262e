from types import SimpleNamespace

import pytest

from greencoro.compute import server_words
from greencoro.compute.avail_info import NodeAvailInfo
from greencoro.compute.node_options import NodeOptions
from greencoro.compute.node_state import NodeState
from greencoro.compute.node_vocabulary import Holder, Identity
from greencoro.compute.node_words import Free, Reserve
from greencoro.compute.survey import Survey
from greencoro.distributed.location import Location
from greencoro.hub import native

AT = Location("10.0.0.1", 51350)


class Crew:
    size = 2

    def __init__(self):
        self.sent = []

    def send_all(self, order):
        self.sent.append(order)

    def pid(self, slot):
        return 70 + slot


class Availability:
    error = None

    def __init__(self):
        self.calls = 0

    def measure(self):
        self.calls += 1
        if self.error is not None:
            raise self.error
        return NodeAvailInfo(50.0, self.calls, 3, 4.0)


@pytest.fixture
def node():
    state = NodeState(NodeOptions(servers=2))
    state.start(0.0, 0.0)
    for number in (1, 2):
        state.ready(number, 1, Identity(f"{number:02x}" * 16, Location("10.0.0.1", number), "x", 70 + number))
    crew, availability = Crew(), Availability()
    runtime = SimpleNamespace(name="green", location=AT)
    survey = Survey(runtime, state, crew, availability)
    return SimpleNamespace(state=state, crew=crew, availability=availability, survey=survey, reports=[])


def lease(node):
    node.state.reserve("request", Holder("h", "link"), Reserve("ab" * 32, 1, "a client"), 0.0)


def test_a_report_comes_when_every_server_has_said_how_many_jobs_it_runs(node):
    lease(node)
    assert node.survey.next_due_at() is None
    node.survey.ask(node.reports.append)
    assert node.crew.sent == [server_words.CountJobs()]
    node.survey.counted(1, 5)
    node.survey.look(native.monotonic())
    assert node.reports == []
    node.survey.counted(2, 0)
    node.survey.look(native.monotonic())
    [report] = node.reports
    assert (report.name, report.location, report.in_use_by) == ("green", AT, "a client")
    assert [(each.name, each.pid, each.jobs) for each in report.servers] == [("green-1", 71, 5), ("green-2", 72, 0)]
    assert report.free == Free(50.0, 1, 3, 4.0)
    node.survey.look(native.monotonic())
    assert len(node.reports) == 1


def test_a_server_that_does_not_say_holds_up_the_report_for_a_moment_only(node):
    lease(node)
    node.survey.ask(node.reports.append)
    node.survey.counted(1, 5)
    due = node.survey.next_due_at()
    assert due - native.monotonic() <= 0.5
    node.survey.look(due)
    assert [each.jobs for each in node.reports[0].servers] == [5, None]


def test_jobs_are_those_of_a_computation(node):
    node.survey.ask(node.reports.append)
    node.survey.counted(1, 0)
    node.survey.look(node.survey.next_due_at())
    assert [(each.is_leased, each.jobs) for each in node.reports[0].servers] == [(False, None), (False, None)]


def test_several_who_ask_at_once_are_told_the_same_and_servers_asked_once(node):
    more = []
    node.survey.ask(node.reports.append)
    node.survey.ask(more.append)
    node.survey.look(node.survey.next_due_at())
    assert node.reports == more != []
    assert len(node.crew.sent) == 1


def test_what_is_free_is_not_measured_for_each_question(node):
    assert node.survey.free() == node.survey.free()
    assert node.availability.calls == 1


def test_what_cannot_be_measured_is_not_told_and_the_log_says_why(node, caplog):
    node.availability.error = OSError("no such directory")
    assert node.survey.free() is None
    assert "no such directory" in caplog.text
