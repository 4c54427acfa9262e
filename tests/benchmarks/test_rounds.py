import json
import sys
from pathlib import Path

import pytest

from benchmarks import rounds, side
from benchmarks.question import Counts, Question, Sample, Side, Target

ONE = Counts(1, 1, 1)

PROGRAM = """
import json, os, sys
from pathlib import Path
with open({log!r}, "a") as log:
    log.write({name!r} + " " + os.environ["TMPDIR"] + "\\n")
{body}
sample = {{"figure": {figure}, "cpu_microseconds": 2.0, "operations": 1, "others": {{"p99": 8.0}}}}
Path(sys.argv[1]).write_text(json.dumps(sample))
"""


def question(*sides, **kwargs):
    return Question("toy", "how?", "toys/s", "more", sides, rounds=Counts(3, 2, 1), **kwargs)


def a_side(name, **needs):
    return Side(name, lambda operations: Sample(0, 0, operations), ONE, "as it comes", **needs)


@pytest.fixture
def programs(monkeypatch, tmp_path):
    """Programs in place of the sides: name -> (what else it does, the expression of its figure)."""
    bodies = {}
    log = tmp_path / "log"

    def command(question, name, operations, answer):
        body, figure = bodies[name]
        program = PROGRAM.format(log=str(log), name=name, body=body, figure=figure)
        return [sys.executable, "-c", program, str(answer)]

    monkeypatch.setattr(side, "command", command)
    bodies_and_log = bodies, log
    return bodies_and_log


def test_sides_take_turns_each_time_in_a_directory_of_their_own(programs):
    bodies, log = programs
    bodies |= {"a": ("", "6.0"), "b": ("", "2.0")}
    result = rounds.run(question(a_side("a"), a_side("b"), targets=(Target("a", "b", "at least", 2.5),)))
    names, directories = zip(*(line.split() for line in log.read_text().splitlines()), strict=True)
    assert names == ("a", "b", "a", "b", "a", "b")
    assert len(set(directories)) == 6
    assert result.ratios("a", "b") == [3.0, 3.0, 3.0]
    assert result.cpu_ratio("a", "b") == 1.0
    assert result.ratios("a", None, "p99") == [8.0, 8.0, 8.0]


def test_a_side_that_failed_twice_is_told_with_its_last_words_and_not_asked_again(programs):
    bodies, log = programs
    bodies |= {"a": ("", "6.0"), "b": ("raise OSError('no such luck')", "0")}
    result = rounds.run(question(a_side("a"), a_side("b")))
    assert result.outcomes["b"].failures == ["exit code 1: OSError: no such luck"] * 2
    assert len(result.outcomes["a"].samples) == 3
    assert log.read_text().count("b ") == 2
    assert result.ratios("a", "b") == []
    assert result.cpu_ratio("a", "b") is None


def test_a_ratio_is_taken_of_the_rounds_in_which_both_have_a_figure(programs, tmp_path):
    bodies, _ = programs
    once = tmp_path / "once"
    bodies |= {"a": ("", "6.0"), "b": (f"Path({str(once)!r}).mkdir()", "3.0")}
    result = rounds.run(question(a_side("a"), a_side("b")))
    assert "FileExistsError" in result.outcomes["b"].failures[0]
    assert result.ratios("a", "b") == [2.0]


def test_a_side_that_never_ends_is_stopped(programs):
    bodies, _ = programs
    bodies["a"] = ("import time; time.sleep(1000)", "1.0")
    result = rounds.run(question(a_side("a"), timeout_seconds=0.5), "tiny")
    assert result.outcomes["a"].failures == ["not done after 0.5 s"]


def test_a_side_whose_package_is_missing_is_told_and_not_started(programs):
    result = rounds.run(question(a_side("a", package="no-such-distribution")), "tiny")
    assert result.outcomes["a"].failures == ["no-such-distribution is not installed"]


def test_a_side_whose_program_is_missing_is_told_and_not_started(programs):
    result = rounds.run(question(a_side("a", program="no-such-program")), "tiny")
    assert result.outcomes["a"].failures == ["no-such-program is not on the path"]


def test_a_side_whose_program_is_there_is_started(programs):
    bodies, _ = programs
    bodies["a"] = ("", "6.0")
    assert rounds.run(question(a_side("a", program="sh")), "tiny").outcomes["a"].failures == []


def test_a_side_that_works_in_memory_has_a_directory_there_which_is_removed(programs, monkeypatch, tmp_path):
    memory = tmp_path / "memory"
    memory.mkdir()
    monkeypatch.setattr(rounds, "MEMORY", memory)
    monkeypatch.setattr(rounds, "file_system", lambda path: ("none", "tmpfs" if path == memory else "ext4"))
    bodies, _ = programs
    found = tmp_path / "found"
    bodies["a"] = (
        f"directory = Path(os.environ[{side.MEMORY_VARIABLE!r}])\n"
        f"(directory / 'big').touch()\nPath({str(found)!r}).write_text(str(directory))",
        "6.0",
    )
    assert rounds.run(question(a_side("a", in_memory=True)), "tiny").outcomes["a"].failures == []
    directory = Path(found.read_text())
    assert directory.parent == memory
    assert not directory.exists()


def test_a_side_that_works_in_memory_is_not_started_where_files_are_on_disk(programs, monkeypatch):
    monkeypatch.setattr(rounds, "file_system", lambda path: ("/dev/sda", "ext4"))
    outcome = rounds.run(question(a_side("a", in_memory=True)), "tiny").outcomes["a"]
    assert outcome.failures == [f"{rounds.MEMORY} is no directory in memory"]


def test_a_side_that_does_not_work_in_memory_has_no_directory_there(programs):
    bodies, _ = programs
    bodies["a"] = (f"assert {side.MEMORY_VARIABLE!r} not in os.environ", "6.0")
    assert rounds.run(question(a_side("a")), "tiny").outcomes["a"].failures == []


def test_what_a_side_leaves_running_is_killed_and_told(programs, monkeypatch):
    monkeypatch.setattr("benchmarks.processes.GRACE_SECONDS", 0.2)
    bodies, _ = programs
    bodies["a"] = ("import subprocess; subprocess.Popen(['sleep', '1003'], start_new_session=True)", "1.0")
    outcome = rounds.run(question(a_side("a")), "tiny").outcomes["a"]
    assert outcome.left == ["sleep 1003"]
    assert len(outcome.samples) == 1


def test_a_side_sees_no_settings_of_the_user_and_writes_below_its_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("GREENCORO_TICK_SECONDS", "1")
    monkeypatch.setenv("LANG", "C")
    env = rounds.environment(tmp_path, tmp_path / "bytecode")
    assert {key: value for key, value in env.items() if key.startswith("GREENCORO_")} == {
        "GREENCORO_SECRET_FILE": str(tmp_path / "secret")
    }
    assert env["TMPDIR"] == str(tmp_path)
    assert env["LANG"] == "C"


def test_no_side_compiles_its_modules_again_at_each_start(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    env = rounds.environment(tmp_path, tmp_path / "bytecode")
    assert env["PYTHONPYCACHEPREFIX"] == str(tmp_path / "bytecode")
    assert "PYTHONDONTWRITEBYTECODE" not in env


def test_a_result_is_plain_data_with_every_sample(programs):
    bodies, _ = programs
    bodies |= {"a": ("", "6.0"), "b": ("sys.exit('no')", "0")}
    targets = (Target("a", "b", "at least", 2.5),)
    data = json.loads(json.dumps(rounds.as_json(rounds.run(question(a_side("a"), a_side("b"), targets=targets)))))
    assert [sample["figure"] for sample in data["sides"]["a"]["samples"]] == [6.0, 6.0, 6.0]
    assert data["sides"]["b"]["failures"] == ["exit code 1: no"] * 2
    assert data["ratios"] == {"a / b": {"by_round": [], "cpu": None, "target": "at least 2.5"}}
