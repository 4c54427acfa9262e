"""Jobs that fail, and nobody asks what became of them."""

import re

import pytest

from tests.support.polling import poll_until

SAID = re.compile(r"^greencoro: uncaught exception in coroutine (\w+)/\S+, whose value nobody has asked for:$", re.M)

HEAD = """
import logging, os, sys, time
from greencoro import *

def fails(number):
    raise ValueError(f"no {number}")

def fails_otherwise(coro):
    coro.receive()
    raise KeyError("\\x1b[31m")

def fine():
    return 1


def main():
    with LocalCluster(servers=1) as cluster, Computation([fails]) as computation:
        USE
"""


def script(programs, use):
    lines = use.strip("\n").split("\n")
    indent = len(lines[0]) - len(lines[0].lstrip())
    body = "\n".join(" " * 8 + line[indent:] for line in lines).lstrip()
    return programs.script(HEAD.replace("USE", body) + '\n\nif __name__ == "__main__":\n    main()\n', stdin=-1)


def test_failure_that_nobody_asks_for_is_said_once_with_its_traceback(programs):
    program = script(
        programs,
        """
        computation.run(fails, 1)
        waits = computation.run(fails_otherwise)
        waits.send(1)
        del waits
        sys.stdin.readline()
        """,
    )
    poll_until(lambda: len(SAID.findall(program.errors())) == 2, 40)
    # The program goes on.
    program.process.stdin.close()
    assert program.wait() == 0
    errors = program.errors()
    assert sorted(SAID.findall(errors)) == ["fails", "fails_otherwise"]
    assert errors.count("ValueError: no 1") == 1
    assert errors.count("Traceback (most recent call last):") == 2
    assert "\x1b" not in errors


@pytest.mark.parametrize(
    "use",
    [
        """
        kept = computation.run(fails, 1)
        try:
            kept.value()
        except ValueError:
            pass
        """,
        """
        def watch(coro):
            kept = computation.run(fails, 1)
            assert coro.monitor(kept) == 0
            assert coro.receive().kind == "exception"
        Coro(watch).value()
        """,
        """
        try:
            RemoteCoroScheduler(computation).execute(fails, 1)
        except ValueError:
            assert isinstance(RemoteCoroScheduler(computation).map_results(fails, [1])[0], ValueError)
        """,
        """
        with Executor(computation) as executor:
            executor.submit(fails, 1)
        """,
        """
        kept = computation.run(fails_otherwise)
        def ask(coro):
            try:
                coro.receive().value()
            except KeyError:
                return True
        elsewhere = computation.run(ask)
        elsewhere.send(kept)
        kept.send(1)
        assert elsewhere.value() is True
        """,
        """
        kept = computation.run(fails_otherwise)
        kept.terminate()
        del kept
        """,
        """
        computation.run(fine)
        """,
    ],
    ids=["value", "monitor", "execute", "future", "reference elsewhere", "terminated", "returned"],
)
def test_of_a_job_that_somebody_asks_for_nothing_is_said(programs, use):
    program = script(programs, use)
    assert program.wait() == 0, program.errors()
    assert program.errors() == ""


def test_status_coroutine_that_is_told_asks(programs):
    program = script(
        programs,
        """
        computation.close()
        def told(coro):
            while not isinstance(coro.receive(), MonitorException):
                pass
        status = Coro(told)
        with Computation([fails], status_coro=status) as other:
            other.run(fails, 1)
            status.value(20)
        """,
    )
    assert program.wait() == 0, program.errors()
    assert program.errors() == ""


def test_of_many_alike_one_is_said_in_full_and_the_others_are_counted_at_the_end(programs):
    program = script(
        programs,
        """
        kept = [computation.run(fails, number) for number in range(20)]
        last = computation.run(fine)
        last.value()
        """,
    )
    assert program.wait() == 0
    assert SAID.findall(program.errors()) == ["fails"]
    assert program.errors().splitlines()[-1] == "greencoro: uncaught exceptions in 19 more coroutines fails: ValueError"


def test_failure_is_logged_where_the_program_logs(programs):
    program = script(
        programs,
        """
        logging.basicConfig(format="%(levelname)s %(name)s %(message)s", level=logging.WARNING)
        computation.run(fails, 1)
        sys.stdin.readline()
        """,
    )
    poll_until(program.errors, 40)
    program.process.stdin.close()
    assert program.wait() == 0
    assert program.errors().startswith("ERROR greencoro.compute.unheard uncaught exception in coroutine fails/")


def test_result_that_is_too_large_for_a_message_says_what_to_do(programs):
    program = script(
        programs,
        """
        large = computation.run(bytes, 65 << 20)
        try:
            large.value()
        except RemoteError as error:
            assert "could not be transferred: a message of" in str(error), error
            assert "max_message_bytes is 67108864 (return less, or several pieces" in str(error), error
            print("said", flush=True)
        assert computation.run(fine).value() == 1
        """,
    )
    assert program.line() == "said"
    assert program.wait() == 0, program.errors()
