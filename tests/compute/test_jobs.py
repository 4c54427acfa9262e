"""What RemoteCoroScheduler knows of a server's jobs, and what map_results does where one cannot be sent."""

from types import SimpleNamespace

import pytest

from greencoro import Computation, RemoteCoroScheduler
from greencoro.compute.job import Outcome
from greencoro.compute.jobs import _Lane
from greencoro.compute.placement import Candidate
from greencoro.compute.server_pool import Server
from greencoro.distributed.location import Location
from greencoro.errors import BusyResource
from greencoro.hub.completion import Completion


@pytest.fixture
def lane():
    return _Lane()


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
    assert lane.outstanding == 0


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


SERVER = Server("ab" * 16, "cd" * 16, "10.0.0.1", Location("10.0.0.1", 5), "server", "token")


class Job:
    """One that is not run."""

    def __init__(self):
        self.outcome = Completion()

    def ended(self):
        return Outcome.LOST


class FullServers:
    """In the place of what launches jobs: the first server takes no more, after it was counted."""

    timeout = 0.2

    def __init__(self, where):
        self.where = where
        self.on_servers = []
        self.shipping = SimpleNamespace(check=lambda f: None, prepare=lambda f, args, kwargs: args)
        self.client = SimpleNamespace(ready=lambda: [SERVER])
        self.claims = 0

    def assign(self, choose):
        assert choose([Candidate(SERVER.id, SERVER.node, 0)]) == SERVER.id
        self.claims += 1
        return SERVER

    def submit(self, server, prepared, lane=None):
        if self.where == "submit":
            raise BusyResource("takes no more")
        return Job()

    def queue(self, submission):
        submission.outcome.set(None)
        raise BusyResource("no room")


@pytest.mark.parametrize("where", ["submit", "queue"])
def test_job_that_cannot_be_sent_is_that_elements_outcome_and_takes_no_place(where):
    jobs = RemoteCoroScheduler(Computation())
    jobs._jobs = FullServers(where)
    results = jobs.map_results(len, ["a", "b", "c"])
    # With a place that stays taken, the second would have waited for ever: depth is one before the first is over.
    assert [type(each) for each in results] == [BusyResource] * 3
    assert jobs._jobs.claims == 3
