"""The one scheduler of a process, where no node answers."""

import threading

import pytest

from greencoro import (
    AuthenticationError,
    ConfigError,
    IncompatibleVersion,
    Location,
    PeerUnreachable,
    Runtime,
    Scheduler,
)
from greencoro.compute import scheduler as schedulers
from tests.support.polling import poll_until

ABSENT = Location("127.0.0.1", 9)


@pytest.fixture
def runtime():
    with Runtime(node="127.0.0.1", discover_peers=False, secret="a secret of this test's own") as runtime:
        yield runtime
        if schedulers.current_scheduler() is not None:
            schedulers.current_scheduler().close()


@pytest.mark.parametrize("nodes", ["127.0.0.1:9", ABSENT, ["127.0.0.1:9"], iter([ABSENT])])
def test_nodes_are_one_or_several(runtime, nodes):
    with Scheduler(nodes=nodes) as scheduler:
        assert list(scheduler._sought) == [ABSENT]


def test_nodes_are_given_by_name(runtime):
    with pytest.raises(TypeError):
        Scheduler("127.0.0.1:9")
    assert schedulers.current_scheduler() is None


def test_second_call_gives_the_first_ones_object_and_adds_nodes(runtime):
    with Scheduler(nodes=ABSENT) as first:
        assert Scheduler() is first
        assert list(first._sought) == [ABSENT]
        assert Scheduler(nodes="127.0.0.1:10") is first
        assert len(first._sought) == 2


def test_threads_that_make_the_first_scheduler_at_once_get_the_same(runtime, monkeypatch):
    begin = Scheduler._begin
    both = threading.Barrier(2)

    def slow_begin(scheduler, options):
        second.start()
        both.wait(5)
        begin(scheduler, options)

    def make_another():
        both.wait(5)
        made.append(Scheduler(nodes=ABSENT))

    monkeypatch.setattr(Scheduler, "_begin", slow_begin)
    made = []
    second = threading.Thread(target=make_another)
    made.append(Scheduler(nodes=ABSENT))
    second.join(5)
    assert len(made) == 2
    assert made[0] is made[1]


def test_scheduler_that_could_not_be_made_is_in_nobodys_way(runtime):
    with pytest.raises(ConfigError, match="has a Runtime already"):
        Scheduler(nodes=ABSENT, node="127.0.0.1")
    with Scheduler(nodes=ABSENT) as scheduler:
        assert schedulers.current_scheduler() is scheduler
        with pytest.raises(ConfigError, match="has a Runtime already"):
            Scheduler(nodes=ABSENT, node="127.0.0.1")


@pytest.mark.parametrize(
    ("error", "hint", "pause"),
    [
        (AuthenticationError("wrong secret"), "copy the secret file", 30),
        (IncompatibleVersion("another protocol: use the same version"), None, 30),
        (PeerUnreachable("refused"), "`greencoro node`", 2),
    ],
)
def test_what_went_wrong_decides_the_hint_and_the_pause(runtime, monkeypatch, error, hint, pause):
    pauses = []

    class Dropped:
        done = False

        def wait(self, seconds):
            pauses.append(seconds)
            self.done = len(pauses) == 10

    def connect(location, timeout=None):
        raise error

    with Scheduler(nodes=ABSENT) as scheduler:
        monkeypatch.setattr(runtime, "connect", connect)
        sought = schedulers._Sought()
        sought.dropped = Dropped()
        scheduler._keep(ABSENT, sought)
        assert pauses[-1] == pause
        assert sought.problem == str(error)
        assert sought.hint == "" if hint is None else hint in sought.hint


def test_node_that_is_not_to_be_used_is_looked_for_no_more(runtime):
    with Scheduler(nodes=[ABSENT, "127.0.0.1:10"]) as scheduler:
        poll_until(lambda: "refused" in scheduler.why_no_server(), 5)
        sought = scheduler._sought[ABSENT]
        scheduler.remove_node(ABSENT)
        assert sought.dropped.done
        assert "127.0.0.1:9 " not in scheduler.why_no_server()
        assert "127.0.0.1:10 " in scheduler.why_no_server()
