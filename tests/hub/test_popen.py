"""Popen: subprocess.Popen for coroutines."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from greencoro import Coro, CoroTerminated
from greencoro.hub.files import AsyncFile
from greencoro.hub.pipes import AsyncPipe
from greencoro.hub.popen import Popen
from tests.support.polling import poll_until

from .conftest import Run
from .places import everywhere, from_coroutine


def state_of(pid: int) -> str:
    """The letter that /proc has for it; empty where there is no such process."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


@everywhere
def test_a_program_is_run_and_waited_for(place: Callable[[Callable[[], Any]], Any]) -> None:
    def use() -> None:
        with Popen(["sh", "-c", "read line; exit 3"], stdin=PIPE) as process:
            assert process.poll() is None
            for timeout in (0, 0.01):
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(timeout)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(10) == process.wait() == process.poll() == 3

    place(use)


@everywhere
def test_text_goes_both_ways(place: Callable[[Callable[[], Any]], Any]) -> None:
    def use() -> Any:
        with Popen(
            "cat; printf 'a\\r\\nb' >&2", shell=True, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True
        ) as process:
            return process.communicate("zwölf\n", timeout=10)

    assert place(use) == ("zwölf\n", "a\nb")


def test_bytes_stay_bytes_and_what_is_not_piped_is_none() -> None:
    with Popen(["printf", "a\\r\\n"], stdout=PIPE) as process:
        assert process.communicate() == (b"a\r\n", None)


def test_communicate_goes_on_after_its_time_was_over(tmp_path: Path) -> None:
    go = tmp_path / "go"
    program = f"echo out; while [ ! -e {go} ]; do sleep 0.01; done; cat"
    with Popen(["sh", "-c", program], stdin=PIPE, stdout=PIPE, text=True) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate("in\n", timeout=0.02)
        go.touch()
        assert process.communicate(timeout=10) == ("out\nin\n", None)


def test_time_over_in_communicate_is_subprocess_own_exception() -> None:
    with Popen(["sleep", "1000"], stdout=PIPE) as process:
        with pytest.raises(subprocess.TimeoutExpired, match="sleep"):
            process.communicate(timeout=0.01)
        process.kill()
        assert process.communicate() == (b"", None)
        assert process.returncode == -9


def test_a_child_whose_waiter_was_terminated_does_not_stay_as_a_zombie() -> None:
    process = Popen(["sleep", "1000"])
    coro = Coro(process.wait)
    poll_until(lambda: coro.is_alive() and state_of(process.pid) == "S")
    Coro(lambda: None).value(10)  # by now it waits
    coro.terminate()
    with pytest.raises(CoroTerminated):
        coro.value(10)
    assert process.returncode is None
    os.kill(process.pid, 9)
    poll_until(lambda: state_of(process.pid) == "")
    poll_until(lambda: process.returncode == -9)


def test_a_coroutine_that_is_terminated_in_the_block_takes_its_program_along() -> None:
    pids: list[int] = []

    def use() -> None:
        with Popen(["sleep", "1000"], stdout=PIPE) as process:
            pids.append(process.pid)
            AsyncPipe(process).readline()

    coro = Coro(use)
    poll_until(lambda: pids)
    coro.terminate()
    with pytest.raises(CoroTerminated):
        coro.value(10)
    assert state_of(pids[0]) == ""


def test_another_exception_in_the_block_waits_for_the_program() -> None:
    with pytest.raises(KeyError), Popen(["sh", "-c", "read line; exit 5"], stdin=PIPE) as process:
        raise KeyError
    assert process.returncode == 5


def test_a_status_that_another_part_of_the_process_took_is_said(caplog: pytest.LogCaptureFixture) -> None:
    process = Popen(["true"])
    os.waitpid(process.pid, 0)
    with caplog.at_level(logging.WARNING):
        assert Coro(process.wait).value(10) == 255
    assert str(process.pid) in caplog.text


def test_what_would_run_python_in_a_fork_is_refused() -> None:
    with pytest.raises(ValueError, match="start_new_session"):
        Popen(["true"], preexec_fn=lambda: None)
    assert Popen(["true"], preexec_fn=None).wait(10) == 0


def test_what_cannot_be_run_says_so_at_the_call() -> None:
    with pytest.raises(FileNotFoundError):
        Popen(["no-such-program-anywhere"])
    with pytest.raises(TypeError):
        Popen(["true"], nonsense=True)
    with Popen(["true"]) as process, pytest.raises(TypeError):
        process.wait("1")  # type: ignore[arg-type]


def test_it_is_a_subprocess_popen() -> None:
    with Popen([sys.executable, "-c", "pass"]) as process:
        assert isinstance(process, subprocess.Popen)


@everywhere
@pytest.mark.parametrize("bufsize", [-1, 0, 100])
def test_its_pipes_are_files_that_let_others_run(place: Callable[[Callable[[], Any]], Any], bufsize: int) -> None:
    def use() -> None:
        others: list[str] = []
        with Popen(["cat"], stdin=PIPE, stdout=PIPE, bufsize=bufsize) as process:
            assert process.stdin is not None and process.stdout is not None

            def answer() -> None:
                others.append("ran")
                process.stdin.write(b"line\n" + bytes(500_000))  # type: ignore[union-attr]
                process.stdin.close()  # type: ignore[union-attr]

            coro = Coro(answer)
            if bufsize == 0:
                assert process.stdout.read(100) == b"line\n" or others == ["ran"]
            else:
                assert process.stdout.readline() == b"line\n"
                assert process.stdout.read() == bytes(500_000)
            assert others == ["ran"]
            process.stdout.close()
            coro.terminate()
            assert process.stdout.closed

    place(use)


def test_its_pipes_are_text_where_text_was_asked_for() -> None:
    def use() -> Any:
        with Popen(["cat"], stdin=PIPE, stdout=PIPE, encoding="latin-1", bufsize=1) as process:
            assert process.stdin is not None and process.stdout is not None
            print("größer", file=process.stdin)
            assert process.stdout.readline() == "größer\n"
            process.stdin.write("a\r\nb")
            process.stdin.close()
            return process.stdout.readlines()

    assert from_coroutine(use) == ["a\n", "b"]


def test_a_pipe_that_was_read_ahead_goes_on_in_an_AsyncFile() -> None:
    with Popen(["printf", "one\\ntwo\\nthree\\n"], stdout=PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"one\n"
        assert list(AsyncFile(process.stdout)) == [b"two\n", b"three\n"]


PATCHED = """
import subprocess
from greencoro.hub.pipes import AsyncPipe
from greencoro.hub.popen import Popen

def ours():
    with Popen("cat; echo err >&2; exit 3", shell=True, stdin=-1, stdout=-1, stderr=-1, text=True) as process:
        print(process.communicate("in"), process.returncode)
    process = Popen(["sleep", "1000"])
    try:
        process.wait(0.01)
    except subprocess.TimeoutExpired:
        print("in words of subprocess")
    process.kill()
    process.wait()

Coro(ours).value(10)
ours()
"""


def test_in_a_patched_process_it_works_on_every_hub(run: Run) -> None:
    ended = run(PATCHED, patched=True)
    assert ended.err == ""
    assert ended.out == "('in', 'err\\n') 3\nin words of subprocess\n" * 2


GEVENTS = """
import subprocess
from subprocess import PIPE
from greencoro.hub.pipes import AsyncPipe

def chain():
    first = subprocess.Popen(["cat"], stdin=PIPE, stdout=PIPE)
    last = subprocess.Popen(["wc", "-c"], stdin=first.stdout, stdout=PIPE)
    return AsyncPipe(first, last)

# Those that are started before the first coroutine.
assert "gevent" in subprocess.Popen.__module__
data = b"x" * 1_000_000
chains = [chain(), chain()]
asked = subprocess.Popen(["cat"], stdin=PIPE, stdout=PIPE, text=True)
last = AsyncPipe(subprocess.Popen(["cat"], stdin=PIPE, stdout=PIPE))
print(Coro(chains[0].communicate, data).value(10))
print(chains[1].communicate(data))
def ask():
    with AsyncPipe(asked) as pipe:
        pipe.write(b"line\\n")
        print(pipe.readline(timeout=5))
    return pipe.wait(5)
print(Coro(ask).value(10))
deadline = time.monotonic() + 5
while not asked.stdin.closed or not asked.stdout.closed:
    assert time.monotonic() < deadline, "closed by the hub they belong to"
    sleep(0.01)

# The end of a pipe shows at once, whatever the hub that it belongs to is doing.
shown = native.Event()
def end():
    last.stdin.close()
    print(last.read())
    shown.set()
Coro(end)
assert shown.wait(5)
"""


def test_gevents_processes_of_the_main_thread_are_used_by_coroutines(run: Run) -> None:
    ended = run(GEVENTS, patched=True)
    assert ended.err == ""
    assert ended.out == "(b'1000000\\n', None)\n(b'1000000\\n', None)\nb'line\\n'\n0\nb''\n"


REPLACED = """
import subprocess
from subprocess import PIPE
from greencoro.hub.popen import Popen, replace_gevents_subprocess

replace_gevents_subprocess()

# Opens a gate for a program that waits for it: where that program's caller kept others from running, it never would.
def opens(gate):
    for _ in range(5):
        sleep(0.001)
    open(gate, "w").close()

def gate(name):
    Coro(opens, path := f"{__file__}.{name}")
    return f"while [ ! -e {path} ]; do sleep 0.01; done"

def use(where):
    program = gate(f"first-{where}") + "; cat"
    print(subprocess.run(program, shell=True, input="in", capture_output=True, text=True, check=True).stdout)
    print(subprocess.check_output(["echo", "out"]), subprocess.call(["false"]), subprocess.getoutput("echo shell"))
    assert isinstance(subprocess.run(["true"]), subprocess.CompletedProcess)
    try:
        subprocess.run(["sleep", "100"], timeout=0.05)
    except subprocess.TimeoutExpired as error:
        print("too late", error.timeout)
    try:
        subprocess.check_call(["false"])
    except subprocess.CalledProcessError as error:
        print(error.returncode)
    process = subprocess.Popen(["sh", "-c", gate(f"second-{where}") + "; echo line"], -1, None, None, PIPE)
    print(isinstance(process, Popen), process.stdout.readline(), process.wait())

Coro(use, "coroutine").value(10)
use("main")
"""


def test_in_a_patched_process_the_whole_of_subprocess_can_be_ours(run: Run) -> None:
    ended = run(REPLACED, patched=True)
    assert ended.err == ""
    assert ended.out == 2 * "in\nb'out\\n' 1 shell\ntoo late 0.05\n1\nTrue b'line\\n' 0\n"


def test_in_an_unpatched_process_subprocess_stays_as_it_is(run: Run) -> None:
    ended = run(
        """
        import subprocess
        from greencoro.hub.popen import replace_gevents_subprocess
        before = dict(vars(subprocess))
        replace_gevents_subprocess()
        print(vars(subprocess) == before)
        """
    )
    assert (ended.out, ended.err) == ("True\n", "")


def test_what_was_imported_by_name_before_the_first_coroutine_works_in_coroutines(run: Run) -> None:
    ended = run(
        """
        from subprocess import Popen, PIPE, TimeoutExpired, CalledProcessError, call, check_call, check_output, run
        from greencoro.hub import popen
        class Own(Popen):
            pass
        def use():
            print(check_output(["echo", "hi"]), call(["false"]), run(["cat"], input=b"in", stdout=PIPE).stdout)
            process = Popen(["echo", "line"], stdout=PIPE, text=True)
            print(isinstance(process, popen.Popen), process.communicate())
            try:
                run(["sleep", "100"], timeout=0.05)
            except TimeoutExpired:
                print("too late")
            try:
                check_call(["false"])
            except CalledProcessError:
                print("failed")
            try:
                Own(["true"])
            except RuntimeError as error:
                print("greencoro.Popen" in str(error))
        Coro(use).value(10)
        use()
        """,
        patched=True,
    )
    out = "b'hi\\n' 1 b'in'\nTrue ('line\\n', None)\ntoo late\nfailed\n"
    assert (ended.out, ended.err) == (out + "True\n" + out, "")


def test_a_pipe_that_is_only_handed_on_to_another_program_blocks_there() -> None:
    with Popen(["sleep", "0.05"], stdout=PIPE) as first:
        assert first.stdout is not None
        assert os.get_blocking(first.stdout.fileno())
