import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from greencoro import Coro, sleep
from greencoro.hub import exit as process_exit
from greencoro.hub.stacks import show_stacks_on_signal, stacks
from tests.cluster.programs import Programs
from tests.hub.conftest import ROOT
from tests.hub.places import everywhere
from tests.support.polling import poll_until


def receives(coro):
    return receives_deeper(coro)


def receives_deeper(coro):
    return coro.receive()


def line_of(function, offset=1):
    return f'  File "{__file__}", line {function.__code__.co_firstlineno + offset}, in {function.__name__}'


def stack_of(coro, text):
    """The part of `stacks` that is about ``coro``: its lines."""
    part = next((part for part in text.split("\n\n") if part.startswith(f"{coro!r} ")), None)
    return None if part is None else part.splitlines()


@everywhere
def test_a_coroutine_that_waits_is_shown_with_its_own_calls_the_innermost_first(place):
    coro = Coro(receives)
    poll_until(lambda: (lines := stack_of(coro, stacks())) and "waits" in lines[0])
    lines = place(lambda: stack_of(coro, stacks()))
    coro.terminate()
    assert lines == [
        f"{coro!r} waits in receive()",
        line_of(receives_deeper),
        "    return coro.receive()",
        line_of(receives),
        "    return receives_deeper(coro)",
    ]


@pytest.mark.parametrize(
    ("function", "state"),
    [
        (lambda coro: coro.suspend(), "is suspended"),
        (lambda coro: sleep(60), "sleeps"),
        (lambda coro: Coro(receives).value(), "waits in value()"),
    ],
)
def test_what_it_waits_for_is_said_in_words(function, state):
    coro = Coro(function)
    poll_until(lambda: (s := stack_of(coro, stacks())) and s[0] == f"{coro!r} {state}")
    for left in (coro, *(other for other in list(process_exit.alive.values()) if other.name == "receives")):
        left.terminate()


def calls_a_generator():
    yield waits_in_a_generator()


def waits_in_a_generator():
    yield Coro.current().receive()


def test_a_generator_that_waits_is_shown_with_the_generators_that_called_it():
    coro = Coro(calls_a_generator)
    poll_until(lambda: (lines := stack_of(coro, stacks())) and "waits" in lines[0])
    lines = stack_of(coro, stacks())
    coro.terminate()
    assert lines[0] == f"{coro!r} waits in receive()"
    assert lines[1::2] == [line_of(waits_in_a_generator), line_of(calls_a_generator)]


@pytest.mark.parametrize(
    ("wait", "state"), [(lambda coro: (yield coro.suspend()), "is suspended"), (lambda: (yield sleep(60)), "sleeps")]
)
def test_a_generators_other_waits_are_said_in_words_too(wait, state):
    coro = Coro(wait)
    poll_until(lambda: (lines := stack_of(coro, stacks())) and lines[0] == f"{coro!r} {state}")
    coro.terminate()


def test_a_coroutine_that_computes_is_shown_where_it_is():
    stop = []

    def computes():
        while not stop:
            pass

    coro = Coro(computes)
    waiting = Coro(receives)
    lines = poll_until(lambda: stack_of(coro, stacks()))
    assert lines[0] == f"{coro!r} runs"
    assert lines[1] in (line_of(computes), line_of(computes, 2))
    assert stack_of(waiting, stacks()) == [f"{waiting!r} has not begun"]
    stop.append(True)
    coro.value(10)
    waiting.terminate()


def test_one_that_asks_is_running():
    coro = Coro(lambda: stacks())
    assert f"{coro!r} runs" in coro.value(10)


def test_equal_stacks_are_told_once_with_their_number():
    coros = [Coro(receives) for _ in range(1000)]
    text = poll_until(lambda: t if "1000 times: " in (t := stacks()) and "each waits in receive()" in t else None)
    for coro in coros:
        coro.terminate()
    heading = next(line for line in text.splitlines() if line.startswith("1000 times"))
    assert heading == f"1000 times: {coros[0]!r}, {coros[1]!r}, {coros[2]!r} and 997 more: each waits in receive()"
    assert text.count(line_of(receives_deeper)) == 1


def test_stacks_may_be_asked_for_while_coroutines_switch():
    going_on = [True]

    def deep(level):
        if level:
            for _ in map(deep, [level - 1]):
                pass
        else:
            sleep()

    def switches():
        while going_on:
            deep(5)

    coros = [Coro(switches) for _ in range(20)]
    end, count = time.monotonic() + 0.5, 0
    try:
        while time.monotonic() < end or count < 3:
            text = stacks()
            assert "in deep" in text or "coroutine" in text
            count += 1
    finally:
        going_on.clear()
    for coro in coros:
        coro.value(10)


def test_signals_are_for_the_main_thread_to_set_up():
    errors = []

    def in_thread():
        try:
            show_stacks_on_signal()
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    assert len(errors) == 1


# Programs.

PROGRAM = """
import os, sys
from greencoro import Coro, sleep
from greencoro.hub import exit as process_exit
from greencoro.hub.stacks import show_stacks_on_signal
show_stacks_on_signal()
def waits(coro):
    return coro.receive()
def computes():
    os.write(1, b"ready\\n")
    while True:
        pass
def is_ready():
    os.write(1, b"ready\\n")
waiting = Coro(waits)
"""


@contextmanager
def program(tmp_path, source, patched=False) -> Iterator[subprocess.Popen]:
    path = tmp_path / "program.py"
    path.write_text(("from gevent import monkey; monkey.patch_all()\n" if patched else "") + PROGRAM + source)
    process = subprocess.Popen(
        [sys.executable, path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def see_shown(process, states):
    """Send the signal and wait until all of ``states`` were printed to standard error."""
    text = ""
    for _ in range(20):
        # Again, where the main thread was about to begin its wait and so did not come to handle the first.
        process.send_signal(signal.SIGUSR1)
        while select.select([process.stderr], [], [], 0.5)[0]:
            text += os.read(process.stderr.fileno(), 65536).decode()
            if all(state in text for state in states):
                return
            assert process.poll() is None, text
    pytest.fail(f"{states} were not shown: {text}")


@pytest.mark.parametrize("patched", [False, True])
@pytest.mark.parametrize(
    ("source", "states"),
    [
        ("Coro(is_ready).value(); input()", ["waits/1 waits in receive()"]),
        ("Coro(is_ready).value(); waiting.value()", ["waits/1 waits in receive()"]),
        ("Coro(is_ready).value()", ["waits/1 waits in receive()"]),
        ("Coro(is_ready).value(); sleep(30)", ["waits/1 waits in receive()"]),
        ("Coro(computes).value()", ["waits/1 waits in receive()", "computes/2 runs"]),
        ("Coro(computes).set_daemon(); input()", ["waits/1 waits in receive()", "computes/2 runs"]),
    ],
    ids=["input", "value", "end of the program", "sleep", "computing", "computing and input"],
)
def test_a_signal_shows_the_stacks_wherever_the_main_thread_is(tmp_path, source, states, patched):
    with program(tmp_path, source, patched) as process:
        for _ in range(2):
            see_shown(process, [*states, "in waits\n    return coro.receive()\n"])


@pytest.mark.cluster
def test_a_node_and_its_servers_show_theirs_and_go_on(tmp_path, monkeypatch):
    monkeypatch.setenv("GREENCORO_SECRET_FILE", str(tmp_path / "secret"))
    programs = Programs(tmp_path)
    try:
        node, _ = programs.node("-c", "1")
        server = poll_until(lambda: next(iter(node.servers()), None), 30)
        for number, pid in enumerate((node.pid, server.pid), 1):
            poll_until(lambda pid=pid: handles_the_signal(pid), 10)
            os.kill(pid, signal.SIGUSR1)
            poll_until(lambda n=number: len(re.findall(r"^\d+ coroutines?", node.errors(), re.MULTILINE)) == n, 10)
        assert server.is_running() and node.process.poll() is None
    finally:
        programs.end()


def handles_the_signal(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("SigCgt:")[1].split()[0], 16) >> (signal.SIGUSR1 - 1) & 1
