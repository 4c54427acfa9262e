import fcntl
import io
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from greencoro.compute import removal
from greencoro.compute.child import Channel
from greencoro.compute.launching import LaunchOrder, Outcome
from greencoro.compute.server import ServerProcess
from greencoro.compute.server_words import CountJobs, End, Jobs
from greencoro.hub import native
from tests.support.descriptors import await_closed, opened
from tests.support.polling import poll_until


class Broken:
    """A launcher that launches nothing."""

    def launch(self, order):
        raise OSError("no more processes")


def test_nothing_is_left_of_a_server_that_could_not_be_ordered(tmp_path):
    before = opened()
    with pytest.raises(OSError, match="no more processes"):
        ServerProcess(LaunchOrder(1), tmp_path / "server-1" / "1", Broken(), print, print)
    assert not (tmp_path / "server-1" / "1").exists()
    assert not list((tmp_path / "server-1").iterdir())
    await_closed(before)


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
        self.channel = Channel(ours.detach())
        self.ended = os.pidfd_open(self.process.pid)
        return self

    def kill(self):
        signal.pidfd_send_signal(self.ended, signal.SIGKILL)

    def collect(self):
        self.collected += 1
        os.close(self.ended)
        return Outcome(self.process.wait())


class HighScript(Script):
    """The same, with descriptors of such numbers as a daemon with many open files has."""

    def launch(self, order):
        super().launch(order)
        self.stderr, self.ended = map(high, (self.stderr, self.ended))
        self.channel = Channel(high(self.channel.fileno()))
        return self


def high(descriptor):
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 1024)
    os.close(descriptor)
    return moved


@pytest.fixture
def many_files():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] != resource.RLIM_INFINITY and before[1] < 1100:
        pytest.skip("this system has no such numbers")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], 1100), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def run(tmp_path, source, launcher=Script):
    reports, ends, told = [], [], threading.Event()
    launcher = launcher("import os, sys\n" + source)
    server = ServerProcess(
        LaunchOrder(1), tmp_path / "1", launcher, reports.append, lambda why: (ends.append(why), told.set())
    )
    return server, launcher, reports, ends, told


def test_reports_and_the_end_are_told(tmp_path):
    before = opened()
    source = """
while os.read(0, 100):
    os.write(0, b'{"word": "jobs", "count": 3}\\n')
    print("last words", file=sys.stderr, flush=True)
    sys.exit(5)
"""
    server, launcher, reports, ends, told = run(tmp_path, source)
    server.send(CountJobs())
    assert told.wait(20)
    server.join()
    assert reports == [Jobs(3)]
    assert ends == ["ended with exit code 5; the last it wrote to standard error:\n  last words"]
    assert launcher.collected == 1
    assert not (tmp_path / "1").exists()
    removal.wait()
    await_closed(before)
    server.send(End())


@pytest.mark.usefixtures("many_files")
def test_end_is_told_in_a_daemon_with_many_open_files(tmp_path):
    server, launcher, _, ends, told = run(tmp_path, "print('last words', file=sys.stderr)\nsys.exit(5)", HighScript)
    assert launcher.stderr >= 1024
    assert told.wait(20)
    server.join()
    assert ends == ["ended with exit code 5; the last it wrote to standard error:\n  last words"]


@pytest.mark.usefixtures("many_files")
def test_nothing_is_left_of_a_server_that_cannot_be_watched(tmp_path, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(native.Thread, "start", refuse)
    before = opened()
    launcher = HighScript("import time\ntime.sleep(600)")
    with pytest.raises(OSError, match="can't start new thread"):
        ServerProcess(LaunchOrder(1), tmp_path / "1", launcher, print, print)
    assert launcher.process.returncode == -9
    await_closed(before)


def test_end_is_told_whatever_goes_wrong_with_a_report(tmp_path, monkeypatch):
    faults = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: faults.append(unraisable.exc_type))

    def fail(report):
        raise ZeroDivisionError("of this test")

    ends = []
    launcher = Script("""import os\nos.write(0, b'{"word": "jobs", "count": 3}\\n')\nos.read(0, 1)\nos.read(0, 1)""")
    server = ServerProcess(LaunchOrder(1), tmp_path / "1", launcher, fail, ends.append)
    assert server.join(20)
    assert ends[0].startswith("was killed by SIGKILL")
    poll_until(lambda: faults == [ZeroDivisionError], 20)


def test_end_is_told_though_nobody_knows_it(tmp_path, monkeypatch):
    faults = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: faults.append(unraisable.exc_type))

    def fail(self):
        self.process.wait()
        raise ZeroDivisionError("of this test")

    monkeypatch.setattr(Script, "collect", fail)
    server, launcher, _, ends, _ = run(tmp_path, "")
    assert server.join(20)
    assert ends == ["ended in a way that is not known"]
    poll_until(lambda: faults == [ZeroDivisionError], 20)
    for descriptor in (launcher.stderr, launcher.ended):
        os.close(descriptor)
    launcher.channel.close()


@pytest.mark.parametrize("line", ["nonsense", '{"word": "jobs"}', '{"word": "assign"}', "\\xff", "[" * 100_000])
def test_J1_server_whose_channel_a_job_has_written_to_is_ended_and_its_end_told(tmp_path, line, caplog):
    server, _, reports, ends, told = run(tmp_path, f"os.write(0, b'{line}\\n')\nsys.stdin.read()\nos.read(0, 1)")
    assert told.wait(20)
    server.join()
    assert reports == []
    assert ends[0].startswith("was killed by SIGKILL")
    assert "server 1 is ended, for it does not say what a server says" in caplog.text


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (Outcome(), "ended in a way that is not known"),
        (Outcome(cause="it was in the way"), "was ended by force: it was in the way"),
        (Outcome(problem="no more processes"), "could not be started: no more processes"),
    ],
)
def test_J1_exit_that_nobody_knows_is_not_called_a_success(tmp_path, monkeypatch, outcome, told):
    monkeypatch.setattr(Script, "collect", lambda self: (self.process.wait(), os.close(self.ended), outcome)[-1])
    server, _, _, ends, is_told = run(tmp_path, "")
    assert is_told.wait(20)
    server.join()
    assert ends == [told]


def test_server_that_asks_for_it_is_ended_by_force_and_its_reason_told(tmp_path):
    server, _, reports, ends, told = run(
        tmp_path,
        """os.write(0, b'{"word": "end_me", "reason": "f/3 does not end"}\\n')\nos.read(1, 1)\nos.read(0, 1)""",
    )
    assert told.wait(20)
    server.join()
    assert reports == []
    assert ends == ["was ended by force: f/3 does not end"]


def test_end_is_told_though_something_that_is_left_writes_on_to_the_standard_error(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(buffer=io.BytesIO()))
    source = """
import subprocess, sys
print("begun", file=sys.stderr, flush=True)
subprocess.Popen(["yes", "left"], stdout=2)
"""
    server, _, _, ends, told = run(tmp_path, source)
    assert told.wait(20)
    server.join()
    assert ends[0].startswith("ended with exit code 0; the last it wrote to standard error:")


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
