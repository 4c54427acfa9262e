import itertools

import pytest

from greencoro.errors import LocalProtocolError
from greencoro.hub.lifecycle import Event, State, advance

STEPS = {
    (State.NEW, Event.START): State.ACTIVE,
    (State.NEW, Event.TERMINATE): State.TERMINATED,
    (State.ACTIVE, Event.RETURN): State.FINISHED,
    (State.ACTIVE, Event.RAISE): State.FAILED,
    (State.ACTIVE, Event.TERMINATE): State.TERMINATED,
    (State.FAILED, Event.RESTART): State.NEW,
}


@pytest.mark.parametrize(("step", "after"), STEPS.items(), ids=str)
def test_a_coroutine_takes_the_steps_of_the_diagram(step: tuple[State, Event], after: State) -> None:
    assert advance(*step) is after


@pytest.mark.parametrize("step", [s for s in itertools.product(State, Event) if s not in STEPS], ids=str)
def test_any_other_step_is_refused_by_name(step: tuple[State, Event]) -> None:
    state, event = step
    with pytest.raises(LocalProtocolError, match=f"state {state.name} cannot {event.name.lower()}"):
        advance(state, event)


def test_a_coroutine_is_over_from_finished_on() -> None:
    over = {state for state in State if state >= State.FINISHED}
    assert over == {state for state in State if (state, Event.START) not in STEPS} - {State.ACTIVE}
    assert {step for step in STEPS if step[0] in over} == {(State.FAILED, Event.RESTART)}
