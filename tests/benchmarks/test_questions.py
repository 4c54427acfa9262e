from dataclasses import replace

import pytest

from benchmarks import bulk, file, greencoro_setup, one_way, outstanding, round_trip
from benchmarks.__main__ import QUESTIONS
from benchmarks.rounds import missing, run

SIDES = [(question, side) for question in QUESTIONS.values() for side in question.sides]

BETWEEN_TWO_PROCESSES = [each.QUESTION for each in (round_trip, one_way, outstanding, bulk, file)]


def once(question, *sides):
    return run(replace(question, sides=sides, targets=(), timeout_seconds=25.0), "tiny").outcomes


@pytest.mark.cluster
@pytest.mark.timeout(240)
@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS.keys())
def test_every_side_comes_to_a_figure_and_leaves_nothing_running(question):
    installed = [each for each in question.sides if missing(each) is None]
    for name, outcome in once(question, *installed).items():
        if outcome.failures and not name.startswith("greencoro"):
            # A peer may have lost a message on a busy machine; that it cannot do it at all is another matter.
            outcome = once(question, outcome.side)[name]
        assert (name, outcome.failures, outcome.left) == (name, [], [])
        assert [sample.figure > 0 for sample in outcome.samples.values()] == [True]


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS.keys())
def test_targets_are_about_sides_that_are_measured(question):
    names = {side.name for side in question.sides}
    assert len(names) == len(question.sides)
    for target in question.targets:
        assert {target.side, target.against or target.side} <= names


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS.keys())
def test_each_question_has_greencoro_and_a_peer_in_the_same_run(question):
    names = [side.name.split()[0] for side in question.sides]
    assert {"greencoro", "pycos"} <= set(names)


@pytest.mark.parametrize("question", BETWEEN_TWO_PROCESSES, ids=lambda question: question.name)
def test_what_goes_between_two_processes_is_measured_with_and_without_tls(question):
    assert {"greencoro", greencoro_setup.TLS} <= {side.name for side in question.sides}


@pytest.mark.parametrize(("question", "side"), SIDES, ids=[f"{question.name}-{side.name}" for question, side in SIDES])
def test_a_bigger_scale_does_not_do_less(question, side):
    assert side.counts.tiny <= side.counts.quick <= side.counts.full
