"""The parent of one server process, which waits for everything that ends below the server.

What outlives its parent there becomes this process's child, so that it stays no zombie when it ends. The server could
not see to that: it cannot tell such a child from one whose status a job, or a library in C, is about to ask for.
"""

import contextlib
import os
import resource
import select
import signal
from collections.abc import Iterable
from typing import NoReturn

from gevent import monkey

from greencoro.compute import lineage
from greencoro.compute.fork_checks import check_can_fork
from greencoro.errors import LocalProtocolError
from greencoro.hub import native

__all__ = ["fork_kept"]

# gevent's would make a hub.
_fork = monkey.get_original("os", "fork")
_waitpid = monkey.get_original("os", "waitpid")
_poll = monkey.get_original("select", "poll")

#: How often to look for the end of a server that is traced, of which its parent hears nothing.
_TRACED_SECONDS = 1.0
#: What was killed because it may trace the server has so long to end.
_TRACER_SECONDS = 1.0
_LOOK_SECONDS = 0.005


def fork_kept(parent: int, own: Iterable[int]) -> int:
    """Fork the server, and go on in it; the calling process becomes its keeper, and ends as the server ends.

    Args:
        parent (int): The process that has started this one, and whose end is this one's, and the server's, too.

        own: Descriptors that are the server's alone.

    Returns:
        int: The keeper's process id.

    Where there can be no server, or no waiting for it, the process ends with 1 and a line on standard error.
    """
    lineage.end_with_parent(parent)
    lineage.adopt_orphans()
    lineage.show_name("greencoro-keep")
    keeper = os.getpid()
    # Both are of one group, and what is sent to that is for the server, or for what it has started.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        check_can_fork()
        server = _fork()
    except (OSError, LocalProtocolError) as error:
        _give_up(error)
    if server:
        for descriptor in own:
            native.close(descriptor)
        try:
            _wait_for(server)
        except OSError as error:
            os.kill(server, signal.SIGKILL)
            _waitpid(server, 0)
            _give_up(error)
        _end_as(_status_of(server))
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return keeper


def _give_up(error: Exception) -> NoReturn:
    # The server's last words, by which its end is explained.
    os.write(2, f"greencoro: this server could not be started: {error}\n".encode())
    os._exit(1)


def _wait_for(server: int) -> None:
    """Wait until it has ended, and meanwhile for every other child."""
    end = _poll()
    end.register(os.pidfd_open(server), select.POLLIN)
    while not end.poll(0):
        # It is blocked, so it waits for this. A handler would be gevent's, which needs a hub.
        signal.sigtimedwait({signal.SIGCHLD}, _TRACED_SECONDS)
        _wait_for_others(server)


def _wait_for_others(server: int) -> None:
    """Wait for all children that have ended, as long as it has not."""
    while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid != server:
        _waitpid(ended.si_pid, 0)


def _status_of(server: int) -> int:
    """How it has ended. What else it leaves falls to the zygote."""
    deadline = native.monotonic() + _TRACER_SECONDS
    while not (ended := _waitpid(server, os.WNOHANG))[0]:
        # Something traces it, which may be what it has left.
        for pid in lineage.children() - {server}:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if native.monotonic() > deadline:
            return signal.SIGKILL
        native.sleep(_LOOK_SECONDS)
    status: int = ended[1]
    return status


def _end_as(status: int) -> NoReturn:
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        # The server's memory has been saved, where that is wanted; this one's is of no use.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError, ValueError):  # SIGKILL, and what the C library keeps for itself
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {-code})
    os._exit(code & 0xFF)
