"""A keeper and what it keeps, as real processes; with a zygote they are in test_zygote_link."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.polling import poll_until

ROOT = Path(__file__).parents[2]
#: Its keeper is a child of the program; what follows is the server's.
HEAD = f"""
import os, resource, signal, subprocess, sys, time
sys.path.insert(0, {str(ROOT)!r})
from gevent import monkey
monkey.patch_signal()  # as it is in what servers are forked from
from greencoro.compute import lineage
from greencoro.compute.keeper import fork_kept

def as_orphan(function):
    between = os.fork()
    if between:
        os.waitpid(between, 0)
    else:
        os.fork() or function()
        os._exit(0)

parent = os.getpid()
most = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (most, most))
if child := os.fork():
    status = os.waitpid(child, 0)[1]
    print("ended", os.waitstatus_to_exitcode(status), os.WCOREDUMP(status), flush=True)
    os._exit(0)
extra = os.open(os.devnull, os.O_RDONLY)
keeper = fork_kept(parent, [extra])
lineage.end_with_parent(keeper)
print(os.getpid(), keeper, flush=True)
"""


class Kept:
    def __init__(self, code, directory):
        command = [sys.executable, "-c", HEAD + code]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, cwd=directory, text=True, **pipes)
        self.server, self.keeper = map(int, self.line().split())

    def line(self):
        return self.process.stdout.readline().strip()


@pytest.fixture
def keep(tmp_path):
    made = []

    def make(code):
        made.append(Kept(code, tmp_path))
        return made[-1]

    yield make
    for each in made:
        each.process.kill()
        each.process.stdin.close()
        each.process.stdout.close()
        each.process.wait()


def runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("code", [0, 7, 255])
def test_keeper_ends_with_the_exit_code_of_its_server(keep, code):
    assert keep(f"os._exit({code})").line() == f"ended {code} False"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGXCPU, 34], ids=str)
def test_keeper_ends_by_the_signal_of_its_server_and_leaves_no_core(keep, number):
    code = f"resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.kill(os.getpid(), {int(number)})"
    assert keep(code).line() == f"ended -{int(number)} False"


def test_what_outlives_its_parent_leaves_no_zombie(keep):
    kept = keep(
        """
for _ in range(5):
    as_orphan(lambda: print(os.getpid(), flush=True))
as_orphan(lambda: (print(os.getpid(), flush=True), sys.stdin.read()))
os.close(0)
time.sleep(600)
"""
    )
    orphans = [int(kept.line()) for _ in range(5)]
    lives = psutil.Process(int(kept.line()))
    poll_until(lambda: lives.ppid() == kept.keeper, 20)
    kept.process.stdin.close()
    poll_until(lambda: not any(map(psutil.pid_exists, [*orphans, lives.pid])), 20)
    assert [child.pid for child in psutil.Process(kept.keeper).children()] == [kept.server]


def test_what_a_server_waits_for_late_is_left_to_it(keep):
    kept = keep(
        """
children = [subprocess.Popen(["/bin/sh", "-c", f"exit {n}"]) for n in (3, 4)]
forked = os.fork() or os._exit(5)
print(*(child.pid for child in children), forked, flush=True)
sys.stdin.readline()
print(*(child.wait() for child in children), os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]), flush=True)
"""
    )
    children = [psutil.Process(int(pid)) for pid in kept.line().split()]
    poll_until(lambda: all(child.status() == psutil.STATUS_ZOMBIE for child in children), 20)
    kept.process.stdin.write("\n")
    kept.process.stdin.flush()
    assert kept.line() == "3 4 5"


def test_signals_to_the_group_are_not_for_the_keeper_nor_kept_from_the_server(keep):
    kept = keep(
        """
print(signal.pthread_sigmask(signal.SIG_BLOCK, ()), flush=True)
sys.stdin.read()
"""
    )
    assert kept.line() == "set()"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        os.kill(kept.keeper, number)
    kept.process.stdin.close()
    assert kept.line() == "ended 0 False"


def test_server_ends_with_its_keeper_and_both_with_who_has_started_them(keep):
    kept = keep("print(flush=True); time.sleep(600)")
    kept.line()
    kept.process.kill()
    poll_until(lambda: not runs(kept.keeper) and not runs(kept.server), 20)


def test_keeper_has_open_what_it_was_not_told_is_the_servers(keep):
    kept = keep("print(extra, flush=True); sys.stdin.read()")
    assert kept.line() in os.listdir(f"/proc/{kept.server}/fd")
    # And what shows the server's end.
    poll_until(lambda: opened_by(kept.keeper) == {0, 1, 2, "anon_inode:[pidfd]"}, 20)


def opened_by(pid):
    found = {int(number): os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")}
    return {number if number < 3 else file for number, file in found.items()}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("keeper._fork = lambda: os.open('/dev/full/none', 0)", "Not a directory"),
        ("resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))", "Too many open files"),
    ],
    ids=["fork", "pidfd"],
)
def test_where_the_system_refuses_a_process_or_its_descriptor_one_line_says_so_and_no_server_stays(
    tmp_path, fault, reason
):
    before, after = HEAD.split("extra = ")
    code = f"{before}import greencoro.compute.keeper as keeper\n{fault}\n" + after.partition("\n")[2].replace(
        "[extra]", "[]"
    )
    # Where there is one all the same, it is there for a while.
    command = [sys.executable, "-c", code + "time.sleep(100)"]
    ran = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True, timeout=30)
    assert ran.stderr.startswith("greencoro: this server could not be started: ") and reason in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert ran.stdout.splitlines()[-1] == "ended 1 False"
