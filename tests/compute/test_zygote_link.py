"""A zygote in a process of its own, ordered about as a node daemon does."""

import contextlib
import dataclasses
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from greencoro import Settings
from greencoro.compute import last_words
from greencoro.compute.child import child_environment, settings_as_json
from greencoro.compute.confinement import check_can_run, find_user
from greencoro.compute.directories import last_words_file
from greencoro.compute.launching import LaunchOrder, Outcome
from greencoro.compute.server_words import Configure, Ready, read_report, to_line
from greencoro.compute.zygote_link import ForkingLauncher
from greencoro.errors import ConfigError
from greencoro.hub import native
from tests.support.descriptors import await_closed, opened
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster


@pytest.fixture
def launcher(monkeypatch):
    # Python 3.12 warns where a process with threads is forked.
    monkeypatch.setenv("PYTHONWARNINGS", "error::DeprecationWarning:os")
    launcher = ForkingLauncher()
    yield launcher
    launcher.close()


def collect(launched):
    """What became of it, but for how much it has used."""
    assert select.select([launched.ended], [], [], 30)[0]
    outcome = launched.collect()
    if outcome.cpu_seconds is not None:
        assert 0 <= outcome.cpu_seconds < 60
        assert 2**20 < outcome.peak_bytes < 2**30
        outcome = dataclasses.replace(outcome, cpu_seconds=None, peak_bytes=None)
    launched.channel.close()
    native.close(launched.stderr)
    return outcome


def start(launched, directory, **options):
    """Configure a server, and wait until it is ready."""
    directory.mkdir(exist_ok=True)
    last_words_file(directory).write_bytes(bytes(last_words.SIZE))
    settings = settings_as_json(Settings())
    launched.channel.send(
        to_line(Configure("00" * 32, "127.0.0.1", 0, "a server", str(directory), settings, 30, **options))
    )
    report = read_report(launched.channel.receive())
    assert isinstance(report, Ready)
    return report.pid


def descriptors_of(pid):
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        # It may close one just now.
        with contextlib.suppress(FileNotFoundError):
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
    return found


def processes_of(launcher, name):
    children = psutil.Process(launcher.pid).children(recursive=True)
    return {child.pid for child in children if child.name() == name}


def test_process_ends_with_its_channel_and_nothing_is_left_of_it(launcher):
    before = opened()
    launched = launcher.launch(LaunchOrder(1))
    launched.channel.close()
    assert collect(launched) == Outcome(0)
    await_closed(before)
    zygote = psutil.Process(launcher.pid)
    assert [child.name() for child in zygote.children()] == ["sh"]


def test_process_can_be_killed_before_and_after_its_end(launcher):
    launched = launcher.launch(LaunchOrder(1))
    launched.kill()
    assert select.select([launched.ended], [], [], 30)[0]
    launched.kill()
    assert collect(launched) == Outcome(-9)
    launched.kill()


def test_server_and_its_keeper_are_a_group_and_have_their_names(launcher, tmp_path):
    launched = launcher.launch(LaunchOrder(7))
    pid = start(launched, tmp_path / "7")
    keeper = psutil.Process(pid).parent()
    assert os.getsid(pid) == os.getpgid(pid) == os.getpgid(keeper.pid) == keeper.pid
    assert (psutil.Process(pid).name(), keeper.name()) == ("greencoro-7", "greencoro-keep")
    assert keeper.ppid() == launcher.pid
    launched.kill()
    assert collect(launched) == Outcome(-9)


def test_Z6_zygote_has_one_thread_and_servers_have_none_of_its_descriptors(launcher, tmp_path):
    """What a server has open it has opened itself, but for the channel, its listening socket and what it writes to."""
    launched = [launcher.launch(LaunchOrder(slot)) for slot in (1, 2)]
    pids = [start(each, tmp_path / str(slot)) for slot, each in enumerate(launched, 1)]
    listening = socket.create_server(("127.0.0.1", 0))
    launched.append(launcher.launch(LaunchOrder(3, listening.fileno())))
    # Until it is configured it has nothing of its own.
    waiting = poll_until(lambda: processes_of(launcher, "greencoro-3"), 20).pop()
    assert psutil.Process(launcher.pid).num_threads() == 1
    assert len(os.listdir(f"/proc/{launcher.pid}/task")) == 1
    poll_until(lambda: len(descriptors_of(waiting)) == 5, 20)
    opened = descriptors_of(waiting)
    assert opened.pop(0) == os.devnull
    assert opened.pop(1) == os.readlink("/proc/self/fd/1")
    assert opened.pop(2) == f"pipe:[{os.fstat(launched[2].stderr).st_ino}]"
    assert opened.pop(3) == f"socket:[{os.fstat(listening.fileno()).st_ino}]"
    [channel] = opened.values()
    assert channel.startswith("socket:")
    for keeper in processes_of(launcher, "greencoro-keep"):
        poll_until(lambda keeper=keeper: len(descriptors_of(keeper)) == 4, 20)
        assert [file for number, file in descriptors_of(keeper).items() if number > 2] == ["anon_inode:[pidfd]"]
    zygotes = descriptors_of(launcher.pid)
    for pid in pids:
        mine = descriptors_of(pid)
        shared = {file for file in mine.values() if file in zygotes.values()} - {os.devnull, mine[1]}
        assert not {file for file in shared if not file.startswith("anon_inode:")}
        assert not set(mine.values()) & set(descriptors_of(waiting).values()) - {os.devnull, mine[1]}
    listening.close()
    for each in launched:
        each.kill()
        assert collect(each) == Outcome(-9)
    poll_until(lambda: len(descriptors_of(launcher.pid)) <= len(zygotes) - 2, 20)


def test_servers_have_the_environment_without_settings(launcher, tmp_path, monkeypatch):
    monkeypatch.setenv("GREENCORO_TICK_SECONDS", "0.5")
    monkeypatch.setenv("OF_THIS_TEST", "1")
    fresh = ForkingLauncher()
    launched = fresh.launch(LaunchOrder(1))
    pid = start(launched, tmp_path / "1")
    environment = psutil.Process(pid).environ()
    assert environment["OF_THIS_TEST"] == "1"
    assert not [name for name in environment if name.startswith("GREENCORO_")]
    assert environment == {n: v for n, v in child_environment().items() if not n.startswith("GREENCORO_")}
    launched.kill()
    collect(launched)
    fresh.close()


def test_end_of_the_zygote_ends_its_servers_and_another_one_takes_its_place(launcher, tmp_path, caplog):
    launched = launcher.launch(LaunchOrder(1))
    pid = start(launched, tmp_path / "1")
    server, first = psutil.Process(pid), launcher.pid
    os.kill(first, signal.SIGKILL)
    outcome = collect(launched)
    assert outcome.returncode is None
    assert outcome.cause.startswith("the process that had started it was killed by SIGKILL")
    poll_until(lambda: not server.is_running(), 20)
    launched.kill()
    launched = launcher.launch(LaunchOrder(1))
    assert launcher.pid != first
    assert "the process that starts the servers was killed by SIGKILL" in caplog.text
    assert start(launched, tmp_path / "2") != pid
    launched.kill()
    assert collect(launched) == Outcome(-9)


@pytest.fixture
def nobody():
    """Somebody else to run servers as, whom the kernel makes forget whose end is theirs, too."""
    try:
        user = find_user("nobody")
        check_can_run(user)
    except ConfigError as error:
        pytest.skip(str(error))
    return user


@pytest.fixture
def open_directory():
    """One that other users get to."""
    with tempfile.TemporaryDirectory() as directory:
        # Those above a server's directory are opened for its user.
        between = Path(directory) / "all" / "daemon"
        between.mkdir(parents=True)
        Path(directory).chmod(0o711)
        yield between


def test_kernel_ends_servers_whose_zygote_and_guard_are_gone(launcher, tmp_path):
    launched = launcher.launch(LaunchOrder(1))
    ends_without_zygote_and_guard(launcher, start(launched, tmp_path / "1"))
    collect(launched)


def test_S17_kernel_ends_servers_of_another_user_whose_zygote_and_guard_are_gone(launcher, open_directory, nobody):
    launched = launcher.launch(LaunchOrder(1))
    pid = start(launched, open_directory / "1", user=nobody.name)
    assert psutil.Process(pid).uids().real == nobody.uid
    ends_without_zygote_and_guard(launcher, pid)
    collect(launched)


def ends_without_zygote_and_guard(launcher, pid):
    """Nobody tells it: its channel is open."""
    server = psutil.Process(pid)
    [guard] = [child for child in psutil.Process(launcher.pid).children() if child.name() == "sh"]
    guard.kill()
    os.kill(launcher.pid, signal.SIGKILL)
    poll_until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE, 20)


#: Traces a process until its standard input ends.
TRACER = """
import ctypes, sys
PTRACE_SEIZE = 0x4206
print(ctypes.CDLL(None).ptrace(PTRACE_SEIZE, int(sys.argv[1]), None, None), flush=True)
sys.stdin.read()
"""


def test_server_that_somebody_traces_holds_up_no_other_and_not_its_own_end_for_ever(launcher, tmp_path):
    traced = launcher.launch(LaunchOrder(1))
    pid = start(traced, tmp_path / "1")
    command = [sys.executable, "-c", TRACER, str(pid)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as tracer:
        if tracer.stdout.readline() != b"0\n":
            pytest.skip("this system lets nobody trace other processes")
        traced.kill()
        poll_until(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, 20)
        other = launcher.launch(LaunchOrder(2))
        other.channel.close()
        assert collect(other).returncode == 0
        assert collect(traced) == Outcome(-9)
    poll_until(lambda: not psutil.pid_exists(pid), 20)


def test_guard_that_was_killed_is_replaced(launcher, tmp_path):
    launched = launcher.launch(LaunchOrder(1))
    start(launched, tmp_path / "1")
    [guard] = [child for child in psutil.Process(launcher.pid).children() if child.name() == "sh"]
    guard.kill()
    launched.kill()
    assert collect(launched) == Outcome(-9)
    assert poll_until(
        lambda: [child for child in psutil.Process(launcher.pid).children() if child.name() == "sh"], 20
    ) != [guard]


def test_servers_end_with_their_daemon(launcher, tmp_path):
    """As with a daemon that was killed: nothing but the end of file tells."""
    launched = [launcher.launch(LaunchOrder(slot)) for slot in (1, 2)]
    servers = [psutil.Process(start(each, tmp_path / str(slot))) for slot, each in enumerate(launched, 1)]
    family = [*servers, *psutil.Process(launcher.pid).children()]
    launcher.close()
    assert not [member for member in family if member.is_running()]
    assert [collect(each).returncode for each in launched] == [-9, -9]


@pytest.mark.parametrize("room", [0, 1, 2])
def test_start_that_is_not_possible_is_said_and_leaves_nothing(launcher, tmp_path, room):
    first = launcher.launch(LaunchOrder(1))
    pid = start(first, tmp_path / "1")
    opened = descriptors_of(launcher.pid)
    free = [number for number in range(100) if number not in opened]
    before = resource.prlimit(launcher.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(launcher.pid, resource.RLIMIT_NOFILE, (free[room], before[1]))
    second = launcher.launch(LaunchOrder(2))
    assert collect(second) == Outcome(problem="the process that starts the servers has too many open files")
    poll_until(lambda: descriptors_of(launcher.pid) == opened, 20)
    assert psutil.Process(pid).is_running()
    resource.prlimit(launcher.pid, resource.RLIMIT_NOFILE, before)
    first.kill()
    assert collect(first) == Outcome(-9)
