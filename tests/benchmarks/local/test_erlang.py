import sys

import pytest

from benchmarks.local import erlang

PROGRAM = """
import sys
print("ready", flush=True)
sys.stdin.readline()
print({answer!r}, flush=True)
"""


@pytest.fixture
def program(monkeypatch, tmp_path):
    """Puts a program in Python in place of the one in Erlang: (what it says when its turn is over)."""

    def put(answer):
        script = tmp_path / "script.py"
        script.write_text(PROGRAM.format(answer=answer))
        monkeypatch.setattr(erlang, "PROGRAM", sys.executable)
        monkeypatch.setattr(erlang, "_SCRIPT", script)

    return put


def test_a_turn_gives_the_number_that_the_program_says(program):
    program("done 2.5")
    with erlang.script("toy", 10) as running:
        running.wait_until_ready()
        assert running.take_turn() == 2.5


def test_a_question_of_one_turn_is_measured_by_operation(program):
    program("done 0")
    measurement = erlang.measure("toy", 10)
    assert measurement.operations == 10
    assert measurement.seconds > 0


def test_a_program_that_says_something_else_is_quoted(program):
    program("escript: exception error")
    with pytest.raises(RuntimeError, match=r"should have said 'done', and said 'escript: exception error\\n'"):
        erlang.measure("toy", 10)


def test_the_program_has_ended_when_the_with_statement_is_over(program):
    program("done 0")
    with erlang.script("toy", 10) as running:
        running.wait_until_ready()
    assert running._process.returncode is not None
