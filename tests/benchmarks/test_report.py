import pytest

from benchmarks.machine import Machine
from benchmarks.question import Counts, Question, Sample, Side, Target
from benchmarks.report import machine_lines, result_lines, show
from benchmarks.rounds import Outcome, Result


def a_result(figures, targets=(), failures=(), left=(), unmeasured=()):
    sides = tuple(Side(name, lambda operations: None, Counts(9, 9, 9), f"setup of {name}") for name in figures)
    question = Question("toy", "how?", "toys/s", "more", sides, targets, unmeasured, Counts(3, 3, 3))
    outcomes = {
        side.name: Outcome(
            side, {index: Sample(figure, 5.0, 9, {"p99": 1.5}) for index, figure in enumerate(figures[side.name])}
        )
        for side in sides
    }
    for name, failure in failures:
        outcomes[name].failures.append(failure)
    for name, command in left:
        outcomes[name].left.append(command)
    return Result(question, "full", outcomes)


def lines_with(word, result):
    return [line for line in result_lines(result) if word in line]


def test_a_row_has_the_spread_the_cpu_time_and_the_number_of_operations():
    row = lines_with("alpha", a_result({"alpha": [10, 20, 40]}))[0]
    assert row.split() == ["alpha", "10.0", "15.0", "20.0", "30.0", "40.0", "5.00", "1.50", "3", "x", "9"]


def test_a_side_without_figures_keeps_its_row_with_the_reason():
    row = lines_with("beta", a_result({"alpha": [1], "beta": []}, failures=[("beta", "exit code 1: oh")]))[0]
    assert row.split(maxsplit=1) == ["beta", "no figure: exit code 1: oh"]


def test_a_side_that_failed_in_some_rounds_says_so_beside_its_figures():
    row = lines_with("alpha", a_result({"alpha": [1]}, failures=[("alpha", "exit code 9")]))[0]
    assert row.endswith("and failed 1 x: exit code 9")


@pytest.mark.parametrize(
    ("bound", "ratio", "verdict"),
    [
        ("at least", 3.0, "reached"),
        ("at least", 3.1, "MISSED"),
        ("at most", 3.0, "reached"),
        ("at most", 2.9, "MISSED"),
    ],
)
def test_a_ratio_stands_beside_its_target(bound, ratio, verdict):
    targets = (Target("alpha", "beta", bound, ratio),)
    line = lines_with("alpha / beta", a_result({"alpha": [2, 9, 16], "beta": [2, 3, 4]}, targets))[0]
    figures, cpu = "  alpha / beta = 3.00 (rounds: 1.00 to 4.00)", "CPU time an operation: 1.00 x"
    assert line == f"{figures}; target: {bound} {ratio:g}, {verdict}; {cpu}"


def test_a_ratio_without_a_target_is_told_without_a_verdict():
    line = lines_with("alpha / beta", a_result({"alpha": [2], "beta": [1]}, (Target("alpha", "beta"),)))[0]
    assert line.endswith("= 2.00 (rounds: 2.00 to 2.00); no target; CPU time an operation: 1.00 x")


def test_a_target_of_a_single_side_is_about_one_of_its_other_figures():
    line = lines_with("p99 of alpha", a_result({"alpha": [2]}, (Target("alpha", None, "at most", 8, "p99"),)))[0]
    assert line.startswith("  p99 of alpha = 1.50 ")


def test_a_ratio_that_could_not_be_taken_says_why():
    result = a_result({"alpha": [2], "beta": []}, (Target("alpha", "beta"),), failures=[("beta", "gone")])
    line = lines_with("alpha / beta", result)[0]
    assert "no ratio, a side has no figure" in line


def test_what_is_not_measured_and_what_was_left_running_is_told():
    result = a_result({"alpha": [1]}, left=[("alpha", "sleep 9")], unmeasured=("Erlang: not here",))
    assert "  not measured: Erlang: not here" in result_lines(result)
    assert "  alpha left running (killed): sleep 9" in result_lines(result)


@pytest.mark.parametrize(
    ("figure", "shown"),
    [(1234567.8, "1,234,568"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.0123, "0.012"), (0.0, "0.000")],
)
def test_figures_have_three_digits(figure, shown):
    assert show(figure) == shown


def test_a_busy_machine_is_pointed_out():
    quiet = Machine("Fast One", 2, 8.0, "6.1", "CPython 3.11.7", 0.1, "/dev/sda (ext4)", {"pycos": None})
    busy = Machine("Fast One", 2, 8.0, "6.1", "CPython 3.11.7", 1.9, "/dev/sda (ext4)", {"pycos": "4.12.2"})
    assert machine_lines(quiet)[-1] == "load when it began: 0.1"
    assert "pycos not installed" in machine_lines(quiet)[1]
    assert "others were at work" in machine_lines(busy)[-1]


def test_the_disk_of_temporary_files_is_named():
    machine = Machine("Fast One", 2, 8.0, "6.1", "CPython 3.11.7", 0.1, "/dev/sda (ext4)", {})
    assert "temporary files on /dev/sda (ext4)" in machine_lines(machine)
