"""Ctrl-C in the instant before the main thread's hub waits, where the kernel has no wait to end."""

import pytest

from .conftest import Run

# A signal that another thread takes ends no wait of the main one either, and comes whenever it is to.
TAKEN_ELSEWHERE = """
from greencoro.hub import late_signals
native.Thread(lambda: native.sleep(60), "takes it").start()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
def interrupts():
    native.sleep(0.3)
    os.kill(os.getpid(), signal.SIGINT)
"""


@pytest.mark.parametrize(
    "waits",
    [
        "time.sleep(60)",
        "Coro(lambda coro: coro.receive()).value()",
        "threading.Event().wait(60)",
        "Coro(lambda coro: coro.receive())",
    ],
)
def test_a_signal_that_ends_no_wait_is_handled_all_the_same(run: Run, waits: str) -> None:
    source = f"{TAKEN_ELSEWHERE}Coro(sleep, 0).value()\nnative.Thread(interrupts, 'sends').start()\n{waits}"
    ended = run(source, patched=True)
    assert (ended.status, ended.err) == (-2, ""), ended


def test_several_in_a_row_are_all_handled(run: Run) -> None:
    source = """
Coro(sleep, 0).value()
for _ in range(5):
    native.Thread(interrupts, "sends").start()
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        print("heard", end=" ")
"""
    ended = run(TAKEN_ELSEWHERE + source, patched=True)
    assert (ended.status, ended.out) == (0, "heard " * 5), ended


def test_a_program_that_waits_for_nothing_is_over_as_without_it(run: Run) -> None:
    source = """
import gevent
Coro(sleep, 0).value()
gevent.get_hub().join()
try:
    gevent.get_hub().switch()
except gevent.exceptions.LoopExit:
    print("over")
"""
    ended = run(source, patched=True)
    assert (ended.status, ended.out, ended.err) == (0, "over\n", ""), ended


def test_a_program_that_is_not_patched_gets_no_hub_in_its_main_thread(run: Run) -> None:
    ended = run("Coro(sleep, 0).value()\nprint(native.thread_hub())")
    assert (ended.status, ended.out, ended.err) == (0, "None\n", ""), ended
