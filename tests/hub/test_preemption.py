"""Tests of greencoro.hub.preemption, in programs of their own: the hub has the main thread."""

import subprocess
import sys
from pathlib import Path

import pytest

from greencoro.hub import execution, preemption
from greencoro.hub.coroutine import Coro

from .preempted import run_program

ROUNDS = 200
# Programs that compute without end share the machine with whatever else runs there.
pytestmark = pytest.mark.timeout(150)


def test_a_coroutine_that_computes_is_ended_and_others_go_on():
    result = run_program("""
def compute(began, log):
    try:
        began()
        while True:
            pass
    finally:
        log.append("cleaned up")

def control():
    ticker, log = Ticker(), []
    coro = computing(compute, log)
    before = ticker.count
    coro.terminate()
    ended = wait_for_end(coro)
    poll(lambda: ticker.count > before + 10)
    return ended, log, stubborn

serve(control)
""")
    assert result == ["terminated", ["cleaned up"], []]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_200_times_at_random_instants_and_never_is_a_lock_left_taken(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.hub.preempted_rounds", str(ROUNDS), str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert '"broken": []' in done.stdout, done.stdout


def test_one_that_is_told_before_its_turn_and_then_computes_is_ended():
    result = run_program("""
def compute(began):
    began()
    coro = Coro.current()
    coro.suspend()
    while True:
        pass

def wake_and_end(other):
    other.resume()
    other.terminate()

def control():
    coro = computing(compute)
    poll(lambda: coro._suspension is not None)
    Coro(wake_and_end, coro)
    return wait_for_end(coro)

serve(control)
""")
    assert result == "terminated"


def test_one_that_terminates_itself_and_goes_on_computing_is_ended():
    result = run_program("""
def compute(began):
    Coro.current().terminate()
    began()
    while True:
        pass

def control():
    return wait_for_end(computing(compute))

serve(control)
""")
    assert result == "terminated"


def test_a_recursion_without_a_loop_is_ended():
    result = run_program("""
def recur(depth):
    return recur(depth + 1) + recur(depth + 1) if depth < 200 else 0

def compute(began):
    began()
    recur(0)

def control():
    coro = computing(compute)
    coro.terminate()
    return wait_for_end(coro)

serve(control)
""")
    assert result == "terminated"


def test_one_that_computes_close_to_the_recursion_limit_is_ended():
    result = run_program("""
def descend(began, room):
    if room:
        return descend(began, room - 1)
    began()
    while True:
        pass

def compute(began):
    def depth():
        try:
            return 1 + depth()
        except RecursionError:
            return 0

    # For `began` it needs some calls.
    descend(began, depth() - 5)

def control():
    coro = computing(compute)
    coro.terminate()
    return wait_for_end(coro), sys.getrecursionlimit()

serve(control)
""")
    assert result == ["terminated", sys.getrecursionlimit()]


def test_one_that_runs_into_the_recursion_limit_again_and_again_is_ended():
    result = run_program("""
def recur():
    try:
        recur()
    except RecursionError:
        pass
    recur()

def compute(began):
    began()
    recur()

def control():
    coro = computing(compute)
    native.sleep(0.05)
    coro.terminate()
    # The signal itself needs a call, for which there may be no room.
    return wait_for_end(coro), sys.getrecursionlimit()

serve(control)
""")
    assert result[0] in ("terminated", "exception")
    assert result[1] == sys.getrecursionlimit()


def test_a_call_that_blocks_the_thread_is_interrupted():
    result = run_program("""
def block(began, fd):
    began()
    monkey.get_original("os", "read")(fd, 1)

def control():
    reading, writing = os.pipe()
    coro = computing(block, reading)
    coro.terminate()
    return wait_for_end(coro)

serve(control)
""")
    assert result == "terminated"


def test_a_clean_up_that_computes_or_waits_is_not_interrupted():
    result = run_program("""
def compute(began, log):
    began()
    try:
        while True:
            pass
    finally:
        for _ in range(3):
            until = native.monotonic() + 0.2
            while native.monotonic() < until:
                pass
            time.sleep(0.01)
        log.append("cleaned up")

def wait(began, log):
    began()
    try:
        time.sleep(1000)
    finally:
        until = native.monotonic() + 0.5
        while native.monotonic() < until:
            pass
        log.append("cleaned up")

def control():
    log, ended = [], []
    for function in compute, wait, compute:
        coro = computing(function, log)
        coro.terminate()
        coro.terminate()
        ended.append(wait_for_end(coro))
    return log, ended

serve(control)
""")
    assert result == [["cleaned up"] * 3, ["terminated"] * 3]


def test_a_second_terminate_ends_a_clean_up_that_computes():
    result = run_program("""
def compute(began, log):
    began()
    try:
        while True:
            pass
    finally:
        log.append("cleans up")
        while True:
            pass

def control():
    log = []
    coro = computing(compute, log)
    coro.terminate()
    poll(lambda: log)
    coro.terminate()
    return wait_for_end(coro)

serve(control)
""")
    assert result == "terminated"


SWALLOWS = """
def compute(began, swallowed, many):
    began()
    while len(swallowed) < many:
        try:
            while len(swallowed) < many and not enough:
                # Where a call of C has returned: Python 3.13 leaves the loop's end out of the try.
                enough.count(0)
            break
        except BaseException as error:
            swallowed.append(type(error).__name__)

enough = []
"""


def test_one_that_swallows_it_twice_is_ended_by_the_third():
    result = run_program(
        SWALLOWS
        + """
def go_on(began, swallowed):
    compute(began, swallowed, 2)
    while True:
        pass

def control():
    swallowed = []
    coro = computing(go_on, swallowed)
    coro.terminate()
    return wait_for_end(coro), swallowed, len(stubborn)

serve(control)
"""
    )
    assert result == ["terminated", ["Terminated"] * 2, 0]


def test_one_that_swallows_it_three_times_is_told_of_once():
    result = run_program(
        SWALLOWS
        + """
def control():
    swallowed = []
    coro = computing(compute, swallowed, 10)
    coro.terminate()
    poll(lambda: stubborn)
    native.sleep(0.2)
    enough.append(True)
    ended = wait_for_end(coro)
    return ended, swallowed, [str(s) for s in stubborn], stubborn[0].coro is coro, stubborn[0].is_insisted

serve(control)
"""
    )
    ended, swallowed, lines, is_that_one, is_insisted = result
    assert (ended, swallowed) == ("finished", ["Terminated"] * 3)
    assert len(lines) == 1
    assert "goes on after Terminated was raised in it 3 times" in lines[0]
    assert " in compute()" in lines[0]
    assert is_that_one
    assert not is_insisted


def test_a_long_call_into_C_is_told_of_and_is_the_last_thing_that_it_does():
    result = run_program("""
import hashlib

def compute(began, log):
    began()
    while True:
        hashlib.pbkdf2_hmac("sha256", b"", b"", enough)
        log.append("came back")

begun_at, enough = native.monotonic(), 1000
while True:
    hashlib.pbkdf2_hmac("sha256", b"", b"", enough)
    if native.monotonic() - begun_at > 0.7:
        break
    begun_at, enough = native.monotonic(), enough * 2

def control():
    log = []
    coro = computing(compute, log)
    coro.terminate()
    poll(lambda: stubborn)
    return wait_for_end(coro), len(log), [str(each) for each in stubborn]

serve(control, patience=0.2)
""")
    ended, came_back, lines = result
    assert ended == "terminated"
    assert came_back <= 1
    assert len(lines) == 1
    assert "where nothing can be raised" in lines[0]


def test_insisting_is_told_of_a_clean_up_that_takes_too_long_and_terminating_is_not():
    result = run_program("""
def wait(began, over):
    began()
    try:
        time.sleep(1000)
    finally:
        while not over:
            time.sleep(0.01)

def control():
    over = []
    asked, insisted = computing(wait, over), computing(wait, over)
    asked.terminate()
    assert preemption.insist(insisted) == 0
    poll(lambda: stubborn)
    native.sleep(0.3)
    over.append(True)
    ended = [wait_for_end(asked), wait_for_end(insisted)]
    return ended, [each.coro is insisted for each in stubborn], stubborn[0].is_insisted, preemption.insist(insisted)

serve(control, patience=0.2)
""")
    assert result == [["terminated", "terminated"], [True], True, -1]


def test_a_plain_greenlet_and_other_coroutines_are_not_interrupted():
    result = run_program("""
import gevent
import signal

def compute(log):
    until = native.monotonic() + 0.4
    while native.monotonic() < until:
        pass
    log.append("through")

def wait(began):
    began()
    time.sleep(1000)

def control():
    log = []
    for spawn in gevent.spawn, Coro:
        waiting = computing(wait)
        userhub.post(spawn, compute, log)
        native.sleep(0.1)
        waiting.terminate()
        for _ in range(50):
            signal.pthread_kill(userhub.ident, preemption.SIGNAL)
            native.sleep(0.002)
        assert wait_for_end(waiting) == "terminated"
        poll(lambda: log and len(log) == 1 + (spawn is Coro))
    return log

serve(control)
""")
    assert result == ["through", "through"]


def test_nothing_is_raised_in_a_finalizer_where_it_would_be_lost():
    result = run_program("""
class Finalized:
    def __del__(self):
        until = native.monotonic() + 0.5
        while native.monotonic() < until:
            pass
        log.append("finalized")

log = []

def compute(began):
    thing = Finalized()
    began()
    del thing
    while True:
        pass

def control():
    coro = computing(compute)
    coro.terminate()
    return wait_for_end(coro), log

serve(control)
""")
    assert result == ["terminated", ["finalized"]]


def test_a_process_forked_by_a_coroutine_has_none_of_it():
    result = run_program("""
from greencoro.hub import execution

def fork():
    pid = os.fork()
    if pid == 0:
        os._exit(0 if execution.preempt is None else 1)
    return os.waitpid(pid, 0)[1]

def control():
    return Coro(fork).value(20), execution.preempt is None

serve(control)
""")
    assert result == [0, False]


def test_it_is_installed_once_and_by_the_thread_of_the_hub_only():
    result = run_program("""
def refusal(function):
    try:
        function()
    except (RuntimeError, ValueError) as error:
        return str(error)

def control():
    install = lambda: preemption.install(stubborn.append)
    return refusal(install), Coro(refusal, install).value(10)

before = refusal(lambda: preemption.install(stubborn.append))
assert "thread of the user hub" in before, before
serve(control)
""")
    assert result == ["preemption is installed already"] * 2


def test_where_it_is_not_installed_terminate_is_as_ever_and_nobody_can_insist():
    assert execution.preempt is None
    with pytest.raises(RuntimeError, match="not installed"):
        preemption.insist(Coro(lambda: None))
    with pytest.raises(ValueError, match="main thread"):
        Coro(preemption.install, print).value(10)
    assert execution.preempt is None
