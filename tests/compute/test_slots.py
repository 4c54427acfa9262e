import pytest

from greencoro.compute.slots import Slot, SlotState
from greencoro.errors import LocalProtocolError

S = SlotState
ALLOWED = {
    (S.STARTING, "ready"): S.WARM,
    (S.STARTING, "exited"): S.STARTING,
    (S.STARTING, "failed"): S.WAITING,
    (S.STARTING, "end"): S.ENDING,
    (S.STARTING, "stopped"): S.ENDED,
    (S.WARM, "lease"): S.LEASED,
    (S.WARM, "exited"): S.STARTING,
    (S.WARM, "failed"): S.WAITING,
    (S.WARM, "end"): S.ENDING,
    (S.WARM, "stopped"): S.ENDED,
    (S.LEASED, "drained"): S.DRAINED,
    (S.LEASED, "exited"): S.STARTING,
    (S.LEASED, "failed"): S.WAITING,
    (S.LEASED, "end"): S.ENDING,
    (S.LEASED, "stopped"): S.ENDED,
    (S.DRAINED, "exited"): S.STARTING,
    (S.DRAINED, "failed"): S.WAITING,
    (S.DRAINED, "end"): S.ENDING,
    (S.DRAINED, "stopped"): S.ENDED,
    (S.ENDING, "exited"): S.STARTING,
    (S.ENDING, "stopped"): S.ENDED,
    (S.WAITING, "due"): S.STARTING,
    (S.WAITING, "stopped"): S.ENDED,
}
EVENTS = sorted({event for _, event in ALLOWED})


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", list(S))
def test_a_slot_takes_the_events_of_its_state_and_no_others(state, event):
    slot = Slot(1, state)
    expected = ALLOWED.get((state, event))
    if expected is None:
        with pytest.raises(LocalProtocolError, match=f"cannot take '{event}'"):
            slot.advance(event)
        assert slot.state is state
    else:
        slot.advance(event)
        assert slot.state is expected
