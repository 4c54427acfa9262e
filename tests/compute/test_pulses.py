"""Pulses between runtimes of this process: who answers, who is silent, who was stopped."""

import threading
import time

import pytest

from greencoro import Coro, Runtime
from greencoro.compute.pulses import Pulses
from greencoro.hub import native
from greencoro.hub.completion import Completion
from tests.support.polling import poll_until

INTERVAL = 0.1


@pytest.fixture
def pair():
    Coro(lambda: None).value(5)  # starts the user hub, as a scheduler does that serves anything
    with (
        Runtime(node="127.0.0.1", discover_peers=False, name="there", secret="of this test's own") as there,
        Runtime(node="127.0.0.1", discover_peers=False, name="here", secret_key=there.secret.key) as here,
    ):
        yield here, there


@pytest.fixture
def heard():
    return []


@pytest.fixture
def pulses(pair, heard):
    made = Pulses(
        pair[0],
        INTERVAL,
        lambda name: heard.append(("silent", name)),
        lambda name, header: heard.append(("answer", name, header)),
        lambda seconds: heard.append(("gap", seconds)),
    )
    yield made
    made.stop()


def answers(heard):
    return [each for each in heard if each[0] == "answer"]


def test_whoever_answers_is_asked_again_and_again_and_not_silent(pair, pulses, heard):
    here, there = pair
    there.handle("test.pulse", lambda request: request.reply(request.header), on_reactor=True)
    pulses.watch("a", here.connect(there.location), "test.pulse", {"n": 7})
    poll_until(lambda: len(answers(heard)) >= 8)
    assert heard[0] == ("answer", "a", {"n": 7})
    assert {each[0] for each in heard} == {"answer"}


def test_J4_whoever_does_not_answer_is_silent_after_five_intervals_and_once(pair, pulses, heard):
    here, there = pair
    asked = []
    there.handle("test.mute", asked.append, on_reactor=True)
    began = native.monotonic()
    pulses.watch("mute", here.connect(there.location), "test.mute", {})
    poll_until(lambda: heard)
    assert native.monotonic() - began >= 5 * INTERVAL
    assert heard == [("silent", "mute")]
    assert len(asked) == 1
    asked[0].reply({})  # too late
    pulses.watch("a", here.connect(there.location), "greencoro.ping", {})
    poll_until(lambda: len(answers(heard)) >= 6)
    assert {each[1] for each in answers(heard)} == {"a"}
    assert [each for each in heard if each[0] == "silent"] == [("silent", "mute")]


def test_whoever_answers_that_it_cannot_do_that_is_alive(pair, pulses, heard):
    here, there = pair
    pulses.watch("a", here.connect(there.location), "test.unknown", {})
    pulses.watch("b", here.connect(there.location), "greencoro.ping", {})
    poll_until(lambda: len(answers(heard)) >= 8)
    assert not [each for each in heard if each[0] == "silent"]


def test_whoever_cannot_be_reached_is_silent_and_one_who_is_back_in_time_is_not(pair, pulses, heard):
    here, there = pair
    peer = here.connect(there.location)
    pulses.watch("a", peer, "greencoro.ping", {})
    poll_until(lambda: answers(heard))
    there.finish()
    poll_until(lambda: ("silent", "a") in heard)


def test_nobody_is_asked_who_is_forgotten_or_once_it_is_stopped(pair, pulses, heard):
    here, there = pair
    asked = []
    there.handle("test.mute", asked.append, on_reactor=True)
    peer = here.connect(there.location)
    pulses.watch("a", peer, "test.mute", {})
    pulses.watch("b", peer, "greencoro.ping", {})
    poll_until(lambda: asked)
    pulses.forget("a")
    pulses.forget("unknown")
    poll_until(lambda: len(answers(heard)) >= 8)
    assert not [each for each in heard if each[0] == "silent"]
    pulses.stop()
    before = Completion()
    here.reactor.post(before.set)
    assert before.wait(5)
    count = len(answers(heard))
    assert not Completion().wait(3 * INTERVAL)
    assert len(answers(heard)) <= count + 1  # one may have been on its way


def test_J4_pulses_go_on_while_coroutines_compute(pair, pulses):
    here, there = pair
    times = []

    def note(request):
        times.append(native.monotonic())
        request.reply()

    there.handle("test.pulse", note, on_reactor=True)
    pulses.watch("a", here.connect(there.location), "test.pulse", {})
    poll_until(lambda: times)

    def compute():
        end = time.monotonic() + 10 * INTERVAL
        while time.monotonic() < end:
            pass
        return end

    began = native.monotonic()
    end = Coro(compute).value(20)
    assert len([at for at in times if began < at < end]) >= 2


def test_J9_time_in_which_this_process_was_stopped_is_told_and_makes_nobody_silent(pair, pulses, heard):
    here, there = pair
    pulses.watch("a", here.connect(there.location), "greencoro.ping", {})
    poll_until(lambda: answers(heard))
    # As a whole process that is stopped: neither of the two reactors' threads, which are one, does anything.
    go_on = threading.Event()
    here.reactor.post(lambda: go_on.wait(8 * INTERVAL))
    poll_until(lambda: [each for each in heard if each[0] == "gap"])
    [gap] = [each for each in heard if each[0] == "gap"]
    assert gap[1] >= 7 * INTERVAL
    count = len(answers(heard))
    poll_until(lambda: len(answers(heard)) >= count + 3)
    assert not [each for each in heard if each[0] == "silent"]
