"""What looks for nodes, where they come, go and answer to several names."""

import pytest

from greencoro import AuthenticationError, IncompatibleVersion, Location, PeerUnreachable, Runtime
from greencoro.compute import node_finder
from greencoro.compute.node_finder import NodeFinder, _Sought
from greencoro.compute.node_words import Attach, NodeFacts
from greencoro.hub.completion import Completion
from tests.support.polling import poll_until

ABSENT = Location("127.0.0.1", 9)
FACTS = NodeFacts("127.0.0.1", "daemon", servers=1, ready=1, platform="", cpus=1)


@pytest.fixture
def runtime():
    with Runtime(node="127.0.0.1", discover_peers=False, secret="a secret of this test's own") as runtime:
        yield runtime


@pytest.fixture
def told():
    return []


@pytest.fixture
def finder(runtime, told):
    made = NodeFinder(
        runtime,
        lambda peer, facts: told.append(("up", peer.incarnation, facts)),
        lambda peer, reason: told.append(("lost", peer.incarnation)),
    )
    yield made
    made.close()


def daemon(runtime, port=0):
    made = Runtime(node="127.0.0.1", tcp_port=port, discover_peers=False, name="daemon", secret_key=runtime.secret.key)
    made.handle(Attach.operation, lambda request: request.reply(FACTS.to_header()), on_reactor=True)
    return made


def test_a_daemon_is_told_of_when_it_comes_goes_and_is_there_again(finder, runtime, told):
    with daemon(runtime) as first:
        location = first.location
        finder.add(location)
        poll_until(lambda: told)
        assert finder.problems() == []
    poll_until(lambda: len(told) == 2)
    assert told == [("up", first.incarnation, FACTS), ("lost", first.incarnation)]
    assert "it was lost" in finder.problems()[0] or "refused" in finder.problems()[0]
    with daemon(runtime, location.port) as second:
        poll_until(lambda: len(told) == 3)
        assert told[2] == ("up", second.incarnation, FACTS)


def test_a_daemon_with_two_names_is_told_of_once_and_found_again_by_both(finder, runtime, told):
    with daemon(runtime) as first:
        names = [first.location, Location("localhost", first.location.port)]
        for name in names:
            finder.add(name)
        poll_until(lambda: told and not finder.problems())
        assert len(told) == 1
    poll_until(lambda: len(told) == 2)
    assert told[1] == ("lost", first.incarnation)
    poll_until(lambda: all(f"{name} (" in finder.problems()[0] for name in names))
    # Whichever name is left, the daemon is found by it.
    finder.remove(names[0])
    with daemon(runtime, names[0].port) as second:
        poll_until(lambda: len(told) == 3)
        assert told[2] == ("up", second.incarnation, FACTS)


# Those that become peers without having been named.


def found_daemon(runtime, answers=None, **options):
    made = Runtime(
        node="127.0.0.1", discover_peers=False, name="daemon", secret_key=runtime.secret.key, role="node", **options
    )

    def attach(request):
        if answers is None or answers.done:
            request.reply(FACTS.to_header())
        else:
            request.fail(RuntimeError("not yet"))

    made.handle(Attach.operation, attach, on_reactor=True)
    return made


def test_where_a_daemon_was_guessed_to_be_is_told_of_only_while_there_is_none(finder, runtime, told):
    finder.add(ABSENT, is_guess=True)
    poll_until(lambda: "refused" in "".join(finder.problems()))
    assert finder.problems()[-1] == "`greencoro doctor` finds out more"
    with daemon(runtime) as first:
        finder.add(first.location)
        poll_until(lambda: told and not finder.problems())
    poll_until(lambda: "refused" in "".join(finder.problems()))


def test_a_daemon_that_becomes_a_peer_is_used_and_again_when_it_comes_back(finder, runtime, told):
    with found_daemon(runtime) as daemon:
        daemon.connect(runtime.location)
        poll_until(lambda: told)
        assert told == [("up", daemon.incarnation, FACTS)]
        first = daemon.incarnation
    poll_until(lambda: len(told) == 2)
    with found_daemon(runtime) as daemon:
        daemon.connect(runtime.location)
        poll_until(lambda: len(told) == 3)
        assert told[1:] == [("lost", first), ("up", daemon.incarnation, FACTS)]


def test_a_daemon_that_was_a_peer_before_is_used(runtime, told):
    with found_daemon(runtime) as daemon:
        daemon.connect(runtime.location)
        poll_until(runtime.peer_infos)
        finder = NodeFinder(runtime, lambda peer, facts: told.append(peer.incarnation), lambda peer, reason: None)
        poll_until(lambda: told == [daemon.incarnation])
        finder.close()


def test_a_daemon_that_is_named_and_found_is_told_of_once(finder, runtime, told):
    with found_daemon(runtime) as daemon:
        daemon.connect(runtime.location)
        finder.add(daemon.location)
        poll_until(lambda: told and not finder.problems())
    poll_until(lambda: len(told) == 2)
    assert told == [("up", daemon.incarnation, FACTS), ("lost", daemon.incarnation)]


def test_a_found_daemon_that_does_not_answer_is_asked_again(finder, runtime, told):
    answers = Completion()
    with found_daemon(runtime, answers) as daemon:
        daemon.connect(runtime.location)
        poll_until(lambda: "not yet" in "".join(finder.problems()))
        answers.set()
        poll_until(lambda: told == [("up", daemon.incarnation, FACTS)])
        assert finder.problems() == []


def test_a_daemon_that_is_given_up_is_lost_until_it_answers_again(finder, runtime, told):
    with found_daemon(runtime) as daemon:
        daemon.connect(runtime.location)
        poll_until(lambda: told)
        finder.give_up(daemon.incarnation, "it was silent")
        poll_until(lambda: len(told) == 3)
        assert [each[0] for each in told] == ["up", "lost", "up"]
    finder.give_up(bytes(16), "it was never there")


def test_a_peer_of_another_role_is_no_node(finder, runtime, told):
    with Runtime(node="127.0.0.1", discover_peers=False, name="plain", secret_key=runtime.secret.key) as plain:
        plain.handle(Attach.operation, lambda request: request.reply(FACTS.to_header()), on_reactor=True)
        plain.connect(runtime.location)
        with found_daemon(runtime) as daemon:
            daemon.connect(runtime.location)
            poll_until(lambda: told)
        assert plain.incarnation not in {each[1] for each in told}


def test_a_runtime_that_is_no_node_is_no_node(finder, runtime, told):
    with Runtime(node="127.0.0.1", discover_peers=False, name="plain", secret_key=runtime.secret.key) as plain:
        finder.add(plain.location)
        poll_until(lambda: "no operation 'node.attach'" in "".join(finder.problems()))
    assert told == []


def test_S10_a_node_that_answers_nonsense_is_not_used(finder, runtime, told):
    with Runtime(node="127.0.0.1", discover_peers=False, name="odd", secret_key=runtime.secret.key) as odd:
        odd.handle(Attach.operation, lambda request: request.reply({"servers": -1}), on_reactor=True)
        finder.add(odd.location)
        poll_until(lambda: "NodeFacts" in "".join(finder.problems()))
    assert told == []


def test_places_are_each_looked_at_once(finder):
    finder.add(ABSENT)
    finder.add(ABSENT)
    assert finder.places == [ABSENT]
    poll_until(lambda: "refused" in "".join(finder.problems()))
    finder.remove(ABSENT)
    finder.remove(ABSENT)
    assert finder.problems() == finder.places == []


@pytest.mark.parametrize(
    ("error", "hint", "pause"),
    [
        (AuthenticationError("wrong secret"), "copy the secret file", 30),
        (IncompatibleVersion("another protocol: use the same version"), None, 30),
        (PeerUnreachable("refused"), "`greencoro node`", 2),
    ],
)
def test_what_went_wrong_decides_the_hint_and_the_pause(finder, runtime, monkeypatch, error, hint, pause):
    pauses = []

    class Dropped:
        done = False

        def wait(self, seconds):
            pauses.append(seconds)
            self.done = len(pauses) == 10

    def connect(location, timeout=None):
        raise error

    monkeypatch.setattr(runtime, "connect", connect)
    sought = _Sought()
    sought.dropped = Dropped()
    finder._keep(ABSENT, sought)
    assert pauses[-1] == pause
    assert sought.problem == str(error)
    assert sought.hint == "" if hint is None else hint in sought.hint
    assert pauses[-1] > node_finder._FIRST_PAUSE_SECONDS
