"""A node daemon's way to its zygote, which starts the servers."""

from __future__ import annotations

import _socket
import array
import contextlib
import itertools
import logging
import os

from greencoro.compute.child import UNKNOWN_EXIT, Channel, ChildProcess, python, start
from greencoro.compute.death import Death, explain
from greencoro.compute.job_environment import job_environment
from greencoro.compute.launching import Launched, LaunchOrder, Outcome
from greencoro.compute.zygote_words import MAX_BYTES, TOO_MANY_FILES, Fork, Kill, NotStarted, Order, read_fate, to_bytes
from greencoro.hub import native

__all__ = ["ForkingLauncher"]

_log = logging.getLogger(__name__)

#: A process closes its files a moment before it has ended.
_DYING_SECONDS = 1.0
#: What a zygote that is told to end has for that; it takes less.
_END_SECONDS = 5.0
_LOOK_SECONDS = 0.002


class ForkingLauncher:
    """A `Launcher` whose processes are forked from one that has imported everything already.

    Args:
        first (tuple | None): That one, and the socket to it, where this process has forked it; None: it is started, as
            is the next one where it dies.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(self, first: tuple[ChildProcess, _socket.socket] | None = None) -> None:
        self._zygote = _Zygote(*(_start() if first is None else first))
        self._numbers = itertools.count(1)

    @property
    def pid(self) -> int:
        """The zygote's; another one where it had to be replaced."""
        return self._zygote.pid

    def launch(self, order: LaunchOrder) -> Launched:
        """See `Launcher`."""
        if self._zygote.has_ended:
            _log.warning("the process that starts the servers %s; another one takes its place", self._zygote.end())
            self._zygote = _Zygote(*_start())
        with contextlib.ExitStack() as undo, contextlib.ExitStack() as theirs:
            ended, fate = _pipe(undo, theirs)
            stderr, their_stderr = _pipe(undo, theirs)
            ours, channel = _socket.socketpair()
            theirs.callback(channel.close)
            undo.callback(ours.close)
            descriptors = [fate, channel.fileno(), their_stderr]
            if order.listener is not None:
                descriptors.append(order.listener)
            number = next(self._numbers)
            self._zygote.tell(Fork(number, order.slot, order.listener is not None), descriptors)
            undo.pop_all()
        return _Forked(self._zygote, number, Channel(ours.detach()), stderr, ended)

    def kill(self) -> None:
        """See `Launcher`."""
        self._zygote.kill()

    def close(self) -> None:
        """See `Launcher`."""
        self._zygote.close()


def _start() -> tuple[ChildProcess, _socket.socket]:
    control, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        return start(python("greencoro.compute.zygote"), theirs.fileno(), job_environment()), control
    except BaseException:
        control.close()
        raise
    finally:
        theirs.close()


class _Zygote:
    """One process, and the socket to it; methods are for any thread."""

    def __init__(self, process: ChildProcess, control: _socket.socket) -> None:
        self._lock = native.Lock()
        self._process = process
        self._control = control
        self.pid = process.pid

    @property
    def has_ended(self) -> bool:
        with self._lock:
            return self._process.poll() is not None

    def tell(self, order: Order, descriptors: list[int]) -> None:
        """Give an order.

        Raises:
            OSError: It is gone, or the system carries no more descriptors.
        """
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", descriptors))
        self._control.sendmsg([to_bytes(order)], [rights] if descriptors else [])

    def kill(self) -> None:
        """End it by force; the kernel and its guard end the servers with their groups."""
        with self._lock:
            self._process.kill()

    def end(self) -> str:
        """End it by force, if it has not ended; how it did, as `death.explain` says it."""
        with self._lock:
            self._process.kill()
            returncode = self._process.wait()
        return explain(Death(None if returncode == UNKNOWN_EXIT else returncode))

    def close(self) -> None:
        """Have it end by itself: everything that it has started ends first."""
        self._control.close()
        self.ends_within(_END_SECONDS)
        self.end()

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end; False where that has not come."""
        deadline = native.monotonic() + seconds
        while not self.has_ended:
            if native.monotonic() > deadline:
                return False
            native.sleep(_LOOK_SECONDS)
        return True


class _Forked:
    """What became of an order."""

    def __init__(self, zygote: _Zygote, number: int, channel: Channel, stderr: int, ended: int) -> None:
        self.channel = channel
        self.stderr = stderr
        self.ended = ended
        self._zygote = zygote
        self._number = number

    def kill(self) -> None:
        with contextlib.suppress(OSError):  # the zygote has ended: so has this, or it is about to
            self._zygote.tell(Kill(self._number), [])

    def collect(self) -> Outcome:
        fate = read_fate(os.read(self.ended, MAX_BYTES))
        native.close(self.ended)
        if fate is None:
            if not self._zygote.ends_within(_DYING_SECONDS):
                # There was not even room for the descriptor by which it would have said so.
                return Outcome(problem=TOO_MANY_FILES)
            return Outcome(cause=f"the process that had started it {self._zygote.end()}")
        if isinstance(fate, NotStarted):
            return Outcome(problem=fate.reason)
        if fate.left:
            _log.warning("a server has left processes that do not end when they are killed: %s", fate.left)
        return Outcome(fate.returncode, cpu_seconds=fate.cpu_seconds, peak_bytes=fate.peak_bytes)


def _pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[int, int]:
    """Both ends: this process's for reading, and the other one's."""
    reading, writing = os.pipe()
    ours.callback(native.close, reading)
    theirs.callback(native.close, writing)
    return reading, writing
