"""Lines that are typed, or come through a pipe."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from greencoro.cli import terminal
from tests.support.examples import ROOT
from tests.support.polling import poll_until
from tests.support.terminal import AtTerminal

# Tells each line, and counts in a file while it is not stopped.
READER = """
import sys, threading, time
from pathlib import Path
from greencoro.cli import terminal

def read():
    for line in terminal.lines(0):
        print(f"<{line}>", flush=True)
    print("<end>", flush=True)

print("in the foreground:", terminal.is_in_foreground(0), flush=True)
threading.Thread(target=read, daemon=True).start()
counter = Path(sys.argv[1])
for count in range(10_000):
    counter.with_suffix(".new").write_text(str(count))
    counter.with_suffix(".new").replace(counter)
    time.sleep(0.02)
"""


@pytest.fixture
def program(tmp_path):
    file = tmp_path / "reader.py"
    file.write_text(READER)
    return [sys.executable, str(file), str(tmp_path / "count")]


@pytest.fixture
def environment(tmp_path):
    return os.environ | {"PYTHONPATH": str(ROOT), "PS1": "$ ", "HOME": str(tmp_path)}


@pytest.fixture(autouse=True)
def _signals_as_before():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def goes_on(counter: Path) -> None:
    """It counts: of one that is stopped nothing would change."""
    poll_until(counter.exists, 20)
    begun = int(counter.read_text())
    poll_until(lambda: int(counter.read_text()) > begun + 20, 20, "it goes on")


def test_lines_are_told_as_they_come_and_so_is_what_is_left_at_the_end():
    ours, theirs = os.pipe()
    lines = terminal.lines(ours)
    os.write(theirs, b"one\ntw")
    assert next(lines) == "one"
    os.write(theirs, b"o\n\nthree \xff")
    assert [next(lines), next(lines)] == ["two", ""]
    os.close(theirs)
    assert list(lines) == ["three \ufffd"]
    os.close(ours)


def test_pipe_that_does_not_block_is_read_all_the_same():
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    with subprocess.Popen(["/bin/sh", "-c", "sleep 0.2; echo late"], stdout=theirs):
        os.close(theirs)
        assert list(terminal.lines(ours)) == ["late"]
    os.close(ours)


def test_pipe_is_not_the_foreground():
    ours, theirs = os.pipe()
    assert not terminal.is_in_foreground(ours)
    os.close(ours)
    os.close(theirs)


def test_end_of_a_pipe_ends_the_reading_and_not_the_program(program, environment, tmp_path):
    process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
    try:
        process.stdin.write("one\n")
        process.stdin.close()
        assert [process.stdout.readline() for _ in range(3)] == ["in the foreground: False\n", "<one>\n", "<end>\n"]
        goes_on(tmp_path / "count")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs a shell with jobs")
def test_program_sent_to_the_background_goes_on_and_reads_again_in_the_foreground(program, environment, tmp_path):
    shell = [shutil.which("bash"), "--noprofile", "--norc", "-i"]
    with AtTerminal(shell, environment) as at:
        at.type(" ".join(program) + "\n")
        at.read_until(lambda seen: "in the foreground: True" in seen, 30)
        at.type("first\n")
        at.read_until(lambda seen: "<first>" in seen, 30)
        at.type("\x1a")
        at.read_until(lambda seen: "Stopped" in seen, 30)
        at.type("bg\n")
        goes_on(tmp_path / "count")
        at.type("echo shell-$((40 + 2))\n")
        at.read_until(lambda seen: "shell-42" in seen, 30)
        assert "<echo" not in at.output
        goes_on(tmp_path / "count")
        at.type("fg\n")
        at.read_until(lambda seen: seen.rstrip().endswith("reader.py " + program[-1]), 30)
        at.type("second\n")
        at.read_until(lambda seen: "<second>" in seen, 30)
        at.type("\x03")
        at.read_until(lambda seen: "KeyboardInterrupt" in seen, 30)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs a shell with jobs")
def test_program_started_in_the_background_goes_on_and_reads_once_it_is_in_the_foreground(
    program, environment, tmp_path
):
    shell = [shutil.which("bash"), "--noprofile", "--norc", "-i"]
    with AtTerminal(shell, environment) as at:
        at.type(" ".join(program) + " &\n")
        at.read_until(lambda seen: "in the foreground: False" in seen, 30)
        goes_on(tmp_path / "count")
        at.type("fg\n")
        at.type("now\n")
        at.read_until(lambda seen: "<now>" in seen, 30)
        at.type("\x03")
        at.read_until(lambda seen: "KeyboardInterrupt" in seen, 30)
