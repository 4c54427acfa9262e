"""The time limits of jobs in a server process."""

from types import SimpleNamespace

import pytest

from greencoro.errors import CoroTerminated, JobTimeLimit, RemoteProtocolError, Terminated
from greencoro.hub.completion import Completion
from tests.compute.job_hosts import job_host, queue
from tests.support.polling import poll_until


@pytest.fixture
def host():
    with job_host() as host:
        yield host


class Reactor:
    """Its clock shows what a test says."""

    def __init__(self):
        self.timers = []

    def post(self, function, *args):
        function(*args)

    def call_later(self, seconds, function, *args):
        timer = SimpleNamespace(seconds=seconds, cancel=lambda: self.timers.remove(timer))
        timer.end = lambda: function(*args)
        self.timers.append(timer)
        return timer


@pytest.fixture
def reactor(host):
    reactor = Reactor()
    host.runtime.reactor.post = reactor.post
    host.runtime.reactor.call_later = reactor.call_later
    host.host.assign("right")
    return reactor


def test_job_that_runs_longer_than_its_time_limit_is_ended_and_says_so(host, reactor):
    host.loader.functions = {"wait": Completion().wait}
    coro = queue(host, 1, "wait", time_limit=2.5)
    poll_until(lambda: reactor.timers, 5)
    assert reactor.timers[0].seconds == 2.5
    reactor.timers[0].end()
    with pytest.raises(JobTimeLimit, match=r"wait ran longer than its time limit of 2\.5 s") as caught:
        coro.value(5)
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value.__cause__, Terminated)
    assert reactor.timers == []


def test_clock_of_a_time_limit_starts_with_the_turn_and_stops_with_the_job(host, reactor):
    go_on = Completion()
    host.loader.functions = {"wait": go_on.wait, "next": lambda: 3}
    queue(host, 1, "wait", lane="a")
    after = queue(host, 2, "next", lane="a", time_limit=1)
    poll_until(lambda: host.host._in_line, 5)
    assert reactor.timers == []
    go_on.set()
    assert after.value(5) == 3
    poll_until(lambda: not reactor.timers, 5)


def test_job_that_was_terminated_within_its_time_limit_is_terminated(host, reactor):
    host.loader.functions = {"wait": Completion().wait}
    coro = queue(host, 1, "wait", time_limit=2)
    poll_until(lambda: reactor.timers, 5)
    coro.terminate()
    with pytest.raises(CoroTerminated):
        coro.value(5)


def test_what_a_job_returned_that_would_not_end_stands(host, reactor):
    def stay():
        try:
            Completion().wait()
        except Terminated:
            return "stayed"

    host.loader.functions = {"stay": stay}
    coro = queue(host, 1, "stay", time_limit=2)
    poll_until(lambda: reactor.timers, 5)
    reactor.timers[0].end()
    assert coro.value(5) == "stayed"


@pytest.mark.parametrize("limit", [0, -1, "1", True, [1], float("nan"), float("inf")])
def test_time_limit_that_is_none_is_refused(host, limit):
    host.host.assign("right")
    with pytest.raises(RemoteProtocolError, match="no number of seconds"):
        queue(host, 1, "any", time_limit=limit).value(5)
