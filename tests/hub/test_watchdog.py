import logging
import os
import signal
import subprocess
import sys
import time
import weakref

import pytest

from greencoro import Coro, sleep
from greencoro.hub import exit as process_exit
from greencoro.hub import watchdog
from tests.hub.conftest import ROOT
from tests.support.polling import poll_until

LIMIT = 0.2


@pytest.fixture
def blockages():
    """What the watchdog reports, at a limit of `LIMIT`."""
    process_exit.start()
    reported = []
    watchdog.add_listener(reported.append)
    with watchdog.limited_to(LIMIT):
        yield reported
    watchdog.remove_listener(reported.append)


def compute(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def compute_until(told, number):
    """Compute until so many were told: on a machine that does other things as well that takes longer than the limit."""
    end = time.monotonic() + 20
    while len(told) < number and time.monotonic() < end:
        pass


def line_of(function, offset):
    return f"{__file__}:{function.__code__.co_firstlineno + offset} in {function.__name__}()"


def test_a_coroutine_that_computes_is_reported_once_with_its_line_and_once_more_at_its_end(blockages, caplog):
    caplog.set_level(logging.INFO, "greencoro")
    hog = Coro(compute_until, blockages, 1)
    hog.value(30)
    over = poll_until(lambda: [b for b in blockages if b.is_over])
    assert [b.is_over for b in blockages] == [False, True]
    assert blockages[0].coro is over[0].coro is hog
    assert blockages[0].place in (line_of(compute_until, 3), line_of(compute_until, 4))
    assert LIMIT <= blockages[0].seconds <= over[0].seconds <= 30
    lines = poll_until(lambda: r if len(r := [r for r in caplog.records if r.name == watchdog.__name__]) == 2 else None)
    assert [line.levelname for line in lines] == ["WARNING", "INFO"]
    assert f"coroutine {hog!r} keeps it from that, at {blockages[0].place}" in lines[0].message
    assert repr(hog) in lines[1].message


def test_two_blockages_are_two_reports(blockages):
    for number in (1, 3):
        Coro(compute_until, blockages, number).value(30)
        poll_until(lambda: len(blockages) == number + 1)  # noqa: B023
    assert [blockage.is_over for blockage in blockages] == [False, True] * 2


def test_coroutines_that_give_way_are_not_reported(blockages):
    def polite():
        end = time.monotonic() + 5 * LIMIT
        while time.monotonic() < end:
            compute(LIMIT / 2000)
            sleep()

    # Fifty of them take their turns before the hub does, and all of that may have to wait for the machine.
    with watchdog.limited_to(3 * LIMIT):
        both = [Coro(polite), Coro(polite)]
        for coro in both:
            coro.value(10)
    assert blockages == []


def test_coroutines_that_wait_are_not_reported(blockages):
    Coro(sleep, 4 * LIMIT).value(10)
    assert blockages == []


def test_a_line_of_the_program_is_named_rather_than_one_of_a_library(blockages):
    def uses_library():
        import subprocess

        subprocess.run(["cat"], stdin=end_of_input, check=True)

    end_of_input, until_told = os.pipe()
    coro = Coro(uses_library)
    try:
        poll_until(lambda: blockages)
    finally:
        os.close(until_told)
        coro.value(10)
        os.close(end_of_input)
    # What is told of it does not come while the next test looks.
    poll_until(lambda: blockages[-1].is_over)
    assert blockages[0].place == line_of(uses_library, 3)


def test_a_program_function_in_c_is_reported_without_a_line(blockages):
    end_of_input, until_told = os.pipe()
    coro = Coro(os.read, end_of_input, 1)
    try:
        poll_until(lambda: blockages)
    finally:
        os.close(until_told)
        coro.value(10)
        os.close(end_of_input)
    # What is told of it does not come while the next test looks.
    poll_until(lambda: blockages[-1].is_over)
    assert (blockages[0].coro.name, blockages[0].place) == ("read", "")


def test_a_listener_that_raises_does_not_stop_the_others(blockages, caplog):
    def broken(blockage):
        raise ZeroDivisionError

    watchdog.add_listener(broken)
    watchdog.add_listener(later := [].append)
    try:
        Coro(compute_until, later.__self__, 1).value(30)
        poll_until(lambda: len(later.__self__) == 2)
    finally:
        watchdog.remove_listener(broken)
        watchdog.remove_listener(later)
    assert "a listener of the watchdog failed" in caplog.text


def test_without_a_limit_nothing_is_reported(blockages):
    with watchdog.limited_to(None):
        Coro(compute, 2 * LIMIT).value(10)
    assert blockages == []


def test_of_several_limits_the_latest_holds_and_each_ends_by_itself(blockages):
    with watchdog.limited_to(None):
        first, never, last = (watchdog.limited_to(limit) for limit in (LIMIT, None, LIMIT))
        for limited in (first, never, last):
            limited.__enter__()
        # It is not the latest, though as long as that.
        first.__exit__(None, None, None)
        Coro(compute_until, blockages, 1).value(30)
        poll_until(lambda: len(blockages) == 2)
        last.__exit__(None, None, None)
        Coro(compute, 2 * LIMIT).value(10)
        never.__exit__(None, None, None)
    assert len(blockages) == 2


def test_a_blockage_does_not_keep_the_coroutine_alive(blockages):
    coro = Coro(compute_until, blockages, 1)
    coro.value(30)
    poll_until(lambda: len(blockages) == 2)
    over = weakref.ref(coro)
    del coro
    blockages.clear()
    # Its greenlet keeps it until it runs another.
    Coro(sleep, 0).value(10)
    poll_until(lambda: over() is None)


# The clock of a question.


def test_time_without_an_answer_counts():
    question = watchdog.Question(10.0, 1.0)
    question.look(11.0, 0.0, 1.0)
    assert question.seconds(11.0) == 1
    assert question.waits(11.0)


def test_a_gap_in_which_nothing_was_computed_does_not_count():
    question = watchdog.Question(10.0, 1.0)
    question.look(20.0, 9.0, 1.1)
    assert question.seconds(20.0) == 1


def test_a_gap_in_which_the_hub_computed_counts():
    question = watchdog.Question(10.0, 1.0)
    question.look(20.0, 9.0, 10.5)
    assert question.seconds(20.0) == 10
    assert not question.waits(20.0)


def test_where_computing_cannot_be_told_a_gap_does_not_count_and_nothing_is_said_of_waiting():
    question = watchdog.Question(10.0, None)
    question.look(20.0, 9.0, None)
    assert question.seconds(20.0) == 1
    assert not question.waits(20.0)


def test_an_excuse_begins_anew():
    question = watchdog.Question(10.0, 1.0)
    question.look(12.0, 0.0, 3.0)
    question.excuse(12.0)
    assert question.seconds(13.0) == 1
    question.look(13.0, 0.0, 3.0)
    assert question.waits(13.0)


# Programs.

LIMITED = "os.environ['GREENCORO_MAX_BLOCKED_SECONDS'] = '0.2'\n"

# What was told, so that the program blocks the hub for as long as that takes on this machine.
TOLD = """
from greencoro.hub import watchdog
told = []
process_exit.start()
watchdog.add_listener(told.append)
"""
WAY_OUT = "run the program with `greencoro run`"


def test_a_program_without_logging_is_told_on_standard_error_and_of_the_way_out_once(run):
    ended = run(
        LIMITED
        + TOLD
        + """
def first():
    while len(told) < 1:
        time.sleep(0.05)
def second():
    while len(told) < 3:
        time.sleep(0.05)
def caller():
    first()
    while len(told) < 2:
        sleep(0.01)
    second()
Coro(caller).value()
"""
    )
    lines = ended.err.splitlines()
    assert [line.startswith("greencoro: the hub has not turned for ") for line in lines] == [True, True]
    assert all("coroutine caller/1 keeps it from that, at" in line for line in lines)
    assert ["in first()" in line and WAY_OUT in line for line in lines] == [True, False]
    assert "in second()" in lines[1]


def test_what_is_done_over_and_over_is_a_warning_the_first_time(blockages, caplog):
    caplog.set_level(logging.INFO, "greencoro")

    def compute_as(name, number, coro=None):
        coro.name = name
        compute_until(blockages, number)

    for number, name in enumerate(["again", "again", "another"]):
        Coro(compute_as, name, 2 * number + 1).value(30)
        poll_until(lambda: len(blockages) == 2 * number + 2)  # noqa: B023
    said = poll_until(lambda: s if len(s := reports(caplog)) == 3 else None)
    assert said == [("WARNING", "again"), ("INFO", "again"), ("WARNING", "another")]


def reports(caplog):
    """Level and coroutine of each blockage that was logged."""
    lines = [line for line in caplog.records if line.message.startswith("the hub has not turned")]
    return [(line.levelname, line.message.split("coroutine ")[1].partition("/")[0]) for line in lines]


def test_a_coroutine_that_computes_is_not_told_to_patch(run):
    ended = run(
        LIMITED
        + TOLD
        + """
def computes():
    while not told:
        pass
    while len(told) < 2:
        sleep(0.01)
Coro(computes).value()
"""
    )
    assert "coroutine computes/1" in ended.err and WAY_OUT not in ended.err


def test_a_patched_program_that_sleeps_blocks_nobody(run):
    ended = run(LIMITED + "Coro(time.sleep, 0.8).value()", patched=True)
    assert (ended.err, ended.status) == ("", 0)


def test_a_patched_program_that_computes_is_told(run):
    ended = run(
        LIMITED
        + TOLD
        + """
def computes():
    while not told:
        pass
    while len(told) < 2:
        sleep(0.01)
Coro(computes).value()
""",
        patched=True,
    )
    assert "coroutine computes/1" in ended.err and WAY_OUT not in ended.err


def test_a_lock_of_logging_that_a_blocked_coroutine_holds_does_not_keep_listeners_from_hearing(run):
    ended = run(
        LIMITED
        + """
import logging
logging.basicConfig()
"""
        + TOLD
        + """
def writes(blockage):
    os.write(1, b"over\\n" if blockage.is_over else b"heard\\n")
    heard.append(blockage)
heard = []
watchdog.add_listener(writes)
def holds():
    with logging.root.handlers[0].lock:
        while not heard:
            time.sleep(0.05)
        os.write(1, b"released\\n")
Coro(holds).value()
while len(heard) < 2:
    sleep(0.01)
"""
    )
    assert ended.out.split() == ["heard", "released", "over"]
    assert "WARNING:greencoro.hub.watchdog:the hub has not turned" in ended.err


def test_a_person_at_a_breakpoint_is_not_reported(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        # Imported here: in the coroutine that would block the hub for real.
        "import pdb\nfrom greencoro import Coro\ndef looks():\n    pdb.set_trace()\n    return 5\n"
        "print('result', Coro(looks).value())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GREENCORO_MAX_BLOCKED_SECONDS": "1"}
    with subprocess.Popen(
        [sys.executable, program],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    ) as process:
        assert process.stdout is not None and process.stdin is not None and process.stderr is not None
        shown = b""
        while b"(Pdb)" not in shown:
            shown += process.stdout.read(1)
        time.sleep(2)  # the person looks
        process.stdin.write(b"c\n")
        process.stdin.close()
        assert process.stdout.read().endswith(b"result 5\n")
        assert process.stderr.read() == b""


def test_a_process_that_was_stopped_is_not_reported(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import os, time\nfrom greencoro import Coro\n"
        "def computes():\n"
        "    os.write(1, b'ready\\n')\n"
        "    last = now = time.monotonic()\n"
        "    while now - last < 2: last, now = now, time.monotonic()\n"
        "    end = now + 0.2\n"
        "    while time.monotonic() < end: pass\n"
        "Coro(computes).value()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GREENCORO_MAX_BLOCKED_SECONDS": "3"}
    with subprocess.Popen(
        [sys.executable, program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        time.sleep(1)  # the watchdog has looked by now
        process.send_signal(signal.SIGSTOP)
        time.sleep(4)
        process.send_signal(signal.SIGCONT)
        assert process.wait(20) == 0
        assert process.stderr.read() == b""


def test_a_wrong_limit_in_the_environment_is_told_at_the_first_coroutine(run):
    ended = run("os.environ['GREENCORO_MAX_BLOCKED_SECONDS'] = 'long'\nCoro(sleep, 0)")
    assert ended.status == 1
    assert ended.err.splitlines()[-1].startswith("greencoro.errors.ConfigError: max_blocked_seconds is 'long'")


def test_an_idle_program_is_woken_seldom_and_ends_at_once(run):
    ended = run(
        """
Coro(sleep, 0).value()
def switches():
    total = 0
    for task in os.listdir("/proc/self/task"):
        for line in open(f"/proc/self/task/{task}/status"):
            if line.startswith("voluntary_ctxt"):
                total += int(line.split()[1])
    return total
# A machine that does other things as well may add some of its own, but not every time.
number = 100
for _ in range(5):
    if number > 6:
        before = switches()
        native.sleep(1.5)
        number = switches() - before
print(number)
"""
    )
    assert int(ended.out) <= 6
    assert ended.status == 0


# The settings of a program.

HOG = """
from greencoro import Runtime
from greencoro.config import Settings
from greencoro.hub import watchdog
def hog():
    reported = []
    watchdog.add_listener(reported.append)
    end = time.monotonic() + 3
    while not reported and time.monotonic() < end:
        pass
    print("reported" if reported else "not reported")
def runtime(limit):
    settings = Settings(max_blocked_seconds=limit)
    return Runtime("127.0.0.1", discover_peers=False, secret_key=b"k" * 32, settings=settings)
"""


@pytest.mark.parametrize("before", ["", "Coro(sleep, 0).value()\n"])
def test_a_limit_given_to_the_default_runtime_is_that_of_the_process(run, before):
    ended = run(HOG + before + "with runtime(0.2):\n    Coro(hog).value()")
    assert ended.out == "reported\n", ended.err


def test_a_runtime_may_turn_the_watchdog_off_that_the_environment_turned_on(run):
    ended = run(LIMITED + HOG + "with runtime(None):\n    Coro(hog).value()")
    assert (ended.out, ended.err) == ("not reported\n", "")


def test_a_second_runtime_changes_no_limit(run):
    ended = run(HOG + "with runtime(0.2), runtime(60):\n    Coro(hog).value()")
    assert ended.out == "reported\n", ended.err


@pytest.mark.parametrize("usual", ["", LIMITED])
def test_a_limit_that_a_test_set_goes_before_that_of_a_runtime(run, usual):
    ended = run(
        usual
        + HOG
        + """
from greencoro.testing import blocked_hub_is_failure
try:
    with blocked_hub_is_failure(0.2), runtime(60):
        Coro(hog).value()
except AssertionError:
    print("failed")
"""
    )
    assert ended.out == "reported\nfailed\n", ended.err


def test_a_limit_that_a_runtime_brought_during_a_test_holds_after_it(run):
    ended = run(
        LIMITED
        + HOG
        + """
from greencoro.testing import blocked_hub_is_failure
with blocked_hub_is_failure(10):
    ours = runtime(60)
Coro(hog).value()
ours.finish()
"""
    )
    assert ended.out == "not reported\n", ended.err


def test_a_default_runtime_without_settings_brings_back_the_limit_of_the_environment(run):
    ended = run(
        LIMITED
        + HOG
        + """
with runtime(60):
    Coro(hog).value()
with Runtime("127.0.0.1", discover_peers=False, secret_key=b"k" * 32):
    Coro(hog).value()
"""
    )
    assert ended.out == "not reported\nreported\n", ended.err
