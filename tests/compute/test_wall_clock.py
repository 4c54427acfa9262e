"""A node whose clock on the wall is set: its leases go by another clock (J6)."""

import pytest

from greencoro.compute.node_options import NodeOptions
from greencoro.compute.node_state import NodeState
from greencoro.compute.node_vocabulary import EndServer, Holder, Identity
from greencoro.compute.node_words import Reserve
from greencoro.distributed.location import Location

#: What somebody sets the clock by, in seconds: by an hour, to before the epoch, to the far future.
STEPS = [0, 3600, -3600, -2e9, 1e11]


@pytest.fixture
def state():
    """A node that is reserved, and ends a lease of which no job ran for 100 s."""
    state = NodeState(NodeOptions(servers=1, zombie_period=100.0))
    state.start(0.0, 1e9)
    state.ready(1, 1, Identity("aa" * 16, Location("10.0.0.1", 1), "node-1", 1001))
    state.reserve("request", Holder("h" * 32, "link"), Reserve("ab" * 32, 1, "a client", pulse_interval=0.0), 0.0)
    return state


def ended_at(state, since, until, step):
    """When the server was told to end, where the clock on the wall is set by `step` at the first second."""
    for now in range(since, until):
        if any(isinstance(each, EndServer) for each in state.due(float(now), 1e9 + now + step)):
            return now
    return None


@pytest.mark.parametrize("step", STEPS)
def test_J6_a_lease_without_a_job_ends_when_it_would_have(state, step):
    assert ended_at(state, 1, 500, step) == 100


@pytest.mark.parametrize("step", STEPS)
def test_J6_a_job_that_runs_is_not_idle_whatever_the_clock_shows(state, step):
    state.busy(1, 1)
    assert ended_at(state, 1, 500, step) is None
    state.idle(1, 1, 500.0)
    assert ended_at(state, 501, 1000, -step) == 600


@pytest.mark.parametrize("step", STEPS)
def test_J6_the_next_look_is_at_no_time_of_the_wall(state, step):
    state.due(1.0, 1e9 + step)
    assert 1.0 <= state.next_due_at() <= 100.0
