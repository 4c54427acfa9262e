"""Child processes whose end any place can wait for.

The end shows by the process's own descriptor (``pidfd_open``, Linux 5.3), which needs no signal. gevent's way does: its
child watchers belong to the main thread's hub, so in a patched process ``subprocess.Popen``, which is gevent's there,
fails in a coroutine of another hub. That is why the original is kept here, and what waits for either kind.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Callable
from types import ModuleType
from typing import Any

import gevent
import gevent.os
from gevent import monkey

from greencoro.hub import native, userhub
from greencoro.hub.completion import Completion
from greencoro.hub.descriptors import left
from greencoro.hub.readiness import Readiness

__all__ = ["await_end", "original", "reap_later", "waitpid"]

# How often one looks where nothing tells: from .. to, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05


_waitpid: Callable[[int, int], tuple[int, int]] = monkey.get_original("os", "waitpid")
_gevents_waitpid: Callable[[int, int], tuple[int, int]] = gevent.os.waitpid


def _unpatched() -> ModuleType:
    if not monkey.is_module_patched("subprocess"):
        return subprocess
    # gevent takes out what the original class starts processes with, so it needs a module that nobody has patched.
    spec = importlib.util.find_spec("subprocess")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # It waits until the child has closed a pipe, and to that end closes its own end of it: at once, not when this hub
    # turns again.
    unpatched_os = ModuleType("os")
    vars(unpatched_os).update(vars(os))
    for name in ("close", "posix_spawn", "waitpid"):
        setattr(unpatched_os, name, monkey.get_original("os", name))
    vars(module)["os"] = unpatched_os
    # What it raises shall be what programs catch.
    for name in ("SubprocessError", "CalledProcessError", "TimeoutExpired"):
        setattr(module, name, getattr(subprocess, name))
    return module


#: The standard library's ``subprocess``, whatever was patched.
original: Any = _unpatched()


def await_end(process: Any, deadline: float | None) -> bool:
    """Wait until ``process`` is over, cooperatively where a hub turns in this thread; False at ``deadline``.

    Args:
        process: A ``Popen`` object, gevent's or the standard library's or ours. Its ``poll()`` is left knowing the end.
    """
    pause = _FIRST_PAUSE
    told = False
    while process.poll() is None:
        if left(deadline) == 0.0:
            return False
        told = told or _await_pidfd(process.pid, deadline)
        if told and process.poll() is None:
            # Somebody else took its status, a watcher of another hub perhaps, and will tell the object.
            Completion().wait(pause if deadline is None else min(pause, deadline - native.monotonic()))
            pause = min(2 * pause, _LONGEST_PAUSE)
    return True


def _await_pidfd(pid: int, deadline: float | None) -> bool:
    """Wait until no such process runs; False at ``deadline``."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        readiness = Readiness(pidfd)
        try:
            return readiness.wait_readable(left(deadline))
        finally:
            readiness.close()
    finally:
        native.close(pidfd)


def waitpid(pid: int, options: int) -> tuple[int, int]:
    """``os.waitpid`` that lets others run while it waits for one process; in place of gevent's, in a patched process.

    Raises:
        ChildProcessError: It is no child of this process, or its status was taken already.
    """
    try:
        if pid > 0 and options == 0:
            # Only for its exception, where it is nobody to wait for.
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            _await_pidfd(pid, None)
        return _waitpid(pid, options)
    except ChildProcessError:
        # It may be one that gevent started before it was replaced, whose status it has taken.
        return _gevents_waitpid(pid, options)


def reap_later(process: Any) -> None:
    """Have the user hub ask for the status of ``process`` once it is over, so that it does not stay as a zombie.

    For one whose waiter was thrown out of its wait; where no hub turns, nothing.
    """
    if userhub.is_started():
        userhub.post(_watch, process)


def _watch(process: Any) -> None:
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    watcher = gevent.get_hub().loop.io(pidfd, 1)

    def reap() -> None:
        watcher.stop()
        watcher.close()
        native.close(pidfd)
        process.poll()

    watcher.start(reap)
