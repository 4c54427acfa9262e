"""Supervisors of supervisors, and the end of a program that has some."""

from typing import Any

import pytest

from greencoro import Coro, CoroTerminated, TooManyRestarts, sleep
from greencoro.hub.completion import Completion
from greencoro.hub.supervisor import Supervisor
from tests.support.polling import poll_until

from .conftest import Run
from .supervised import Make, add_workers, events_fixture, make_fixture, wait_for, worker  # noqa: F401

# Supervisors of supervisors.


def test_a_supervisor_as_a_child_is_ended_with_its_children(make: Make, events: list[str]) -> None:
    outer, inner = make(), make()
    add_workers(inner, events, "ab")
    assert outer.add(inner, name="inner") is inner
    outer.add(worker, "c", events, name="c")
    wait_for(events, 3)
    outer.terminate()
    with pytest.raises(CoroTerminated):
        outer.value(10)
    assert events == ["+a", "+b", "+c", "-c", "-b", "-a"]
    assert not inner.is_alive()


def test_a_supervisor_that_fails_is_started_anew_with_its_children(make: Make, events: list[str]) -> None:
    outer, inner = make(), make("one_for_all", max_restarts=0)
    add_workers(inner, events, "ab")
    inner.add(worker, "once", events, name="once", restart="temporary")
    wait_for(events, 3)
    inner.child("b").register("b of inner")
    outer.add(inner, name="inner")
    inner.child("a").send(ValueError("broken"))
    assert wait_for(events, 8) == "+a +b +once -a -once -b +a +b"
    poll_until(lambda: outer.child("inner") is not inner)
    now = outer.child("inner")
    assert isinstance(now, Supervisor)
    assert list(now.children()) == ["a", "b"]
    assert Coro.locate("b of inner", timeout=5) is now.child("b")


def test_a_supervisor_is_given_the_time_that_its_children_take(make: Make) -> None:
    def slow(coro: Any) -> None:
        try:
            coro.receive()
        finally:
            sleep(0.1)

    outer, inner = make(), make()
    child = inner.add(slow)
    outer.add(inner, shutdown_seconds=0.01)
    Coro(lambda: sleep(0.01)).value(10)
    outer.terminate()
    with pytest.raises(CoroTerminated):
        outer.value(10)
    assert not inner.is_alive()
    assert not child.is_alive()


def test_one_that_fails_again_before_all_its_children_are_started_counts(make: Make, events: list[str]) -> None:
    outer, inner = make(max_restarts=2), make(max_restarts=0)
    outer.add(inner, name="inner")
    go = Completion()
    inner.add(go.wait, 10)
    inner.add(worker, "a", events)
    go.set()
    with pytest.raises(TooManyRestarts, match=r"'inner' ended again"):
        outer.value(10)


def test_where_the_inner_one_keeps_failing_the_outer_one_fails(make: Make) -> None:
    outer, inner = make(max_restarts=2), make(max_restarts=1)
    starts: list[int] = []
    outer.add(inner, name="inner")
    inner.add(lambda: starts.append(1), name="hasty")
    with pytest.raises(TooManyRestarts, match=r"'inner' ended again \(TooManyRestarts: .*'hasty' ended again"):
        outer.value(10)
    assert len(starts) == 6


def test_supervisors_in_a_circle_or_with_two_of_them_are_refused(make: Make) -> None:
    top, middle, bottom = make(), make(), make()
    top.add(middle)
    middle.add(bottom)
    for wrong in (bottom, middle, top):
        with pytest.raises(ValueError, match="cannot be a child"):
            bottom.add(wrong)
    with pytest.raises(ValueError, match="has a supervisor already"):
        top.add(bottom)
    with pytest.raises(TypeError, match="no arguments"):
        top.add(make(), 1)


def test_children_of_one_supervisor_run_by_hand_in_a_child_work_as_well(make: Make, events: list[str]) -> None:
    def runs_its_own() -> None:
        with Supervisor() as inner:
            add_workers(inner, events, "ab")
            inner.value()

    outer = make()
    outer.add(runs_its_own)
    wait_for(events, 2)
    outer.terminate()
    assert wait_for(events, 4) == "+a +b -b -a"


# The end of the program.


@pytest.mark.parametrize("patched", [False, True])
def test_the_program_lasts_as_long_as_children_that_are_no_daemons(run: Run, patched: bool) -> None:
    ended = run(
        """
        from greencoro.hub.supervisor import Supervisor
        starts = []
        def works_at_the_third_time():
            starts.append(1)
            sleep(0.02)
            if len(starts) < 3:
                raise ValueError("not yet")
            print("done", len(starts), flush=True)
        def forever(coro):
            coro.set_daemon()
            coro.receive()
        supervisor = Supervisor()
        supervisor.add(forever)
        supervisor.add(works_at_the_third_time, restart="transient")
        """,
        patched,
    )
    assert (ended.status, ended.out) == (0, "done 3\n"), ended.err
    assert ended.seconds < 10


def test_the_program_does_not_end_between_two_incarnations(run: Run) -> None:
    ended = run(
        """
        from greencoro.hub.supervisor import Supervisor
        starts = []
        def slow_to_end(coro):
            coro.set_daemon()
            try:
                coro.receive()
            finally:
                # The supervisor waits for this, and nobody but itself holds the program now.
                sleep(0.1)
                coro.set_daemon()
                sleep(0.1)
        def fails():
            starts.append(1)
            sleep(0.02)
            if len(starts) == 1:
                raise ValueError("broken")
            print("again", flush=True)
        supervisor = Supervisor("one_for_all")
        supervisor.add(slow_to_end)
        supervisor.add(fails, restart="transient")
        """
    )
    assert (ended.status, ended.out) == (0, "again\n"), ended.err
    assert ended.seconds < 10


@pytest.mark.parametrize(
    "program",
    [
        "Supervisor()",
        "Supervisor().add(Supervisor())",
        "supervisor.add(becomes_daemon)",
        "supervisor.add(becomes_daemon); supervisor.add(lambda coro: (coro.set_daemon(), coro.receive()))",
        "inner = Supervisor(); inner.add(becomes_daemon); supervisor.add(inner)",
        "inner = Supervisor(); inner.add(becomes_daemon); sleep(0.2); supervisor.add(inner)",
    ],
)
def test_what_is_only_daemons_does_not_keep_the_program(run: Run, program: str) -> None:
    ended = run(
        f"""
        from greencoro.hub.supervisor import Supervisor
        def becomes_daemon(coro):
            sleep(0.05)
            coro.set_daemon()
            coro.receive()
        supervisor = Supervisor()
        {program}
        """
    )
    assert ended.status == 0, ended.err
    assert ended.seconds < 10


def test_a_supervisor_with_nothing_to_do_does_not_keep_the_program(run: Run) -> None:
    ended = run(
        """
        from greencoro.hub.supervisor import Supervisor
        supervisor = Supervisor()
        supervisor.add(lambda: print("once", flush=True), restart="transient")
        """
    )
    assert (ended.status, ended.out) == (0, "once\n"), ended.err
    assert ended.seconds < 10


def test_a_supervisor_within_another_keeps_the_program_for_its_children(run: Run) -> None:
    ended = run(
        """
        from greencoro.hub.supervisor import Supervisor
        outer, inner = Supervisor(), Supervisor()
        outer.add(inner)
        inner.add(lambda: (sleep(0.1), print("done", flush=True)), restart="transient")
        """
    )
    assert (ended.status, ended.out) == (0, "done\n"), ended.err
    assert ended.seconds < 10


def test_ctrl_c_ends_supervisors_and_nothing_is_started_again(run: Run) -> None:
    ended = run(
        """
        from greencoro.hub.supervisor import Supervisor
        # On a machine that does other things as well, what they print may take longer than Ctrl-C usually leaves them.
        process_exit._INTERRUPTED_GRACE_SECONDS, process_exit._INTERRUPTED_SECONDS = 10, 15
        started = []
        def child(number, coro=None):
            print("start", number, flush=True)
            started.append(number)
            try:
                coro.receive()
            finally:
                print("end", number, flush=True)
        supervisor = Supervisor("one_for_all")
        for number in range(3):
            supervisor.add(child, number)
        while len(started) < 3:
            sleep(0.001)
        ready()
        supervisor.value()
        """,
        interrupts=1,
    )
    assert ended.status == -2
    assert sorted(ended.out.split("\n")) == ["", *(f"end {n}" for n in range(3)), *(f"start {n}" for n in range(3))]
    assert "Traceback" not in ended.err
