"""Coroutines that are tied together: where one does not finish, the other does not go on."""

import functools
import itertools
import logging
from collections.abc import Callable
from typing import Any

import pytest

from greencoro import Coro, CoroTerminated, sleep
from greencoro.errors import LinkedCoroEnded
from greencoro.hub import exit as process_exit
from tests.support.polling import poll_until

from .places import everywhere, parked, wait_until_it_waits


@pytest.fixture(autouse=True)
def _ends_are_expected(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "greencoro.hub.execution")


def divides(coro: Any) -> float:
    return 1 / coro.receive()


def pair(*targets: Callable[..., Any]) -> list[Coro]:
    coros = [Coro(target) for target in targets or (parked, parked)]
    for coro in coros:
        wait_until_it_waits(coro)
    return coros


def linked_end(coro: Coro) -> LinkedCoroEnded:
    with pytest.raises(LinkedCoroEnded) as caught:
        coro.value(10)
    return caught.value


def tied(*coros: Coro) -> int:
    """How many observers these have, in all."""
    return sum(len(coro._observers or ()) for coro in coros)


# Each kind of end.


@pytest.mark.parametrize("reverse", [False, True], ids=["the one that linked", "the one that was linked"])
def test_where_one_raises_the_other_is_told_why(reverse: bool) -> None:
    first, second = pair(divides, divides)
    assert first.link(second) == 0
    fails, told = (second, first) if reverse else (first, second)
    fails.send(0)
    end = linked_end(told)
    assert end.coro is fails and end.kind == "exception" and isinstance(end.error, ZeroDivisionError)
    assert str(end) == f"linked coroutine {fails} ended (exception): ZeroDivisionError: division by zero"


@pytest.mark.parametrize("reverse", [False, True], ids=["the one that linked", "the one that was linked"])
def test_where_one_is_terminated_the_other_does_not_go_on(reverse: bool) -> None:
    first, second = pair()
    assert first.link(second) == 0
    ended, told = (second, first) if reverse else (first, second)
    ended.terminate()
    end = linked_end(told)
    assert (end.coro, end.kind, end.error) == (ended, "terminated", None)


@pytest.mark.parametrize("reverse", [False, True], ids=["the one that linked", "the one that was linked"])
def test_one_that_finishes_breaks_no_link_and_leaves_nothing_behind(reverse: bool) -> None:
    first, second = pair()
    assert first.link(second) == 0
    ended, stays = (second, first) if reverse else (first, second)
    ended.send("result")
    assert ended.value(10) == "result"
    poll_until(lambda: tied(stays) == 0, what="nothing is left of the link")
    stays.send("went on")
    assert stays.value(10) == "went on"


def test_one_that_ends_before_it_begins_tells_the_other() -> None:
    def all_of_it() -> Any:
        new, other = Coro(parked), Coro(parked)
        while other._mailbox._receiver is None:
            sleep(0)
        unborn = Coro(parked)
        assert other.link(unborn) == 0
        unborn.terminate()
        new.send(None)
        return unborn, other

    unborn, other = Coro(all_of_it).value(10)
    assert linked_end(other).coro is unborn


def test_the_end_is_met_at_the_next_wait_of_one_that_runs() -> None:
    events: list[str] = []

    def runs(coro: Any) -> None:
        other = Coro(parked)
        assert coro.link(other) == 0
        other.terminate()
        events.append("still runs")
        sleep(0.5)
        events.append("went on")

    linked_end(Coro(runs))
    assert events == ["still runs"]


def test_one_may_catch_it_and_go_on_and_is_not_told_again() -> None:
    def stays(coro: Any) -> tuple[Any, Any]:
        try:
            coro.receive()
        except LinkedCoroEnded as end:
            return end.coro, coro.receive(0.02, "alarm")
        return None, None

    first, second = pair(stays, parked)
    first.link(second)
    second.terminate()
    assert first.value(10) == (second, "alarm")


# Chains and many.


def test_the_end_goes_through_a_chain() -> None:
    coros = [Coro(parked) for _ in range(20)]
    for before, after in itertools.pairwise(coros):
        assert before.link(after) == 0
    coros[7].terminate()
    for coro in coros[:7] + coros[8:]:
        assert linked_end(coro).kind in ("terminated", "exception")
    with pytest.raises(CoroTerminated):
        coros[7].value(10)


def test_a_ring_ends_whole() -> None:
    coros = [Coro(parked) for _ in range(5)]
    for n, coro in enumerate(coros):
        assert coro.link(coros[(n + 1) % 5]) == 0
    coros[0].terminate()
    for coro in coros[1:]:
        linked_end(coro)
    assert tied(*coros) == 0


def test_a_long_lived_partner_keeps_nothing_of_those_that_ended() -> None:
    (lives,) = pair(parked)
    for _ in range(200):
        short = Coro(parked)
        assert (lives.link(short), short.link(lives)) == (0, 0)
        short.send(1)
        short.value(10)
    poll_until(lambda: tied(lives) == 0, what="nothing is left of any link")
    lives.send(None)


def test_linked_twice_it_is_told_once() -> None:
    def counts(coro: Any) -> int:
        told = 0
        while True:
            try:
                if coro.receive(0.05, "alarm") == "alarm" and told:
                    return told
            except LinkedCoroEnded:
                told += 1

    first, second = pair(counts, parked)
    assert (first.link(second), first.link(second), second.link(first)) == (0, 0, 0)
    second.terminate()
    assert first.value(10) == 1


# Undoing.


@pytest.mark.parametrize("reverse", [False, True], ids=["by the one that linked", "by the other"])
def test_unlink_undoes_it_from_either_side(reverse: bool) -> None:
    first, second = pair()
    first.link(second)
    assert (second.unlink(first) if reverse else first.unlink(second)) == 0
    assert tied(first, second) == 0
    second.terminate()
    with pytest.raises(CoroTerminated):
        second.value(10)
    first.send("went on")
    assert first.value(10) == "went on"


def test_unlink_where_there_is_no_link_does_nothing() -> None:
    first, second = pair()
    assert (first.unlink(second), first.unlink(first)) == (0, 0)
    with pytest.raises(TypeError, match="takes a coroutine, not 'text'"):
        first.unlink("text")  # type: ignore[arg-type]
    first.send(1), second.send(2)
    assert (first.value(10), second.value(10)) == (1, 2)
    assert first.unlink(second) == 0


def test_one_may_be_linked_again_after_unlink() -> None:
    first, second = pair()
    first.link(second)
    first.unlink(second)
    assert second.link(first) == 0
    second.terminate()
    linked_end(first)


# Errors, and from where.


@everywhere
def test_links_can_be_made_and_undone_from_anywhere(place: Callable[..., Any]) -> None:
    first, second = pair()
    assert place(functools.partial(first.link, second)) == 0
    assert place(functools.partial(second.unlink, first)) == 0
    assert tied(first, second) == 0
    assert place(functools.partial(first.link, second)) == 0
    assert place(second.terminate) == 0
    linked_end(first)


def test_to_one_that_is_over_there_is_no_link() -> None:
    over = Coro(lambda: None)
    over.value(10)
    (lives,) = pair(parked)
    assert (lives.link(over), over.link(lives)) == (-1, -1)
    assert tied(lives) == 0
    lives.send("undisturbed")
    assert lives.value(10) == "undisturbed"


@pytest.mark.parametrize("other", [None, "name", 5, object(), parked])
def test_what_is_no_coroutine_cannot_be_linked(other: Any) -> None:
    (coro,) = pair(parked)
    with pytest.raises(TypeError, match=r"link\(\) takes a coroutine, not"):
        coro.link(other)
    assert tied(coro) == 0
    coro.send(None)


def test_a_coroutine_cannot_be_linked_to_itself() -> None:
    (coro,) = pair(parked)
    with pytest.raises(ValueError, match="cannot be linked to itself"):
        coro.link(coro)
    assert tied(coro) == 0
    coro.send(None)


@pytest.mark.usefixtures("frequent_switches")
def test_a_link_made_while_the_other_ends_is_refused_or_tells() -> None:
    results = set()
    for _ in range(150):
        first, second = Coro(parked), Coro(parked)
        second.terminate()
        result = first.link(second)
        results.add(result)
        if result == 0:
            assert linked_end(first).coro is second
        else:
            first.send("undisturbed")
            assert first.value(10) == "undisturbed"
    assert results <= {0, -1}


@pytest.mark.parametrize("has_met_it", [False, True], ids=["terminated just now", "cleaning up"])
def test_one_that_is_being_ended_is_not_told_and_cleans_up(has_met_it: bool) -> None:
    done = []

    def cleans_up(coro: Any) -> None:
        try:
            coro.receive()
        finally:
            done.append("begun")
            coro.receive()
            done.append("done")

    def ends_both() -> None:
        if not has_met_it:
            partner.terminate()
        ended.terminate()
        if has_met_it:
            wait_until(lambda: done)
            partner.terminate()

    def wait_until(happens: Callable[[], Any]) -> None:
        poll_until(happens, what="it happens")

    ended, partner = pair(cleans_up, parked)
    assert ended.link(partner) == 0
    Coro(ends_both).value(10)
    wait_until(lambda: done and not partner.is_alive())
    ended.send("go on")
    with pytest.raises(CoroTerminated):
        ended.value(10)
    assert done == ["begun", "done"] and ended.id not in process_exit.cleaning_up


def test_one_that_was_ended_and_goes_on_as_another_function_is_told_again() -> None:
    def refuses_to_end(coro: Any) -> None:
        coro.hot_swappable()
        try:
            coro.receive()
        finally:
            coro.suspend()

    swapped, partner = pair(refuses_to_end, parked)
    swapped.terminate()
    poll_until(lambda: swapped._suspension is not None)
    assert swapped.hot_swap(parked) == 0
    wait_until_it_waits(swapped)
    assert swapped.link(partner) == 0
    partner.terminate()
    assert linked_end(swapped).coro is partner


def test_one_that_failed_as_it_was_ended_and_starts_anew_is_told_again() -> None:
    def fails(coro: Any) -> None:
        try:
            coro.receive()
        finally:
            raise ValueError

    anew, monitor, partner = pair(fails, parked, parked)
    assert monitor.monitor(anew) == 0
    # Before its end is through.
    anew.add_observer(lambda coro: coro.hot_swap(parked))
    anew.terminate()
    monitor.value(10)
    wait_until_it_waits(anew)
    assert anew.link(partner) == 0
    partner.terminate()
    assert linked_end(anew).coro is partner
