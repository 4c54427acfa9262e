import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from greencoro.compute.child import UNKNOWN_EXIT, Channel
from greencoro.compute.launching import LaunchOrder, Spawner
from greencoro.compute.server import ServerProcess, explain_exit
from greencoro.compute.server_words import CountJobs, End, Jobs


@pytest.mark.parametrize(
    ("returncode", "text"),
    [
        (0, "ended with exit code 0"),
        (3, "ended with exit code 3"),
        (-11, "was killed by SIGSEGV"),
        (-9, "was killed by SIGKILL (by somebody, or by the kernel for want of memory)"),
        (-99, "was killed by signal 99"),
    ],
)
def test_exit_codes_and_signals_are_decoded(returncode, text):
    assert explain_exit(returncode, []) == text


def test_last_lines_of_standard_error_follow():
    assert explain_exit(1, ["oh", "no"]).endswith("standard error:\n  oh\n  no")


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


def test_exit_that_nobody_knows_is_not_called_a_success():
    assert explain_exit(UNKNOWN_EXIT, []) == "ended in a way that is not known"
