"""J10: a live lock refuses to start, a stale file never does, and nobody kills a stranger."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from greencoro.compute import service_lock
from greencoro.compute.service_lock import taken
from greencoro.errors import ConfigError
from tests.support.polling import poll_until

ROOT = Path(__file__).parents[2]
HOLDER = """
import signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from greencoro.compute.service_lock import taken
from greencoro.errors import ConfigError

if "stubborn" in sys.argv[4:]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
try:
    with taken("10.0.0.5", int(sys.argv[3]), "phoenix" in sys.argv[4:], Path(sys.argv[2])):
        print("held", flush=True)
        sys.stdin.read()
except ConfigError as error:
    print(error, flush=True)
"""


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "locks"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def processes():
    """Starts processes that are ended with the test."""
    with contextlib.ExitStack() as stack:

        def start(*command):
            process = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
            )
            stack.callback(process.kill)
            return process

        yield start


@pytest.fixture
def holder(processes, directory):
    """Starts processes that take the lock, and says what they say."""

    def start(*words, port=7):
        return processes(sys.executable, "-c", HOLDER, str(ROOT), str(directory), str(port), *words)

    return start


@pytest.fixture
def bystander(processes):
    return processes(sys.executable, "-c", "import sys; sys.stdin.read()")


def lock(directory, phoenix=False, address="10.0.0.5", port=7):
    return taken(address, port, phoenix, directory)


def held(process):
    assert process.stdout.readline() == "held\n"
    return process


def file_of(directory):
    (file,) = directory.glob("service-*.lock")
    return file


def test_J10_a_live_lock_refuses_and_names_the_process(holder, directory):
    process = held(holder())
    words = (
        rf"10\.0\.0\.5, port 7, is running already: process {process.pid}; `greencoro node status 10\.0\.0\.5:7` says "
    )
    with pytest.raises(ConfigError, match=words + "what it is at, --port is for a second one, --phoenix replaces it$"):
        lock(directory).__enter__()
    assert process.poll() is None


def test_J10_what_a_killed_process_left_refuses_nobody(holder, directory):
    process = held(holder())
    process.kill()
    process.wait()
    assert json.loads(file_of(directory).read_text())[0] == process.pid
    with lock(directory):
        assert json.loads(file_of(directory).read_text())[0] == os.getpid()


@pytest.mark.parametrize("phoenix", [False, True])
def test_J10_a_stale_file_that_names_a_stranger_leaves_it_alone(directory, bystander, phoenix):
    with lock(directory):
        file = file_of(directory)
    file.write_text(json.dumps(service_lock._identity(bystander.pid)))
    with lock(directory, phoenix):
        pass
    assert bystander.poll() is None


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "{}", '["1", 2, "a", "b"]', "[-1, 2, 3, 4]", "\udcff" * 9999])
def test_J10_a_stale_file_with_anything_in_it_refuses_nobody(directory, text):
    with lock(directory):
        file = file_of(directory)
    file.write_text(text, errors="surrogateescape")
    with lock(directory, phoenix=True):
        assert json.loads(file.read_text())[0] == os.getpid()


def test_J10_phoenix_ends_the_holder_and_takes_its_place(holder, directory):
    process = held(holder())
    with lock(directory, phoenix=True):
        assert process.wait(20) == -signal.SIGTERM
        assert json.loads(file_of(directory).read_text())[0] == os.getpid()


def test_J10_phoenix_kills_a_holder_that_does_not_end(holder, directory, monkeypatch):
    monkeypatch.setattr(service_lock, "_PATIENCE_SECONDS", 1.5)
    process = held(holder("stubborn"))
    with lock(directory, phoenix=True):
        assert process.wait(20) == -signal.SIGKILL


def test_J10_phoenix_kills_a_holder_that_is_stopped(holder, directory, monkeypatch):
    monkeypatch.setattr(service_lock, "_PATIENCE_SECONDS", 1.5)
    process = held(holder())
    process.send_signal(signal.SIGSTOP)
    poll_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
    with lock(directory, phoenix=True):
        assert process.wait(20) == -signal.SIGKILL


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            lambda record: [record[0], record[1] + 1, *record[2:]], id="another start time: the number was reused"
        ),
        pytest.param(lambda record: [*record[:2], "another", record[3]], id="the machine was started anew"),
        pytest.param(lambda record: [*record[:3], "pid:[1]"], id="numbers of another container"),
        pytest.param(lambda record: [2**70, *record[1:]], id="no number of a process"),
        pytest.param(lambda record: [2**22 + 1, *record[1:]], id="a number that nobody has"),
    ],
)
def test_J10_phoenix_kills_nobody_where_the_record_is_not_of_that_process(holder, directory, change):
    process = held(holder())
    file = file_of(directory)
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(ConfigError, match="not certain as which process"):
        lock(directory, phoenix=True).__enter__()
    assert process.poll() is None


def test_J10_phoenix_kills_no_stranger_whose_name_is_in_the_file_of_a_live_lock(holder, directory, bystander):
    process = held(holder())
    file_of(directory).write_text(json.dumps(service_lock._identity(bystander.pid)))
    with pytest.raises(ConfigError, match=f"not certain as which process: process {bystander.pid}"):
        lock(directory, phoenix=True).__enter__()
    assert process.poll() is bystander.poll() is None


def test_phoenix_does_not_end_its_own_process(directory):
    with lock(directory), pytest.raises(ConfigError, match="not certain as which process"):
        lock(directory, phoenix=True).__enter__()


def test_a_holder_that_says_nothing_is_refused_all_the_same(holder, directory, monkeypatch):
    monkeypatch.setattr(service_lock, "_INTRODUCTION_SECONDS", 0.1)
    process = held(holder())
    file_of(directory).write_text("")
    with pytest.raises(ConfigError, match="is running already: it does not say which process it is"):
        lock(directory).__enter__()
    assert process.poll() is None


def test_J10_of_several_that_start_at_once_one_gets_the_lock(holder):
    said = {process.pid: process.stdout.readline().strip() for process in [holder() for _ in range(4)]}
    winners = [pid for pid, line in said.items() if line == "held"]
    assert len(winners) == 1
    assert sum(f": process {winners[0]};" in line for line in said.values()) == 3


def test_J10_of_several_phoenixes_at_once_one_gets_the_lock_in_the_end(holder, directory):
    first = held(holder())
    others = [holder("phoenix") for _ in range(3)]
    said = [process.stdout.readline().strip() for process in others]
    assert first.wait(20) == -signal.SIGTERM
    # One may have ended another that had the lock before it: the last one holds it.
    assert "held" in said
    assert sum(process.poll() is None for process, line in zip(others, said, strict=True) if line == "held") >= 1
    with pytest.raises(ConfigError, match="is running already"):
        lock(directory).__enter__()


def test_the_lock_is_free_after_its_use_and_its_file_names_nobody(directory):
    for _ in range(3):
        with lock(directory):
            assert file_of(directory).stat().st_mode & 0o777 == 0o600
        assert file_of(directory).read_text() == ""


def test_the_lock_is_free_after_an_exception(directory):
    with pytest.raises(LookupError), lock(directory):
        raise LookupError
    assert file_of(directory).read_text() == ""
    with lock(directory):
        pass


def test_a_child_does_not_inherit_the_lock(directory, processes):
    with lock(directory):
        child = processes(sys.executable, "-c", "import sys; sys.stdin.read()")
    with lock(directory):
        assert child.poll() is None


@pytest.mark.parametrize(("address", "port"), [("10.0.0.6", 7), ("10.0.0.5", 8), (None, 7), ("fe80::1%eth/0", 7)])
def test_each_address_and_port_has_its_lock(directory, address, port):
    with lock(directory), lock(directory, address=address, port=port):
        assert len(list(directory.glob("service-*.lock"))) == 2


def test_any_free_port_needs_no_lock(directory):
    with lock(directory, port=0), lock(directory, port=0):
        assert list(directory.iterdir()) == []


def test_a_directory_that_others_can_write_to_is_refused(directory):
    directory.chmod(0o777)
    with pytest.raises(ConfigError, match=r"not a directory of this user's alone.*TMPDIR"):
        lock(directory).__enter__()


def test_a_link_in_the_place_of_the_file_is_refused(directory, tmp_path):
    with lock(directory):
        file = file_of(directory)
    file.unlink()
    target = tmp_path / "target"
    target.write_text("mine")
    file.symlink_to(target)
    with pytest.raises(ConfigError, match="cannot open the lock"):
        lock(directory).__enter__()
    assert target.read_text() == "mine"
