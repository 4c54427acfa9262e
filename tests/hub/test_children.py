import os
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greencoro import Coro, CoroTerminated
from greencoro.hub import children, native
from tests.support.polling import poll_until

from .conftest import Run
from .places import everywhere, from_coroutine

Process = subprocess.Popen[bytes]


@pytest.fixture
def cat() -> Iterator[Process]:
    """A program that runs until its stdin is closed."""
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    assert process.stdin is not None
    with process.stdin:
        yield process
    process.kill()
    process.wait()


def end(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()


@everywhere
def test_the_end_of_a_process_is_waited_for_anywhere(place: Callable[..., Any], cat: Process) -> None:
    def use() -> list[bool]:
        early = [children.await_end(cat, native.monotonic() + wait) for wait in (0, 0.01)]
        end(cat)
        return [*early, children.await_end(cat, native.monotonic() + 10), children.await_end(cat, None)]

    assert place(use) == [False, False, True, True]
    assert cat.returncode == 0


def test_others_run_while_a_coroutine_waits_for_a_process(cat: Process) -> None:
    def use() -> bool:
        Coro(end, cat)
        return children.await_end(cat, native.monotonic() + 10)

    assert from_coroutine(use) is True


def test_where_nothing_tells_of_the_end_one_looks_again_and_again(
    cat: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with gevent's processes, of which another hub's watcher takes the status."""
    end(cat)
    cat.wait()
    statuses = iter([None] * 5 + [0] * 5)
    monkeypatch.setattr(cat, "poll", lambda: next(statuses))
    began = time.monotonic()
    assert from_coroutine(lambda: children.await_end(cat, None)) is True
    assert time.monotonic() - began < 10
    monkeypatch.setattr(cat, "poll", lambda: None)
    assert from_coroutine(lambda: children.await_end(cat, time.monotonic() + 0.02)) is False


@everywhere
def test_waitpid_gives_the_status_of_a_child_once(place: Callable[..., Any]) -> None:
    def use() -> None:
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 3"], {})
        found, status = children.waitpid(pid, 0)
        assert (found, os.waitstatus_to_exitcode(status)) == (pid, 3)
        with pytest.raises(ChildProcessError):
            children.waitpid(pid, 0)

    place(use)


def test_waitpid_lets_others_run_and_can_be_given_up(cat: Process) -> None:
    coro = Coro(children.waitpid, cat.pid, 0)
    assert Coro(children.waitpid, cat.pid, os.WNOHANG).value(10) == (0, 0)
    coro.terminate()
    with pytest.raises(CoroTerminated):
        coro.value(10)
    end(cat)
    assert cat.wait(10) == 0


def test_a_process_that_nobody_waits_for_is_asked_for_its_status_in_the_end(cat: Process) -> None:
    Coro(lambda: None).value(10)  # the hub turns
    children.reap_later(cat)
    end(cat)
    poll_until(lambda: cat.returncode == 0)
    children.reap_later(cat)  # it is gone, which does not matter


@pytest.mark.parametrize("patched", [False, True])
def test_the_original_starts_programs_of_the_standard_librarys_kind(run: Run, patched: bool) -> None:
    ended = run(
        """
        import subprocess
        from greencoro.hub.children import original
        print("gevent" in original.Popen.__module__, original.run(["true"]).returncode)
        print(original.TimeoutExpired is subprocess.TimeoutExpired, original is subprocess)
        """,
        patched=patched,
    )
    assert (ended.out, ended.err) == (f"False 0\nTrue {not patched}\n", "")
