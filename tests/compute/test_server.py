import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from greencoro.compute import removal
from greencoro.compute.child import UNKNOWN_EXIT, Channel
from greencoro.compute.launching import LaunchOrder, Spawner
from greencoro.compute.server import ServerProcess
from greencoro.compute.server_words import CountJobs, End, Jobs


class DeadGuard:
    """One whose shell can be started no more."""

    def __init__(self):
        self.forgotten = []

    def watch(self, group):
        raise OSError("no more processes")

    def forget(self, group):
        self.forgotten.append(group)


def test_nothing_is_left_of_a_server_that_could_not_be_started(tmp_path):
    guard, descriptors = DeadGuard(), set(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="no more processes"):
        ServerProcess(LaunchOrder(1, 1), tmp_path / "server-1" / "1", Spawner(guard), print, print)
    assert not (tmp_path / "server-1" / "1").exists()
    assert set(os.listdir("/proc/self/fd")) == descriptors
    [pid] = guard.forgotten
    assert not os.path.exists(f"/proc/{pid}")


class Script:
    """A launcher that runs a script in the place of a server, and the process that it launched."""

    def __init__(self, source):
        self.source = source
        self.collected = 0

    def launch(self, order):
        ours, theirs = socket.socketpair()
        self.stderr, stderr = os.pipe()
        self.process = subprocess.Popen([sys.executable, "-c", self.source], stdin=theirs, stderr=stderr)
        theirs.close()
        os.close(stderr)
        self.pid = self.process.pid
        self.channel = Channel(ours.detach())
        self.ended = os.pidfd_open(self.pid)
        return self

    def kill(self):
        signal.pidfd_send_signal(self.ended, signal.SIGKILL)

    def collect(self):
        self.collected += 1
        os.close(self.ended)
        return self.process.wait()


def run(tmp_path, source):
    reports, ends, told = [], [], threading.Event()
    launcher = Script("import os, sys\n" + source)
    server = ServerProcess(
        LaunchOrder(1, 1), tmp_path / "1", launcher, reports.append, lambda why: (ends.append(why), told.set())
    )
    return server, launcher, reports, ends, told


def test_reports_and_the_end_are_told(tmp_path):
    descriptors = set(os.listdir("/proc/self/fd"))
    source = """
while os.read(0, 100):
    os.write(0, b'{"word": "jobs", "count": 3}\\n')
    print("last words", file=sys.stderr, flush=True)
    sys.exit(5)
"""
    server, launcher, reports, ends, told = run(tmp_path, source)
    assert server.pid == launcher.pid
    server.send(CountJobs())
    assert told.wait(20)
    server.join()
    assert reports == [Jobs(3)]
    assert ends == ["ended with exit code 5; the last it wrote to standard error:\n  last words"]
    assert launcher.collected == 1
    assert not (tmp_path / "1").exists()
    removal.wait()
    assert set(os.listdir("/proc/self/fd")) == descriptors
    server.send(End())


@pytest.mark.parametrize("line", ["nonsense", '{"word": "jobs"}', '{"word": "assign"}', "\\xff", "[" * 100_000])
def test_J1_server_whose_channel_a_job_has_written_to_is_ended_and_its_end_told(tmp_path, line, caplog):
    server, _, reports, ends, told = run(tmp_path, f"os.write(0, b'{line}\\n')\nsys.stdin.read()\nos.read(0, 1)")
    assert told.wait(20)
    server.join()
    assert reports == []
    assert ends[0].startswith("was killed by SIGKILL")
    assert "server 1 is ended, for it does not say what a server says" in caplog.text


def test_J1_exit_that_nobody_knows_is_not_called_a_success(tmp_path, monkeypatch):
    monkeypatch.setattr(Script, "collect", lambda self: (self.process.wait(), os.close(self.ended), UNKNOWN_EXIT)[-1])
    server, _, _, ends, told = run(tmp_path, "")
    assert told.wait(20)
    server.join()
    assert ends == ["ended in a way that is not known"]


def test_server_that_asks_for_it_is_ended_by_force_and_its_reason_told(tmp_path):
    server, _, reports, ends, told = run(
        tmp_path,
        """os.write(0, b'{"word": "end_me", "reason": "f/3 does not end"}\\n')\nos.read(1, 1)\nos.read(0, 1)""",
    )
    assert told.wait(20)
    server.join()
    assert reports == []
    assert ends == ["was ended by force: f/3 does not end"]


def test_last_words_are_told_with_the_end(tmp_path):
    source = f"""
import mmap
sys.path[:0] = {sys.path!r}
from greencoro.compute.last_words import SIZE, LastWords
with open({str(tmp_path / "1.words")!r}, "r+b") as file:
    words = LastWords(mmap.mmap(file.fileno(), SIZE))
words.began("f/3")
words.said("on the way to the client\\n")
os.write(2, b"straight\\n")
os.abort()
"""
    server, _, _, ends, told = run(tmp_path, source)
    assert told.wait(20)
    server.join()
    assert ends == [
        "was killed by SIGABRT (it gave itself up), with the job f/3; the last it wrote to standard error:\n"
        "  on the way to the client\n  straight"
    ]
    assert not (tmp_path / "1.words").exists()


@pytest.mark.parametrize("content", [b"", b"\\xff" * 10, b"x" * 100_000])
def test_whatever_a_job_made_of_the_last_words_its_end_is_told(tmp_path, content):
    server, _, _, ends, told = run(tmp_path, f"open({str(tmp_path / '1.words')!r}, 'wb').write({content!r})")
    assert told.wait(20)
    server.join()
    assert ends == ["ended with exit code 0"]
