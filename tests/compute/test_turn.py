"""What a scheduler does while a computation has its turn: pulses, with a node that answers as a test says."""

import threading

import pytest

from greencoro import Coro, Runtime
from greencoro.compute import scheduler_vocabulary as vocabulary
from greencoro.compute.client_words import Ask
from greencoro.compute.node_words import Free, Pulse, Pulsed
from greencoro.compute.turn import Turn
from greencoro.hub.completion import Completion
from tests.support.polling import poll_until

INTERVAL = 0.1
FREE = Free(90.0, 2**30, 2**40, 100.0)
TOKEN = "ab" * 32


class Scene:
    """A turn at one runtime, a node's answers at another."""

    def __init__(self, here, there):
        self.here, self.there = here, there
        self.events, self.silent, self.asked = [], [], []
        self.answer = Pulsed(True, FREE).to_header()
        there.handle(Pulse.operation, self._pulse, on_reactor=True)

    def _pulse(self, request):
        self.asked.append(Pulse.from_header(request.header))
        if self.answer is not None:
            request.reply(self.answer)

    def begin(self, **ask):
        terms = Ask("cd" * 16, "client", **{"pulse_interval": INTERVAL, **ask})
        return Turn(self.here, 3, terms, self.events.append, lambda *lost: self.silent.append(lost))

    def watch(self, turn, attempt=7):
        turn.watch("n", attempt, self.here.connect(self.there.location), TOKEN)

    def of(self, kind):
        return [each for each in self.events if isinstance(each, kind)]


@pytest.fixture
def scene():
    Coro(lambda: None).value(5)  # starts the user hub, as a scheduler does that serves anything
    with (
        Runtime(node="127.0.0.1", discover_peers=False, name="there", secret="of this test's own") as there,
        Runtime(node="127.0.0.1", discover_peers=False, name="here", secret_key=there.secret.key) as here,
    ):
        yield Scene(here, there)


@pytest.fixture
def turn(scene):
    made = scene.begin()
    scene.watch(made)
    yield made
    made.end()


def test_reserved_node_is_pulsed_with_its_token_and_what_is_free_is_told(scene, turn):
    poll_until(lambda: len(scene.of(vocabulary.NodeFree)) >= 3)
    assert set(scene.events) == {vocabulary.NodeFree("n", 7, FREE)}
    assert set(scene.asked) == {Pulse(TOKEN)}
    assert scene.silent == []


def test_node_that_has_no_such_lease_any_more_has_ended_it(scene, turn):
    scene.answer = Pulsed(is_held=False).to_header()
    ended = poll_until(lambda: scene.of(vocabulary.LeaseEnded))[0]
    assert (ended.node, ended.attempt) == ("n", 7)


def test_node_that_cannot_say_what_is_free_is_alive_all_the_same(scene, turn):
    scene.answer = Pulsed(is_held=True).to_header()
    poll_until(lambda: len(scene.asked) >= 8)
    assert scene.silent == []


def test_J4_node_that_is_silent_is_given_up_with_the_reason(scene, turn):
    scene.answer = None
    [(node, reason)] = poll_until(lambda: scene.silent)
    assert node == "n"
    assert reason == "it was silent for 0.5 s, 5 pulse intervals"


def test_S10_node_that_answers_nonsense_is_given_up(scene, turn):
    scene.answer = {"is_held": "perhaps"}
    [(_, reason)] = poll_until(lambda: scene.silent)
    assert "is_held" in reason


def test_node_that_is_released_is_pulsed_no_more(scene, turn):
    poll_until(lambda: scene.asked)
    scene.answer = None
    turn.forget("n")
    turn.forget("unknown")
    assert not Completion().wait(8 * INTERVAL)
    assert scene.silent == []


def test_without_pulses_nobody_is_asked(scene):
    turn = scene.begin(pulse_interval=0.0)
    scene.watch(turn)
    turn.forget("n")
    turn.end()
    assert scene.asked == []


@pytest.mark.parametrize(
    ("ask", "stopped", "is_over"),
    [({}, 10, True), ({}, 3, False), ({"zombie_period": 2 * INTERVAL}, 4, True)],
    ids=["longer than five pulses", "shorter", "longer than the zombie_period"],
)
def test_J9_computation_is_over_where_this_process_was_stopped_for_longer_than_allowed(scene, ask, stopped, is_over):
    turn = scene.begin(**ask)
    scene.watch(turn)
    poll_until(lambda: scene.asked)
    scene.here.reactor.post(lambda: threading.Event().wait(stopped * INTERVAL))
    count = len(scene.asked)
    poll_until(lambda: len(scene.asked) >= count + 4)
    over = scene.of(vocabulary.Overslept)
    assert [each.computation for each in over] == [3] * is_over
    assert all("was stopped for" in each.reason for each in over)
    assert scene.silent == []
    turn.end()


def test_further_nodes_are_looked_for_as_often_as_wanted_and_afterwards_as_before(scene, monkeypatch):
    intervals = []
    monkeypatch.setattr(scene.here, "set_ping_interval", intervals.append)
    scene.begin().end()
    assert intervals == []
    turn = scene.begin(ping_interval=15.0)
    assert intervals == [15.0]
    turn.end()
    assert intervals == [15.0, scene.here.settings.ping_interval_seconds]
