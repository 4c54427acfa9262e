"""The process that a node daemon's servers are forked from: ``python -m greencoro.compute.zygote``, or `fork_off`.

It has imported what a server needs, and does nothing but fork, end and wait: one thread, no hub, so that a child is
whole. What it forks is a server's `keeper`, which forks the server. It has a socket to the daemon (`zygote_words`), as
its standard input where it is started; end of file means that the daemon is gone, which ends all servers with what they
have started. What is left where a keeper has ended falls to this process, which is why that is found and killed
(`zygote_state`).

In the patched process everything here has to be the original: gevent's would make a hub.
"""

if __name__ == "__main__":
    import gc

    from greencoro.hub.patching import patch_all

    gc.disable()  # what is imported stays
    patch_all()

import _socket
import contextlib
import fcntl
import gc
import os
import select
import signal
import sys
from collections.abc import Iterable
from typing import NamedTuple, NoReturn

from gevent import monkey

from greencoro._preload import preload
from greencoro.compute import lineage, server_process
from greencoro.compute.child import Channel, ChildProcess
from greencoro.compute.fork_checks import check_can_fork
from greencoro.compute.group_signals import outlast_sigterm
from greencoro.compute.guard import Guard
from greencoro.compute.keeper import fork_kept
from greencoro.compute.launching import LISTENER
from greencoro.compute.zygote_state import End, Instruction, ZygoteState
from greencoro.compute.zygote_words import MAX_BYTES, TOO_MANY_FILES, Fate, Fork, NotStarted, Over, read_order, to_bytes
from greencoro.errors import LocalProtocolError
from greencoro.hub import native

__all__ = ["Newborn", "Zygote", "fork_off"]

_fork = monkey.get_original("os", "fork")
_poll = monkey.get_original("select", "poll")

_MOST_DESCRIPTORS = 4
_DESCRIPTOR_BYTES = 4
#: Above those with a meaning of their own.
_FIRST_FREE = 10
#: After the daemon's end: what has not ended by then is left to the guard.
_LAST_SECONDS = 1.5
#: How soon one looks again whether those that were killed have ended, and those of them that did not in time.
_LOOK_SECONDS = 0.005
_SELDOM_SECONDS = 1.0
_KIB = 1024


class Newborn(NamedTuple):
    """What a process that was just forked goes on with.

    Attributes:
        channel (Channel): To the daemon.

        parent (int): The keeper.
    """

    channel: Channel
    parent: int


class Zygote:
    """Does what the daemon orders.

    Args:
        control (int): Descriptor of the socket to the daemon, which is closed at the end.
    """

    def __init__(self, control: int) -> None:
        self._control = control
        self._state = ZygoteState()
        self._guard = Guard()
        #: Where to tell of each server.
        self._fates: dict[int, int] = {}
        #: Servers by the descriptors that show their end.
        self._watched: dict[int, int] = {}
        self._poll = _poll()
        self._poll.register(control, select.POLLIN)

    def run(self) -> Newborn | None:
        """Serve until the daemon is gone.

        Returns:
            Newborn | None: In a server, which goes on from here; None in the zygote, once nothing is left.
        """
        while True:
            for descriptor, _ in self._poll.poll(self._until_due()):
                if descriptor != self._control:
                    self._bury(descriptor)
                elif (packet := self._receive()) is None:
                    self._end()
                    return None
                elif (newborn := self._obey(*packet)) is not None:
                    return newborn
            self._look()

    def _until_due(self, at_most: float | None = None) -> float | None:
        """Milliseconds."""
        now = native.monotonic()
        look_at = now + _LOOK_SECONDS if self._state.orphans else None
        look_seldom_at = now + _SELDOM_SECONDS if self._state.left else None
        dues = [due for due in (self._state.next_due_at(), look_at, look_seldom_at, at_most) if due is not None]
        return max(0.0, min(dues) - now) * 1000 if dues else None

    def _receive(self) -> tuple[bytes, list[int]] | None:
        """One order with its descriptors; None where the daemon is gone."""
        # An object of the moment: in a child its end would close the number that has become another file's by then.
        control = _socket.socket(fileno=self._control)
        try:
            data, ancillary, _, _ = control.recvmsg(
                MAX_BYTES, _socket.CMSG_SPACE(_MOST_DESCRIPTORS * _DESCRIPTOR_BYTES), _socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionError:
            return None
        finally:
            control.detach()
        descriptors: list[int] = []
        for level, kind, content in ancillary:
            if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
                whole = len(content) - len(content) % _DESCRIPTOR_BYTES
                descriptors += memoryview(content)[:whole].cast("i").tolist()
        return (data, descriptors) if data else None

    def _obey(self, data: bytes, descriptors: list[int]) -> Newborn | None:
        order = read_order(data)
        if not isinstance(order, Fork):
            self._carry_out(self._state.kill(order.number))
            return None
        try:
            if len(descriptors) != 3 + order.has_listener:
                # The kernel drops what there is no room for.
                raise OSError(TOO_MANY_FILES)
            parent = os.getpid()
            pid = self._fork(order.number)
        except (OSError, LocalProtocolError) as error:
            if descriptors:
                _tell(descriptors[0], NotStarted(str(error)))
                descriptors = descriptors[1:]
        else:
            if pid == 0:
                own = _settle(*descriptors[1:])
                keeper = fork_kept(parent, own)
                lineage.show_name(f"greencoro-{order.slot}")
                return Newborn(Channel(own[0]), keeper)
            self._fates[order.number] = descriptors[0]
            descriptors = descriptors[1:]
        for descriptor in descriptors:
            native.close(descriptor)
        return None

    def _fork(self, number: int) -> int:
        check_can_fork()
        pid: int = _fork()
        if pid:
            with contextlib.ExitStack() as undo:
                undo.callback(os.waitid, os.P_PID, pid, os.WEXITED)
                undo.callback(os.kill, pid, signal.SIGKILL)
                self._guard.watch(pid)
                undo.callback(self._guard.forget, pid)
                self._watch(pid)
                undo.pop_all()
            self._state.forked(number, pid)
        return pid

    def _watch(self, pid: int) -> None:
        descriptor = os.pidfd_open(pid)
        self._watched[descriptor] = pid
        self._poll.register(descriptor, select.POLLIN)

    def _unwatch(self, descriptor: int) -> None:
        del self._watched[descriptor]
        self._poll.unregister(descriptor)
        native.close(descriptor)

    def _bury(self, descriptor: int) -> None:
        """A server has ended."""
        pid = self._watched[descriptor]
        # While the dead leader still holds its number. What goes on forking could outrun one who kills the processes
        # one by one; any other is found as a child, too.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        with contextlib.suppress(OSError):  # the guard cannot be started again; the group is gone in any case
            self._guard.forget(pid)
        self._unwatch(descriptor)
        self._state.ended(pid, native.monotonic())
        # Before it is waited for, which comes to nothing while something traces it: that may be what it leaves.
        self._see_what_is_left()

    def _look(self) -> None:
        """Do what is due."""
        # By looking again and again: of these there may be more than descriptors.
        ended = [self._wait_for(pid) for pid in self._state.orphans | self._state.left]
        if any(ended):
            self._see_what_is_left()
        self._carry_out(self._state.due(native.monotonic()))

    def _wait_for(self, pid: int) -> bool:
        """Wait for a child, if it has ended: has it?"""
        waited_for, status, usage = os.wait4(pid, os.WNOHANG)
        if waited_for:
            cpu_seconds = usage.ru_utime + usage.ru_stime
            over = Over(os.waitstatus_to_exitcode(status), cpu_seconds, usage.ru_maxrss * _KIB)
            self._state.waited_for(pid, over)
        return bool(waited_for)

    def _see_what_is_left(self) -> None:
        self._carry_out(self._state.left_behind(lineage.children() - {self._guard.pid}, native.monotonic()))

    def _carry_out(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            if isinstance(instruction, End):
                # Nobody else waits for children here, so the number is still that child's. One that has become another
                # user's, as by sudo, is told of as left.
                with contextlib.suppress(PermissionError):
                    os.kill(instruction.pid, signal.SIGKILL)
            else:
                _tell(self._fates.pop(instruction.number), instruction.word)

    def _end(self) -> None:
        """The daemon is gone."""
        self._poll.unregister(self._control)
        native.close(self._control)
        deadline = native.monotonic() + _LAST_SECONDS
        self._carry_out(self._state.kill_all())
        while not self._state.is_alone and native.monotonic() < deadline:
            for descriptor, _ in self._poll.poll(self._until_due(deadline)):
                self._bury(descriptor)
            self._look()
        self._guard.close()


def _tell(fate: int, word: Fate) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody wants to know
        os.write(fate, to_bytes(word))
    native.close(fate)


def _settle(channel: int, stderr: int, listener: int | None = None) -> list[int]:
    """Make the process that was just forked one that has nothing of the zygote's open.

    Returns:
        list: The server's own descriptors, the channel first.
    """
    os.setsid()
    # Out of the way of the numbers that they take.
    channel = fcntl.fcntl(channel, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
    os.dup2(stderr, 2)
    own = [channel]
    if listener is not None:
        listener = fcntl.fcntl(listener, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
        os.dup2(listener, LISTENER, inheritable=False)
        own.append(LISTENER)
    _close_all_but(own)
    return own


def _close_all_but(own: Iterable[int]) -> None:
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor > 2 and descriptor not in own:
            with contextlib.suppress(OSError):  # that by which they were listed
                native.close(descriptor)


def fork_off() -> tuple[ChildProcess, _socket.socket]:
    """Have this process's zygote, where this is patched, has one thread and no hub, and is about to be a node daemon.

    The environment is to be that of jobs (`job_environment`), and standard input nothing that anybody reads. The zygote
    has nothing else of this process's open, and never returns from here.

    Returns:
        tuple: It, and the socket to it.

    Raises:
        LocalProtocolError: This process cannot be forked; it says why.

        OSError: The system has no room for it.
    """
    _prepare()
    control, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        check_can_fork()
        pid: int = _fork()
    except BaseException:
        control.close()
        theirs.close()
        raise
    if pid == 0:
        os.setsid()
        # By their numbers, which are soon those of others: none of these objects may close one once more.
        control.detach()
        own = theirs.detach()
        _close_all_but([own])
        del sys.argv[1:]  # they were the daemon's, and jobs look at these
        _serve(own)
    theirs.close()
    return ChildProcess(pid), control


def _main() -> None:
    # Not to be inherited by what this process starts, and nothing that anybody reads by mistake.
    control = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    native.close(nothing)
    _prepare()
    _serve(control)


def _prepare() -> None:
    """Have everything imported, for good."""
    preload()
    # A collection that writes into what is there now would give each server a copy of its own. There is hardly anything
    # to be collected, and to look for that would take as long as a tenth of the imports.
    gc.freeze()
    gc.enable()


def _serve(control: int) -> NoReturn:
    """Be the zygote, from here to its end or a server's."""
    outlast_sigterm()  # as the servers do from the first moment
    lineage.show_name("greencoro-fork")
    lineage.adopt_orphans()
    newborn = Zygote(control).run()
    if newborn is not None:
        server_process.main(newborn.channel, newborn.parent)
    sys.exit()


if __name__ == "__main__":
    _main()
