"""The time that coroutines have to clean up as the program ends; programs of their own, looked at from outside."""

import re
import signal

import pytest

from .conftest import Run

INTERRUPTED = -signal.SIGINT

both = pytest.mark.parametrize("patched", [False, True], ids=["unpatched", "patched"])

# Machines under load need longer than users have.
PROGRAM = """
process_exit.GRACE_SECONDS, process_exit._INTERRUPTED_SECONDS = 15, 18
def cleans_up(coro=None, do=lambda: None):
    try:
        coro.receive()
    finally:
        do()
        sleep(0.2)
        print("cleaned up")
def until(happens):
    while not happens():
        sleep(0.001)
def waits(coro):
    return coro._mailbox._receiver is not None
"""

# One that was terminated, and is in its `finally` block by now.
CLEANS_UP = """
begun = []
coro = Coro(cleans_up, do=lambda: begun.append(1))
until(lambda: waits(coro))
coro.terminate()
until(lambda: begun)
"""


@both
def test_one_that_cleans_up_when_the_program_ends_brings_that_to_its_end(run: Run, patched: bool) -> None:
    ended = run(PROGRAM + CLEANS_UP + "coro.set_daemon()", patched=patched)
    assert (ended.status, ended.out, ended.err) == (0, "cleaned up\n", "")


@both
def test_one_that_cleans_up_when_ctrl_c_comes_brings_that_to_its_end(run: Run, patched: bool) -> None:
    interrupted = PROGRAM + CLEANS_UP.replace("begun.append(1)", "begun.append(1) or until(has_been_interrupted)")
    ended = run(
        f"def has_been_interrupted(): return process_exit._ends_by_sigint\n{interrupted}\nready(); coro.value()",
        patched=patched,
        interrupts=1,
    )
    assert (ended.status, ended.out, ended.err) == (INTERRUPTED, "cleaned up\n", "")


@both
def test_ctrl_c_while_daemons_clean_up_leaves_them_the_time_they_have(run: Run, patched: bool) -> None:
    ended = run(
        PROGRAM
        + """
def is_interrupted():
    ready()
    until(lambda: process_exit._deadline)
    before = process_exit._deadline
    until(lambda: process_exit._ends_by_sigint)
    print(process_exit._deadline == before)
coro = Coro(cleans_up, do=is_interrupted)
coro.set_daemon()
until(lambda: waits(coro))
""",
        patched=patched,
        interrupts=1,
    )
    assert (ended.status, ended.out, ended.err) == (INTERRUPTED, "True\ncleaned up\n", "")


@both
def test_a_second_ctrl_c_while_daemons_clean_up_ends_the_process_at_once(run: Run, patched: bool) -> None:
    ended = run(
        PROGRAM
        + """
process_exit.GRACE_SECONDS = process_exit._INTERRUPTED_SECONDS = 60
def is_interrupted():
    ready()
    until(lambda: process_exit._ends_by_sigint)
    os.kill(os.getpid(), signal.SIGINT)
    sleep(60)
coro = Coro(cleans_up, do=is_interrupted)
coro.set_daemon()
until(lambda: waits(coro))
""",
        patched=patched,
        interrupts=1,
    )
    assert (ended.status, ended.out, ended.err) == (INTERRUPTED, "", "")
    assert ended.seconds < 10, ended


def test_one_that_cleans_up_for_longer_than_the_grace_is_cut_off_and_named(run: Run) -> None:
    program = (PROGRAM + CLEANS_UP).replace("sleep(0.2)", "sleep(60)").replace("GRACE_SECONDS, process", "X, process")
    ended = run(program + "coro.set_daemon()")
    assert (ended.status, ended.out) == (0, "")
    sentence = r"greencoro: the program ends, and cuts off what did not end .*: cleans_up/1 sleeps .*\n"
    assert re.fullmatch(sentence, ended.err), ended


@both
def test_one_that_ends_others_as_it_cleans_up_does_not_cut_them_off(run: Run, patched: bool) -> None:
    # As a supervisor ends its children: they were told before, like everyone.
    ended = run(
        PROGRAM
        + """
child = Coro(cleans_up)
def ends_child():
    sleep(0.05)  # that of the child is running then
    child.terminate()
parent = Coro(cleans_up, do=ends_child)
for coro in (child, parent):
    coro.set_daemon()
    until(lambda: waits(coro))
""",
        patched=patched,
    )
    assert (ended.status, ended.out, ended.err) == (0, "cleaned up\ncleaned up\n", "")


LINKED = """
class Late(Coro):
    def terminate(self):
        native.sleep(0.1)  # time for the first one to end, if it could
        return super().terminate()
first, *others = Coro(lambda coro: coro.receive()), Late(cleans_up), Coro(cleans_up)
for coro in (first, *others):
    coro.set_daemon()
    until(lambda: waits(coro))
for coro in others:
    first.link(coro)
"""


@both
@pytest.mark.parametrize("is_interrupted", [False, True], ids=["end of the script", "Ctrl-C"])
def test_the_end_of_one_does_not_cut_off_those_linked_to_it(run: Run, patched: bool, is_interrupted: bool) -> None:
    last_line = "ready(); time.sleep(60)" if is_interrupted else ""
    ended = run(PROGRAM + LINKED + last_line, patched=patched, interrupts=int(is_interrupted))
    status = INTERRUPTED if is_interrupted else 0
    assert (ended.status, ended.out, ended.err) == (status, "cleaned up\ncleaned up\n", "")
