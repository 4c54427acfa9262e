"""The rules of supervisors, without coroutines or clocks."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greencoro.hub.supervision import RESTARTS, STRATEGIES, Decision, Supervision


def rules(strategy: str = "one_for_one", max_restarts: int = 3, within: float = 5.0, **children: str) -> Supervision:
    supervision = Supervision(strategy, max_restarts, within)
    for name, restart in children.items():
        supervision.add(name, restart)
    return supervision


ALL: dict[str, str] = dict.fromkeys("abcd", "permanent")


@pytest.mark.parametrize("kind", ["finished", "exception", "terminated", "lost"])
@pytest.mark.parametrize(
    ("restart", "restarted_after"),
    [
        ("permanent", {"finished", "exception", "terminated", "lost"}),
        ("transient", {"exception", "lost"}),
        ("temporary", set()),
    ],
)
def test_whether_a_child_is_restarted_depends_on_its_kind_and_its_end(
    restart: str, restarted_after: set[str], kind: str
) -> None:
    decision = rules(a=restart).ended("a", kind, 0.0)
    assert decision.start == (("a",) if kind in restarted_after else ())
    assert decision.forget == (("a",) if restart == "temporary" else ())


@pytest.mark.parametrize(
    ("strategy", "stop", "start"),
    [("one_for_one", "", "b"), ("one_for_all", "dca", "abcd"), ("rest_for_one", "dc", "bcd")],
)
def test_the_strategy_says_who_is_restarted_with_it(strategy: str, stop: str, start: str) -> None:
    decision = rules(strategy, **ALL).ended("b", "exception", 0.0)
    assert decision == Decision(tuple(stop), tuple(start))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_child_that_needs_no_restart_disturbs_nobody(strategy: str) -> None:
    supervision = rules(strategy, a="permanent", b="transient", c="temporary", d="permanent")
    assert supervision.ended("b", "finished", 0.0) == Decision()
    assert supervision.ended("c", "exception", 0.0) == Decision(forget=("c",))
    assert supervision.shutdown_order() == ("d", "b", "a")


def test_temporary_siblings_are_ended_and_forgotten() -> None:
    supervision = rules("one_for_all", a="permanent", b="temporary", c="transient")
    assert supervision.ended("a", "exception", 0.0) == Decision(("c", "b"), ("a", "c"), ("b",))
    assert supervision.shutdown_order() == ("c", "a")


def test_one_restart_too_many_gives_up() -> None:
    supervision = rules(max_restarts=3, within=5.0, a="permanent")
    assert [supervision.ended("a", "exception", now).give_up for now in (0, 1, 2, 3)] == [False] * 3 + [True]


def test_the_time_slides() -> None:
    supervision = rules(max_restarts=2, within=5.0, a="permanent")
    times = (0.0, 4.0, 5.1, 9.1, 9.2)
    assert [supervision.ended("a", "exception", now).give_up for now in times] == [False] * 4 + [True]


def test_exactly_at_the_limit_counts_still() -> None:
    supervision = rules(max_restarts=1, within=5.0, a="permanent")
    supervision.ended("a", "exception", 0.0)
    assert supervision.ended("a", "exception", 5.0).give_up


def test_restarts_of_all_children_count_together_and_each_event_once() -> None:
    supervision = rules("one_for_all", max_restarts=2, **ALL)
    assert [supervision.ended(name, "finished", 0.0).give_up for name in "abc"] == [False, False, True]


def test_without_restarts_the_first_one_is_too_many() -> None:
    assert rules(max_restarts=0, a="permanent").ended("a", "finished", 0.0).give_up


def test_ends_that_need_no_restart_do_not_count() -> None:
    supervision = rules(max_restarts=0, a="transient", b="temporary")
    assert not supervision.ended("a", "finished", 0.0).give_up
    assert not supervision.ended("b", "exception", 0.0).give_up


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"strategy": "simple_one_for_one"}, ValueError),
        ({"max_restarts": -1}, ValueError),
        ({"max_restarts": 1.5}, TypeError),
        ({"max_restarts": True}, TypeError),
        ({"within_seconds": 0}, ValueError),
        ({"within_seconds": float("nan")}, ValueError),
        ({"within_seconds": "5"}, TypeError),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any], error: type[Exception]) -> None:
    given_ = {"strategy": "one_for_one", "max_restarts": 3, "within_seconds": 5.0, **wrong}
    with pytest.raises(error, match=next(iter(wrong)).split("_")[0]):
        Supervision(**given_)


def test_two_children_of_one_name_are_refused_and_the_first_stays() -> None:
    supervision = rules(a="permanent")
    with pytest.raises(ValueError, match="'a'"):
        supervision.add("a", "temporary")
    assert supervision.ended("a", "finished", 0.0).start == ("a",)


@settings(deadline=None)
@given(
    strategy=st.sampled_from(STRATEGIES),
    kinds=st.lists(st.sampled_from(RESTARTS), min_size=1, max_size=6),
    ends=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["finished", "exception", "terminated"])), max_size=20),
)
def test_whatever_ends_the_order_of_starting_stays_and_nobody_is_lost(
    strategy: str, kinds: list[str], ends: list[tuple[int, str]]
) -> None:
    supervision = rules(strategy, max_restarts=100)
    present = {f"c{number}": kind for number, kind in enumerate(kinds)}
    for name, kind in present.items():
        supervision.add(name, kind)
    for number, kind in ends:
        name = f"c{number}"
        if name not in present:
            continue
        decision = supervision.ended(name, kind, 0.0)
        order = list(present)
        assert list(decision.start) == sorted(decision.start, key=order.index)
        assert list(decision.stop) == sorted(decision.stop, key=order.index, reverse=True)
        assert name not in decision.stop
        # Who is stopped starts again or is forgotten, and only temporary ones are.
        assert {*decision.stop} - {*decision.start} <= {*decision.forget}
        assert all(present[gone] == "temporary" for gone in decision.forget)
        assert not {*decision.start} & {*decision.forget}
        for gone in decision.forget:
            del present[gone]
        assert supervision.shutdown_order() == tuple(reversed(present))
