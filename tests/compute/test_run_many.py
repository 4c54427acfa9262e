"""One job at each of several servers, which start them or do not, as a test says."""

from types import SimpleNamespace

import pytest

from greencoro.compute.run_many import run_at_each, run_at_nodes, run_at_servers
from greencoro.compute.server_pool import Server
from greencoro.distributed.location import Location
from greencoro.errors import ComputationClosed, NoMatchingServer, PackagingError, PartialFailure, ServerDied
from greencoro.hub import native
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from tests.support.polling import poll_until

TIMEOUT = 5.0


def server(address, port):
    return Server(f"{port:032x}", address, address, Location(address, port), "s", "token")


class Jobs:
    """A launcher."""

    timeout = TIMEOUT
    client = SimpleNamespace(runtime=SimpleNamespace(spawn=Coro))

    def __init__(self, *servers):
        self.servers = servers
        self.started = []
        self.deadlines = set()
        #: By place: what keeps a job from starting there, or what has to come first.
        self.problems = {}
        self.hold = {}

    def prepare_once(self, function, args, kwargs):
        if not callable(function):
            raise PackagingError("no function")
        return SimpleNamespace(name=function.__name__, call=(args, kwargs))

    def await_ready(self, address, deadline):
        self.deadlines.add(deadline)
        found = [server for server in self.servers if server.is_at(address)]
        if not found:
            raise NoMatchingServer(f"no server at {address}")
        return found

    def start_at(self, where, prepared, deadline):
        self.deadlines.add(deadline)
        self.started.append((where, prepared.call))
        if where in self.hold:
            self.hold[where].wait()
        if where in self.problems:
            raise self.problems[where]
        return SimpleNamespace(coro=f"{prepared.name} at {where}")


A1, A2, B1 = server("10.0.0.1", 1), server("10.0.0.1", 2), server("10.0.0.2", 1)


@pytest.fixture
def jobs():
    Coro(lambda: None).value(5)  # starts the user hub
    return Jobs(A1, A2, B1)


def at(*places):
    return [f"pow at {place}" for place in places]


def test_at_every_server_one_is_started_in_the_order_of_the_servers(jobs):
    assert run_at_servers(jobs, None, pow, (2,), {"exp": 3}) == at(A1.location, A2.location, B1.location)
    assert [call for _, call in jobs.started] == [((2,), {"exp": 3})] * 3


def test_at_the_servers_of_one_node_one_is_started_each(jobs):
    assert run_at_servers(jobs, "10.0.0.1", pow, (), {}) == at(A1.location, A2.location)


def test_at_every_node_one_is_started(jobs):
    assert run_at_nodes(jobs, pow, (), {}) == at("10.0.0.1", "10.0.0.2")


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("server", at(A1.location, A2.location, B1.location)),
        ("node", at("10.0.0.1", "10.0.0.2")),
        ("10.0.0.2", at(B1.location)),
    ],
)
def test_where_says_at_what(jobs, where, expected):
    assert run_at_each(jobs, where, pow, (), {}) == expected


@pytest.mark.parametrize("where", [None, 5, b"node"])
def test_what_is_no_place_is_refused_before_anything_is_started(jobs, where):
    with pytest.raises(TypeError, match="where is 'node', 'server'"):
        run_at_each(jobs, where, pow, (), {})
    assert jobs.started == []


def test_where_there_is_no_server_nothing_is_started(jobs):
    with pytest.raises(NoMatchingServer):
        run_at_servers(jobs, "10.0.0.9", pow, (), {})
    assert jobs.started == []


def test_all_have_one_deadline(jobs):
    before = native.monotonic()
    run_at_servers(jobs, None, pow, (), {})
    [deadline] = jobs.deadlines
    assert before + TIMEOUT <= deadline <= native.monotonic() + TIMEOUT


def test_none_waits_for_the_start_of_another(jobs):
    jobs.hold = {A1.location: Completion()}
    running = Coro(run_at_servers, jobs, None, pow, (), {})
    poll_until(lambda: len(jobs.started) == 3)
    assert running.is_alive()
    jobs.hold[A1.location].set()
    assert running.value(5) == at(A1.location, A2.location, B1.location)


def test_what_started_is_told_with_what_did_not(jobs):
    died, closed = ServerDied("was killed"), ComputationClosed("it is closed")
    jobs.problems = {A2.location: died, B1.location: closed}
    with pytest.raises(PartialFailure) as raised:
        run_at_servers(jobs, None, pow, (), {})
    assert raised.value.results == at(A1.location)
    assert raised.value.failures == {A2.location: died, B1.location: closed}
    assert str(raised.value) == ("pow was started at 1 of 3 places; 10.0.0.1:2: was killed; 10.0.0.2:1: it is closed")


def test_a_node_that_is_lost_is_named_by_its_address(jobs):
    died = ServerDied("was lost")
    jobs.problems = {"10.0.0.1": died}
    with pytest.raises(PartialFailure) as raised:
        run_at_nodes(jobs, pow, (), {})
    assert raised.value.results == at("10.0.0.2")
    assert raised.value.failures == {"10.0.0.1": died}


def test_a_call_that_cannot_be_shipped_is_said_at_once(jobs):
    with pytest.raises(PackagingError):
        run_at_servers(jobs, None, 5, (), {})
    assert jobs.started == []
