"""Ctrl-C in the moments around the script's end: signals that come at one exact place, in programs of their own."""

import signal
import sys

import pytest

from .conftest import Ended, Run

both = pytest.mark.parametrize("patched", [False, True], ids=["unpatched", "patched"])

# `between` calls C functions one after the other: no instruction of Python comes between.
PROGRAM = """
import atexit, ctypes, functools, operator
raise_signal = ctypes.CDLL(None)["raise"]
def between(*functions):
    return functools.partial(list, map(operator.call, functions))
interrupt = functools.partial(raise_signal, signal.SIGINT)
def waits(coro=None):
    try:
        coro.receive()
    finally:
        print("cleaned up")
waiting = Coro(waits)
process_exit.at_exit(1, lambda: print("closed"))
sleep(0.05)
"""


def check_interrupted(ended: Ended, out: str = "cleaned up\nclosed\n") -> None:
    assert (ended.status, ended.out, ended.err) == (-signal.SIGINT, out, ""), ended
    assert ended.seconds < 10, ended


@both
def test_ctrl_c_between_the_scripts_last_instruction_and_the_next(run: Run, patched: bool) -> None:
    ended = run(PROGRAM + "threading._shutdown = between(interrupt, threading._shutdown)", patched=patched)
    check_interrupted(ended)


def test_ctrl_c_in_gevents_part_of_the_end(run: Run) -> None:
    ended = run(PROGRAM + "import gevent\ngevent.sleep = interrupt", patched=True)
    check_interrupted(ended)


def test_ctrl_c_while_gevents_part_of_the_end_turns_the_hub(run: Run) -> None:
    # The signal comes in the hub's own greenlet, where nothing may wait, and the closer does. The main greenlet goes no
    # further meanwhile, or it would call the other closer.
    closer = """
def waits_for_daemon():
    daemon = Coro(sleep, 0.2)
    daemon.set_daemon()
    daemon.value()
    print("waited")
process_exit.at_exit(2, waits_for_daemon)
import gevent
gevent.get_hub().loop.run_callback(lambda: interrupt() or None)
"""
    ended = run(PROGRAM + closer, patched=True)
    check_interrupted(ended, "cleaned up\nwaited\nclosed\n")


@both
def test_ctrl_c_in_an_exit_function_of_threads(run: Run, patched: bool) -> None:
    # It comes after the wait for coroutines, which are over.
    early = "import threading\nthreading._register_atexit(lambda: interrupt())\n"
    program = early + PROGRAM + "waiting.send(None); waiting.value(5)"
    check_interrupted(run(program, patched=patched))


@both
def test_ctrl_c_while_the_interpreter_waits_for_a_thread(run: Run, patched: bool) -> None:
    # A native one in a patched process as well would not be waited for.
    ended = run(
        """
        Coro(lambda: None).value()
        def works():
            ready()
            time.sleep(5)
        threading.Thread(target=works).start()
        """,
        patched=patched,
        interrupts=1,
    )
    assert (ended.status, ended.out, ended.err) == (-signal.SIGINT, "", "")
    assert ended.seconds < 2, ended


@both
def test_ctrl_c_in_an_exit_function_does_not_call_those_before_it_twice(run: Run, patched: bool) -> None:
    exit_functions = """
atexit.register(lambda: interrupt())
atexit.register(lambda: print("once"))
waiting.send(None); waiting.value(5)
"""
    ended = run(PROGRAM + exit_functions, patched=patched)
    check_interrupted(ended, "cleaned up\nonce\nclosed\n")


@both
def test_a_handler_of_the_programs_own_stays_in_force(run: Run, patched: bool) -> None:
    handler = """
signal.signal(signal.SIGINT, lambda number, frame: print("handled"))
waiting.send(None); waiting.value(5)
threading._shutdown = between(interrupt, threading._shutdown)
atexit.register(lambda: interrupt())
"""
    ended = run(PROGRAM + handler, patched=patched)
    assert (ended.status, ended.out, ended.err) == (0, "cleaned up\nhandled\nhandled\nclosed\n", ""), ended


@pytest.mark.parametrize(
    "call",
    [
        "Coro.locate('nobody')",
        "Coro.locate('nobody', timeout=60)",
        "Channel('news').deliver(1, n=1)",
        "Lock().acquire() and Event().wait()",
    ],
)
@both
def test_ctrl_c_in_a_wait_without_any_coroutine_shows_no_frames_of_ours(run: Run, call: str, patched: bool) -> None:
    ended = run(f"from greencoro import Channel, Event, Lock\nready()\n{call}", patched=patched, interrupts=1)
    check_interrupted(ended, "")


@pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="this Python may refuse to fork while it ends")
@both
def test_a_process_forked_by_multiprocessing_at_the_end_ends_with_its_own_status(run: Run, patched: bool) -> None:
    ended = run(
        """
        import multiprocessing, warnings
        warnings.simplefilter("ignore")
        context = multiprocessing.get_context("fork")
        def forks():
            sleep(0.1)  # the script is over then
            process = context.Process(target=print, args=("child",), kwargs={"flush": True})
            process.start()
            while process.is_alive(): sleep(0.01)
            print("status", process.exitcode)
        Coro(forks)
        """,
        patched=patched,
    )
    assert (ended.status, ended.out) == (0, "child\nstatus 0\n"), ended
    # With Python 3.13 gevent has something to say about its own hook in the child.
    assert patched or ended.err == ""


def test_ctrl_c_with_the_first_instruction_of_the_main_threads_hub_leaves_waits_that_work(run: Run) -> None:
    # What the hub's greenlet dies of is raised in the main one, and the program may catch it.
    turns = """
import gevent
try:
    between(interrupt, gevent.get_hub().switch)()
except KeyboardInterrupt:
    print("caught", gevent.get_hub().dead)
print(Coro(lambda: (sleep(0.05), "waited for")[1]).value(5), flush=True)
os._exit(0)  # gevent's part of the end needs its hub
"""
    ended = run(PROGRAM.replace("\nsleep(0.05)\n", "\n") + turns, patched=True)
    assert (ended.status, ended.out, ended.err) == (0, "caught True\nwaited for\n", ""), ended
