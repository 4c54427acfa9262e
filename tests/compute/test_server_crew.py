"""The servers of a node daemon, as processes that a test makes do what it says."""

from types import SimpleNamespace
from typing import ClassVar

import pytest

from greencoro.compute import server_crew as module
from greencoro.compute import server_words
from greencoro.compute.inbox import Inbox
from greencoro.compute.node_options import NodeOptions
from greencoro.compute.node_vocabulary import StartServer
from greencoro.compute.server_crew import END_SECONDS, KILL_SECONDS, STUCK_SECONDS, ServerCrew
from greencoro.compute.zygote_state import PATIENCE_SECONDS
from greencoro.config import Settings
from greencoro.distributed.location import Location
from greencoro.hub import native

TOKEN = "ab" * 32


class Process:
    """In the place of a server process."""

    made: ClassVar[list] = []
    problem = None

    def __init__(self, order, directory, launcher, on_report, on_exit):
        if Process.problem is not None:
            raise OSError(Process.problem)
        self.slot, self.order, self.directory, self.launcher = order.slot, order, directory, launcher
        self.on_report, self.on_exit = on_report, on_exit
        self.did = []
        self.is_stuck = False
        Process.made.append(self)

    def send(self, word):
        self.did.append(word)

    def kill(self):
        self.did.append("kill")

    def join(self, timeout=None):
        self.did.append("join")
        return timeout is None or not self.is_stuck

    def kinds(self):
        return [each if isinstance(each, str) else type(each).__name__ for each in self.did]


class Listener:
    def __init__(self):
        self.heard = []

    def reported(self, slot, run, report):
        self.heard.append((slot, run, report))

    def exited(self, slot, run, explanation):
        self.heard.append((slot, run, explanation))


class Crew:
    """A crew with what it works with."""

    def __init__(self, directory, **options):
        self.inbox, self.listener = Inbox(), Listener()
        self.options = NodeOptions(servers=2, **options)
        self.kills = 0
        self.launcher = SimpleNamespace(kill=self.count_kill)
        paths = SimpleNamespace(path=directory)
        self.crew = ServerCrew(self.options, Settings(), paths, self.launcher, self.inbox, self.listener)

    def count_kill(self):
        self.kills += 1

    def start(self, slot=1, run=1):
        self.crew.start(StartServer(slot, run))
        return Process.made[-1] if Process.problem is None else None

    def take(self):
        """What came is told in the daemon's main thread."""
        while (action := self.inbox.take(0)) is not None:
            action()
        return self.listener.heard


@pytest.fixture
def crew(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "ServerProcess", Process)
    monkeypatch.setattr(Process, "made", [])
    monkeypatch.setattr(Process, "problem", None)
    return Crew(tmp_path)


RUNTIME = SimpleNamespace(
    secret=SimpleNamespace(key=b"k" * 32), location=Location("10.0.0.1", 51350), name="green", add_listener=None
)


def test_each_process_of_a_slot_has_a_directory_of_its_own(crew, tmp_path):
    assert crew.start(slot=2, run=1).directory == tmp_path / "server-2" / "1"
    assert crew.start(slot=2, run=7).directory == tmp_path / "server-2" / "7"
    order = Process.made[-1].order
    assert (order.slot, order.listener) == (2, None)
    assert Process.made[-1].launcher is crew.launcher


def test_what_a_server_says_is_told_in_the_thread_that_takes(crew):
    server = crew.start(slot=2, run=3)
    server.on_report(server_words.Idle())
    server.on_exit("was killed by SIGKILL")
    assert crew.listener.heard == []
    assert crew.take() == [(2, 3, server_words.Idle()), (2, 3, "was killed by SIGKILL")]
    assert crew.crew.size == 0
    assert server.did == ["join"]


def test_a_server_that_could_not_be_started_is_told_of_as_one_that_ended(crew):
    Process.problem = "no more processes"
    crew.start(slot=1, run=4)
    assert crew.listener.heard == []  # not within the order
    assert crew.take() == [(1, 4, "could not be started: no more processes")]
    assert crew.crew.size == 0


def test_servers_are_configured_when_the_daemon_has_a_runtime_and_from_then_on_at_once(crew):
    early = crew.start(slot=1)
    assert early.did == []
    crew.crew.configure(RUNTIME)
    late = crew.start(slot=2)
    [first], [second] = early.did, late.did
    assert (first.name, second.name) == ("green-1", "green-2")
    assert first.key == (b"k" * 32).hex()
    assert (first.host, first.port, first.has_listener) == ("10.0.0.1", 0, False)
    assert (first.directory, second.directory) == (str(early.directory), str(late.directory))


def test_servers_are_told_how_their_node_was_started(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "ServerProcess", Process)
    monkeypatch.setattr(Process, "made", [])
    crew = Crew(tmp_path, host="10.0.0.5", ext_ip_addr="203.0.113.1", forward_output=False, udp_port=999)
    crew.crew.configure(RUNTIME)
    [told] = crew.start().did
    # Its own address: that of the daemon's location is the gateway's.
    assert (told.host, told.ext_ip_addr) == ("10.0.0.5", "203.0.113.1")
    assert not told.forward_output
    assert told.udp_port == 999


def test_words_go_to_the_server_of_the_slot_that_is_there(crew):
    first, second = crew.start(slot=1), crew.start(slot=2)
    crew.crew.send(1, server_words.Drain())
    crew.crew.assign(2, TOKEN)
    crew.crew.send_all(server_words.CountJobs())
    assert first.did == [server_words.Drain(), server_words.CountJobs()]
    assert second.did == [server_words.Assign(TOKEN), server_words.CountJobs()]
    second.on_exit("ended")
    crew.take()
    crew.crew.send(2, server_words.Drain())  # its end is being told
    crew.crew.kill(2)
    assert second.kinds() == ["Assign", "CountJobs", "join"]


def test_a_server_that_does_not_end_in_time_is_ended_by_force(crew):
    server = crew.start()
    assert crew.crew.next_due_at() is None
    before = native.monotonic()
    crew.crew.end(1)
    due = crew.crew.next_due_at()
    assert before + END_SECONDS <= due <= native.monotonic() + END_SECONDS
    crew.crew.look(due - 0.01)
    assert server.kinds() == ["End"]
    crew.crew.look(due)
    assert server.kinds() == ["End", "kill"]
    assert crew.crew.next_due_at() is None


def test_a_server_that_has_ended_in_time_takes_nobody_with_it(crew):
    first = crew.start(run=1)
    crew.crew.end(1)
    due = crew.crew.next_due_at()
    first.on_exit("ended")
    crew.take()
    second = crew.start(run=2)
    assert crew.crew.next_due_at() is None
    crew.crew.look(due + 1)
    assert second.did == []


def test_at_the_end_every_server_is_ended_by_force_and_waited_for(crew):
    servers = [crew.start(slot=1), crew.start(slot=2)]
    crew.crew.kill_all()
    assert [server.did for server in servers] == [["kill"], ["kill"]]
    crew.crew.close()
    assert [server.did for server in servers] == [["kill", "kill", "join"]] * 2
    assert crew.kills == 0


def test_Z1_servers_that_are_killed_and_do_not_end_are_ended_with_what_has_started_them(crew, caplog):
    crew.start(slot=1)
    crew.crew.give_up_after(1000)
    before = native.monotonic()
    crew.crew.kill_all()
    due = crew.crew.next_due_at()
    assert before + KILL_SECONDS <= due <= native.monotonic() + KILL_SECONDS
    crew.crew.give_up_after(1000)
    assert crew.crew.next_due_at() == due
    crew.crew.look(due - 0.01)
    assert crew.kills == 0
    crew.crew.look(due)
    assert crew.kills == 1
    assert crew.crew.next_due_at() is None
    assert "servers do not end" in caplog.text


def test_Z1_a_zygote_that_works_is_given_the_time_it_may_take():
    assert END_SECONDS + PATIENCE_SECONDS < STUCK_SECONDS


def test_Z1_servers_that_end_in_time_leave_what_has_started_them_alone(crew):
    server = crew.start()
    crew.crew.kill_all()
    server.on_exit("was killed by SIGKILL")
    crew.take()
    crew.crew.look(crew.crew.next_due_at())
    assert crew.kills == 0


def test_Z1_end_waits_for_no_server_for_ever(crew, monkeypatch):
    monkeypatch.setattr(module, "KILL_SECONDS", 0.0)
    servers = [crew.start(slot=1), crew.start(slot=2)]
    servers[1].is_stuck = True
    crew.crew.close()
    assert crew.kills == 1
    assert [server.did for server in servers] == [["kill", "join"], ["kill", "join", "join"]]
