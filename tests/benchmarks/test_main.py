import json
import subprocess
import sys

import psutil
import pytest

from benchmarks import __main__ as command
from benchmarks import rounds
from benchmarks.question import Sample
from benchmarks.rounds import ROOT, Outcome, Result
from tests.support.polling import poll_until


@pytest.fixture
def outcomes(monkeypatch):
    """The questions asked, by scale, with outcomes of a figure each; one may be altered by its side's name."""
    asked = []
    altered = {}

    def run(question, scale, progress):
        asked.append((question.name, scale))
        others = {target.figure: 1.0 for target in question.targets if target.figure}
        found = {side.name: Outcome(side, {0: Sample(1.0, 1.0, 1, others)}) for side in question.sides}
        for name, alter in altered.items():
            if name in found:
                alter(found[name])
        return Result(question, scale, found)

    monkeypatch.setattr(rounds, "run", run)
    return asked, altered


def test_all_questions_are_asked_where_none_is_named(outcomes, capsys):
    asked, _ = outcomes
    assert command.main([]) == 0
    assert asked == [(name, "full") for name in command.QUESTIONS]
    assert "target: at least 2.5, MISSED" in capsys.readouterr().out


def test_only_the_questions_named_are_asked(outcomes):
    asked, _ = outcomes
    assert command.main(["local.spawn", "--quick"]) == 0
    assert asked == [("local.spawn", "quick")]


def test_a_group_stands_for_all_of_its_questions(outcomes):
    asked, _ = outcomes
    assert command.main(["local", "jobs"]) == 0
    names = [name for name, _ in asked]
    assert names[-1] == "jobs"
    assert names[:-1] == [name for name in command.QUESTIONS if name.startswith("local.")]


def test_a_question_that_does_not_exist_is_refused_by_name(capsys):
    with pytest.raises(SystemExit) as refusal:
        command.main(["spam"])
    assert refusal.value.code == 2
    assert "no such question: spam" in capsys.readouterr().err


def test_the_file_has_the_machine_and_every_sample(outcomes, tmp_path):
    file = tmp_path / "figures.json"
    assert command.main(["local.spawn", "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    assert found["machine"]["cpus"] >= 1
    assert found["results"][0]["sides"]["greencoro"]["samples"][0]["figure"] == 1.0


@pytest.mark.parametrize(
    ("name", "alter", "code"),
    [
        ("greencoro", lambda outcome: outcome.failures.append("broken"), 1),
        ("pycos", lambda outcome: outcome.failures.append("broken"), 0),
        ("pycos", lambda outcome: outcome.left.append("sleep 9"), 1),
    ],
)
def test_the_exit_code_is_about_greencoro_and_about_what_is_left(outcomes, name, alter, code):
    _, altered = outcomes
    altered[name] = alter
    assert command.main(["local.spawn"]) == code


@pytest.mark.cluster
def test_a_run_that_is_told_to_end_takes_everything_with_it():
    arguments = [sys.executable, "-m", "benchmarks", "one_way"]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        running = psutil.Process(process.pid)
        # The side and its partner.
        poll_until(lambda: len(running.children(recursive=True)) >= 2, seconds=20)
        started = running.children(recursive=True)
        process.terminate()
        assert process.wait(20) == 143
    poll_until(lambda: not [each for each in started if each.is_running()])
