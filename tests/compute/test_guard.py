import os
import signal
import subprocess
import sys
import threading

import psutil

from greencoro.compute import guard as guards
from greencoro.compute.guard import Guard
from tests.support.polling import poll_until

# A guard for two groups, one of which it is told to forget; then this process dies without a word.
OWNER = """
import os, signal, subprocess, sys
from greencoro.compute.guard import Guard

sleepers = [subprocess.Popen(["sleep", "60"], start_new_session=True) for _ in range(2)]
guard = Guard()
for sleeper in sleepers:
    guard.watch(sleeper.pid)
guard.forget(sleepers[1].pid)
print(sleepers[0].pid, sleepers[1].pid, guard.pid, flush=True)
sys.stdin.read()
"""


def runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_groups_are_killed_when_the_owner_dies():
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    watched, forgotten, guard = map(int, owner.stdout.readline().split())
    assert runs(watched) and runs(forgotten) and runs(guard)
    owner.kill()
    owner.wait()
    owner.stdin.close()
    owner.stdout.close()
    poll_until(lambda: not runs(watched) and not runs(guard))
    assert runs(forgotten)
    os.kill(forgotten, signal.SIGKILL)


def test_killed_guard_is_replaced():
    guard = Guard()
    first = guard._process
    first.kill()
    poll_until(lambda: not runs(first.pid))
    sleeper = subprocess.Popen(["sleep", "60"], start_new_session=True)
    guard.watch(sleeper.pid)
    guard.close()
    assert sleeper.wait(20) == -signal.SIGKILL


def test_close_without_groups_kills_nothing():
    guard = Guard()
    sleeper = subprocess.Popen(["sleep", "60"], start_new_session=True)
    guard.watch(sleeper.pid)
    guard.forget(sleeper.pid)
    guard.close()
    assert sleeper.poll() is None
    sleeper.kill()
    sleeper.wait()


def test_last_line_is_the_last_state_whichever_threads_tell(monkeypatch):
    guard = Guard()
    lines, writing, go_on = [], threading.Event(), threading.Event()

    def write(pipe, line):
        """Gives way to other threads before each line."""
        if threading.current_thread() is not threading.main_thread():
            writing.set()
            go_on.wait(20)
        lines.append(line)

    monkeypatch.setattr(guards.os, "write", write)
    guard.watch(1)
    ending = threading.Thread(target=guard.forget, args=(1,))
    ending.start()
    assert writing.wait(20)  # its line is made, and not written yet
    threading.Timer(0.05, go_on.set).start()
    guard.watch(2)
    ending.join()
    monkeypatch.undo()
    guard.close()
    assert lines == [b"1\n", b"\n", b"2\n"]
