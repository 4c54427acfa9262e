"""What children of these tests may do is confined, never what the tests themselves may."""

import json
import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from greencoro.compute.confinement import User, find_user, hand_over
from greencoro.errors import ConfigError

ROOT = Path(__file__).parents[2]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
NOBODY = User("nobody", 65534, 65534, (65534,), "/nonexistent")


def child(limits, body, user=None, before=""):
    """Run Python code in a child limited so."""
    program = "\n".join(
        [
            "import errno, json, os, resource, signal, sys",
            f"sys.path.insert(0, {str(ROOT)!r})",
            "from greencoro.compute.confinement import User, apply",
            "from greencoro.compute.limits import Limits",
            dedent(before),
            f"apply(Limits.parse({limits!r}), {user!r})",
            dedent(body),
        ]
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=170, cwd="/")


def printed(limits, body, user=None, before=""):
    result = child(limits, body, user, before)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_S17_a_child_has_its_limits_and_cannot_raise_them():
    limits = ["as=4GiB", "cpu=60", "nproc=4000", "fsize=1MiB"]
    body = """
        kinds = "AS", "CPU", "NPROC", "FSIZE"
        print(json.dumps([resource.getrlimit(getattr(resource, f"RLIMIT_{kind}")) for kind in kinds]))
    """
    assert printed(limits, body) == [[2**32, 2**32], [60, 61], [4000, 4000], [2**20, 2**20]]


def test_a_limit_never_raises_what_was_lower_before():
    before = "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 1000)); resource.setrlimit(resource.RLIMIT_CPU, (5, 10))"
    body = "print(json.dumps([resource.getrlimit(resource.RLIMIT_FSIZE), resource.getrlimit(resource.RLIMIT_CPU)]))"
    assert printed(["fsize=1M", "cpu=9"], body, before=before) == [[1000, 1000], [9, 10]]


def test_S17_too_much_memory_is_a_memory_error():
    body = """
        try:
            bytearray(2**30)
        except MemoryError:
            print(json.dumps("MemoryError"))
    """
    assert printed(["as=512M"], body) == "MemoryError"


def test_S17_a_file_that_grows_too_large_is_an_os_error(tmp_path):
    body = f"""
        try:
            with open({str(tmp_path / "file")!r}, "wb", buffering=0) as file:
                for _ in range(100):
                    file.write(bytes(1000))
        except OSError as error:
            print(json.dumps(errno.errorcode[error.errno]))
    """
    assert printed(["fsize=10k"], body) == "EFBIG"
    assert (tmp_path / "file").stat().st_size == 10 * 2**10


@pytest.mark.timeout(180)  # seconds of CPU time, on a machine that has others to do
def test_S17_too_much_cpu_time_ends_the_process():
    assert child(["cpu=1"], "while True: pass").returncode == -signal.SIGXCPU


@pytest.mark.timeout(180)
def test_S17_a_process_that_ignores_the_end_of_its_cpu_time_is_killed():
    assert (
        child(["cpu=1"], "signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass").returncode
        == -signal.SIGKILL
    )


@AS_ROOT
def test_S17_a_child_runs_as_the_user_and_cannot_go_back():
    body = """
        def refused(call):
            try:
                call()
            except PermissionError:
                return True
        print(json.dumps({
            "uids": os.getresuid(),
            "gids": os.getresgid(),
            "groups": os.getgroups(),
            "no way back": [
                refused(lambda: os.setuid(0)),
                refused(lambda: os.setgid(0)),
                refused(lambda: os.setgroups([0])),
                refused(lambda: os.kill(1, 0)),
            ],
        }))
    """
    assert printed([], body, NOBODY) == {
        "uids": [65534] * 3,
        "gids": [65534] * 3,
        "groups": [65534],
        "no way back": [True] * 4,
    }


@AS_ROOT
def test_S17_a_user_has_no_more_processes_than_allowed():
    # Nobody else uses this number.
    user = User("somebody", 54321, 54321, (54321,), "/")
    body = """
        started = 0
        try:
            while started < 50:
                pid = os.fork()
                if pid == 0:
                    signal.pause()
                started += 1
        except BlockingIOError:
            pass
        print(json.dumps(started), flush=True)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
    """
    assert printed(["nproc=3"], body, user, before="os.setpgid(0, 0)") == 2


def test_a_user_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="user 'no-such-user': there is none"):
        find_user("no-such-user")


@AS_ROOT
def test_a_user_of_this_machine_is_found_with_their_groups(monkeypatch):
    entry = pwd.getpwnam("daemon")
    user = find_user("daemon")
    assert (user.uid, user.gid, user.home) == (entry.pw_uid, entry.pw_gid, entry.pw_dir)
    assert set(user.groups) == set(os.getgrouplist("daemon", entry.pw_gid))


def test_only_root_can_name_a_user(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ConfigError, match="only root can start servers as another user"):
        find_user(pwd.getpwuid(0).pw_name)


@AS_ROOT
@pytest.mark.parametrize(("mode", "becomes"), [(0o700, 0o711), (0o750, 0o751), (0o1777, 0o1777)])
def test_S17_way_to_the_users_directory_is_opened_and_what_others_may_do_on_it_is_left_to_them(tmp_path, mode, becomes):
    named = tmp_path / "named"
    directory = named / "daemon" / "1"
    directory.mkdir(parents=True)
    directory.parent.chmod(0o700)
    named.chmod(mode)
    tmp_path.chmod(0o700)
    hand_over(directory, NOBODY)
    modes = [path.stat().st_mode & 0o7777 for path in (tmp_path, named, directory.parent)]
    assert modes == [0o700, becomes, 0o711]
    assert directory.stat().st_uid == NOBODY.uid
