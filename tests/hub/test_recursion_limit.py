"""What is asked of coroutines at the very end of the interpreter's stack either happens whole or not at all."""

from __future__ import annotations

import pytest

from greencoro import Coro, sleep
from greencoro.hub import exit as process_exit
from greencoro.hub import userhub

from .conftest import Run

DEEPER = """
    import sys
    from greencoro import *

    Coro(sleep).value(10)  # the hub turns

    def at_every_depth(act):
        # Go down until a call fails, and act at each of the last levels on the way back.
        def down(level):
            try:
                down(level + 1)
            except RecursionError:
                pass
            if level > limit - 130:
                try:
                    act()
                except RecursionError:
                    refused.append(level)
        limit = sys.getrecursionlimit()
        refused = []
        down(0)
        return len(refused)
"""


@pytest.mark.parametrize("on_hub", [True, False])
def test_a_coroutine_is_made_or_refused_and_the_process_waits_for_none_that_was_not_made(
    run: Run, on_hub: bool
) -> None:
    ended = run(
        DEEPER
        + f"""
    def act():
        made, done = [], []
        refused = at_every_depth(lambda: made.append(Coro(done.append, 1)))
        for coro in made:
            coro.value(10)
        print(refused > 0, len(made) > 0)
    Coro(act).value(20) if {on_hub} else act()
    print("through", flush=True)
    """
    )
    assert (ended.status, ended.err, ended.out) == (0, "", "True True\nthrough\n")


def test_one_that_has_not_begun_is_terminated_or_not_but_never_half(run: Run) -> None:
    ended = run(
        DEEPER
        + """
    def act():
        coros, told = [], []
        for _ in range(400):
            coro = Coro(lambda: None)
            coro.add_observer(told.append)
            coros.append(coro)
        left = list(coros)
        def end():
            left[-1].terminate()
            left.pop()
        at_every_depth(end)
        ended = coros[len(left):]
        for coro in coros:
            try:
                coro.value(10)
            except CoroTerminated:
                pass
        print(len(ended) > 0, len(told) == len(set(told)) == len(coros))
    Coro(act).value(20)
    """
    )
    assert (ended.status, ended.err, ended.out) == (0, "", "True True\n")


def test_a_message_sent_there_wakes_its_receiver_sooner_or_later(run: Run) -> None:
    ended = run(
        DEEPER
        + """
    def receives(coro):
        while coro.receive() != "end":
            pass
    def act():
        coro = Coro(receives)
        def send():
            coro.send(1)
        refused = []
        at_every_depth(send)
        sleep(0)
        coro.send("end")
        coro.value(10)
    Coro(act).value(20)
    print("through")
    """
    )
    assert (ended.status, ended.err, ended.out) == (0, "", "through\n")


@pytest.mark.parametrize("on_hub", [True, False])
def test_one_that_could_not_be_begun_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, on_hub: bool) -> None:
    def refuse(*given: object) -> None:
        raise RecursionError

    def make() -> None:
        alive = set(process_exit.alive)
        with monkeypatch.context() as patch:
            patch.setattr(userhub, "ready" if on_hub else "post", refuse)
            with pytest.raises(RecursionError):
                Coro(print, "never")
        assert set(process_exit.alive) == alive

    Coro(make).value(10) if on_hub else make()


def test_a_receiver_that_could_not_be_woken_is_woken_by_the_next_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(who: object) -> None:
        raise RecursionError

    def act() -> None:
        coro = Coro(lambda coro: [coro.receive(), coro.receive()])
        while coro._mailbox._receiver is None:
            sleep(0)
        with monkeypatch.context() as patch:
            patch.setattr(userhub, "ready", refuse)
            with pytest.raises(RecursionError):
                coro.send("first")
        coro.send("second")
        assert coro.value(10) == ["first", "second"]

    Coro(act).value(20)
