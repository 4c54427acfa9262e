import itertools

import pytest

from greencoro.compute.node_phase import PHASE_TABLE, NodePhase, next_phase
from greencoro.compute.service_hours import Service
from greencoro.errors import LocalProtocolError

EVENTS = [*(service.value for service in Service), "drain", "retire", "stop", "stopped"]
IN_HOURS = [NodePhase.OPEN, NodePhase.NO_NEW, NodePhase.CLOSED]


def test_every_phase_has_its_line_in_the_table():
    assert list(PHASE_TABLE) == list(NodePhase)


@pytest.mark.parametrize(("phase", "event"), list(itertools.product(NodePhase, EVENTS)))
def test_what_is_not_in_the_table_cannot_happen(phase, event):
    if event in PHASE_TABLE[phase]:
        assert next_phase(phase, event) is PHASE_TABLE[phase][event]
    else:
        with pytest.raises(LocalProtocolError, match=event):
            next_phase(phase, event)


@pytest.mark.parametrize("phase", IN_HOURS)
def test_J10_the_time_of_day_decides_until_the_node_is_going_to_end(phase):
    assert [next_phase(phase, service.value) for service in Service] == IN_HOURS


def test_whoever_is_going_to_end_never_serves_again():
    for phase in NodePhase:
        after = PHASE_TABLE[phase].values()
        assert phase.is_last is (phase not in IN_HOURS)
        assert all(each.is_last for each in after) or not phase.is_last


def test_every_way_ends():
    for phase in NodePhase:
        if phase is not NodePhase.STOPPED:
            event = "stop" if "stop" in PHASE_TABLE[phase] else "stopped"
            assert next_phase(phase, event) in (NodePhase.STOPPING, NodePhase.STOPPED)
