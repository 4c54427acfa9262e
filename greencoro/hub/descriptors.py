"""Bytes in and out of one open descriptor, whatever kind it is.

A pipe, socket or terminal is set to not block, and waited for by the hub that turns in the calling thread. A regular
file is always ready, so the system says, and its disk makes the caller wait all the same: where a hub turns its calls
are made by a thread of that hub's pool.

`O_NONBLOCK` belongs to the open file, which may be shared: with the shell a terminal came from, with a child, with
another descriptor of this process. So it is put back at the end, and looked at before each call, for somebody else may
have put it back meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gevent

from greencoro.errors import BusyResource, ClosedResource, DeadlineExceeded, WouldBlock
from greencoro.hub import native, socket_io
from greencoro.hub.completion import Completion
from greencoro.hub.endpoint import Endpoint
from greencoro.hub.execution import sleep
from greencoro.hub.readiness import Readiness, closed_here
from greencoro.hub.socket_io import Limit

__all__ = ["BLOCK", "Descriptor", "Wrapped", "deadline_of", "left", "open_descriptor"]

#: What is asked of the system at a time, in bytes: as much as a pipe of Linux holds.
BLOCK = 65536
# The most that a disk is told to write at a time: between two of these a caller's time is looked at.
_MOST_WRITTEN = 1 << 20
# After so many calls in a row that did not wait, others of the hub get a turn.
_CALLS_IN_A_ROW = 64


def deadline_of(timeout: float | None) -> float | None:
    """The moment on the clock of `native.monotonic` at which ``timeout`` seconds from now are over."""
    return None if timeout is None else native.monotonic() + timeout


def left(deadline: float | None) -> float | None:
    """What is left until ``deadline``, in seconds and never below 0."""
    return None if deadline is None else max(0.0, deadline - native.monotonic())


def open_descriptor(fd: int, let_go: Callable[[], object], owner: str) -> Descriptor:
    """The `Descriptor` for ``fd``; ``let_go()`` closes it, once nobody uses it any more.

    Args:
        owner (str): What users call the thing that it is a part of.

    Raises:
        ValueError: It is not open, or a directory.
    """
    try:
        mode = os.fstat(fd).st_mode
    except (OSError, OverflowError) as error:
        raise ValueError(f"{fd} is no open descriptor") from error
    if stat.S_ISDIR(mode):
        raise ValueError(f"descriptor {fd} is a directory, which has no bytes to read")
    # Without any type are those that only epoll is for: eventfd, timerfd and their like.
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd) or not stat.S_IFMT(mode):
        return Polled(fd, let_go, owner)
    return Disk(fd, let_go, owner)


class Descriptor(ABC):
    """One open descriptor, with at most one reader and one writer at a time, and closed when the last one is through.

    Whoever uses it calls `enter` before and `leave` after, so that its number is not given to another file meanwhile.

    Args:
        fd (int): Its number.

        let_go: Closes it; called once.

        owner (str): What users call the thing that it is a part of.

    Attributes:
        fd (int): Its number; see `number`.

        closed (bool): Was it closed? Those who use it at the moment may still be about to leave.

        owner (str): As given.
    """

    def __init__(self, fd: int, let_go: Callable[[], object], owner: str) -> None:
        self.fd = fd
        self.owner = owner
        self.closed = False
        self._let_go = let_go
        self._lock = native.RLock()
        self._users: set[object] = set()

    def number(self) -> int:
        """`fd`, as long as that is this file's.

        Raises:
            ClosedResource: It was closed.
        """
        if self.closed:
            raise closed_here(self.fd, self.owner)
        return self.fd

    def enter(self, user: object) -> None:
        """Begin to use it as ``user``: ``"read"`` or ``"write"``.

        Raises:
            ClosedResource: It was closed.

            BusyResource: Somebody else uses it in this way.
        """
        with self._lock:
            self.number()
            if user in self._users:
                raise BusyResource(f"somebody else waits to {user} descriptor {self.fd} already")
            self._users.add(user)

    def leave(self, user: object) -> None:
        """Undo `enter`."""
        with self._lock:
            self._users.discard(user)
            over = self.closed and not self._users
        if over:
            self._release()

    def close(self) -> None:
        """Wake those who wait, with `ClosedResource`; the last of them closes it. The second call does nothing."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
            over = not self._users
        self._wake()
        if over:
            self._release()

    def _release(self) -> None:
        self._let_go()

    @abstractmethod
    def read(self, size: int, deadline: float | None) -> bytes:
        """Up to about ``size`` bytes, waiting for the first; ``b""`` at the end.

        Raises:
            DeadlineExceeded: There was nothing in time; nothing is lost.
        """

    @abstractmethod
    def write(self, data: memoryview, deadline: float | None) -> int:
        """Write what the system takes at once, waiting for it to take any; how many bytes that was.

        Raises:
            DeadlineExceeded: It took none in time.
        """

    @abstractmethod
    def turn_back(self, unread: bytearray) -> None:
        """Before something is written: where reading and writing share a place in the file, go back by ``unread``."""

    @abstractmethod
    def _wake(self) -> None: ...


class Polled(Descriptor):
    """A descriptor that says when it is ready."""

    def __init__(self, fd: int, let_go: Callable[[], object], owner: str) -> None:
        super().__init__(fd, let_go, owner)
        self._readiness = Readiness(fd, owner)
        self._is_terminal = os.isatty(fd)
        self._calls = 0
        # Not yet: a pipe that is only handed on to a child must find it blocking there.
        self._put_back: Callable[[], object] | None = None

    def read(self, size: int, deadline: float | None) -> bytes:
        self._give_way()
        while True:
            self._do_not_block()
            try:
                return os.read(self.fd, size)
            except BlockingIOError:
                self._calls = 0
            except OSError as error:
                # What the master of a terminal reads once the other side is closed.
                if error.errno == errno.EIO and self._is_terminal:
                    return b""
                raise
            if not self._readiness.wait_readable(left(deadline)):
                raise DeadlineExceeded(f"nothing came from descriptor {self.fd} in time")

    def write(self, data: memoryview, deadline: float | None) -> int:
        self._give_way()
        while True:
            self._do_not_block()
            try:
                return os.write(self.fd, data)
            except BlockingIOError:
                self._calls = 0
            if not self._readiness.wait_writable(left(deadline)):
                raise DeadlineExceeded(f"descriptor {self.fd} took nothing in time")

    def turn_back(self, unread: bytearray) -> None:
        """What comes in has nothing to do with what goes out."""

    def _do_not_block(self) -> None:
        if not os.get_blocking(self.fd):
            return
        os.set_blocking(self.fd, False)
        if self._put_back is None:
            # The shell goes on with what it gave us, so there it is put back at the program's end at the latest.
            shared = self._is_terminal or self.fd <= 2
            self._put_back = weakref.finalize(self, _block, self.fd) if shared else partial(_block, self.fd)

    def _give_way(self) -> None:
        # Before the call: an exception thrown into the wait must not cost what was read.
        self._calls += 1
        if self._calls > _CALLS_IN_A_ROW:
            self._calls = 0
            if native.thread_hub() is not None:
                sleep(0)

    def _wake(self) -> None:
        self._readiness.close()

    def _release(self) -> None:
        if self._put_back is not None:
            self._put_back()
        super()._release()


def _block(fd: int) -> None:
    # Somebody else may have closed it: then there is nothing to put back.
    with contextlib.suppress(OSError):
        os.set_blocking(fd, True)


class Wrapped(Descriptor):
    """The descriptor of an `AsyncSocket`, with its TLS and what it has read ahead."""

    def __init__(self, endpoint: Endpoint, owner: str) -> None:
        super().__init__(endpoint.readiness.fd, endpoint.close, owner)
        self._endpoint = endpoint

    def read(self, size: int, deadline: float | None) -> bytes:
        endpoint = self._endpoint
        with self._in_our_words(deadline):
            endpoint.start_reading("read()")
            try:
                return endpoint.unread.take(size) or socket_io.receive(endpoint, size, Limit(False, left(deadline)))
            finally:
                endpoint.stop_reading()

    def write(self, data: memoryview, deadline: float | None) -> int:
        with self._in_our_words(deadline):
            endpoint = self._endpoint
            endpoint.start_writing("write()")
            try:
                return socket_io.transmit(endpoint, data, Limit(False, left(deadline)), whole=False)
            except (DeadlineExceeded, WouldBlock) as error:
                # What was encrypted counts as written.
                sent: int = getattr(error, "sent", 0)
                if not sent:
                    raise
                return sent
            finally:
                endpoint.stop_writing()

    def turn_back(self, unread: bytearray) -> None:
        """What comes in has nothing to do with what goes out."""

    def _wake(self) -> None:
        self._endpoint.close()

    @contextlib.contextmanager
    def _in_our_words(self, deadline: float | None) -> Iterator[None]:
        """Let a socket's errors read as those of the other kinds do."""
        try:
            yield
        except WouldBlock:
            # That a socket says where it was given no time at all; or a callback of the hub calls, which never has any.
            if left(deadline) == 0.0:
                raise DeadlineExceeded("the socket was not ready") from None
            raise
        except ClosedResource:
            if self.closed:
                raise closed_here(self.fd, self.owner) from None
            raise


class Disk(Descriptor):
    """A descriptor that makes the calling thread wait: a regular file, or a device that cannot be polled.

    Reading and writing share one place in the file, so at most one of them goes on at a time. What was asked of the
    disk by a caller that was terminated, or whose time was over, goes to the next one who reads.
    """

    def __init__(self, fd: int, let_go: Callable[[], object], owner: str) -> None:
        super().__init__(fd, let_go, owner)
        # What the disk was told to do by a caller who may be gone.
        self._reading: Completion | None = None
        self._writing: Completion | None = None
        try:
            os.lseek(fd, 0, os.SEEK_CUR)
        except OSError:
            self._has_place = False
        else:
            self._has_place = True

    def enter(self, user: object) -> None:
        super().enter("use" if user in ("read", "write") else user)

    def leave(self, user: object) -> None:
        super().leave("use" if user in ("read", "write") else user)

    def read(self, size: int, deadline: float | None) -> bytes:
        self._finish_writing(deadline)
        if self._reading is None:
            if native.thread_hub() is None:
                return os.read(self.fd, size)
            self._reading = self._start(os.read, size)
        if not self._reading.wait(left(deadline)):
            raise DeadlineExceeded(f"the disk did not read descriptor {self.fd} in time")
        done, self._reading = self._reading, None
        data: bytes = done.result()
        return data

    def write(self, data: memoryview, deadline: float | None) -> int:
        """As `Descriptor.write`, only that ``deadline`` does not count: what the disk was told, it does."""
        self._finish_writing(None)
        if native.thread_hub() is None:
            return os.write(self.fd, data)
        # A copy: the caller may be terminated, and go on to change what is being written.
        self._writing = self._start(os.write, bytes(data[:_MOST_WRITTEN]))
        return self._finish_writing(None)

    def _finish_writing(self, deadline: float | None) -> int:
        if self._writing is None:
            return 0
        if not self._writing.wait(left(deadline)):
            raise DeadlineExceeded(f"the disk did not write descriptor {self.fd} in time")
        done, self._writing = self._writing, None
        count: int = done.result()
        return count

    def turn_back(self, unread: bytearray) -> None:
        if self._reading is not None:
            unread += self.read(0, None)
        if unread and self._has_place:
            os.lseek(self.fd, -len(unread), os.SEEK_CUR)
            unread.clear()

    def _start(self, call: Callable[[int, Any], Any], argument: Any) -> Completion:
        """Begin ``call(fd, argument)`` in a thread of this thread's hub's pool."""
        done = Completion()
        # It uses the descriptor on its own account: its caller may be gone long before it is through.
        super().enter(done)
        try:
            gevent.get_hub().threadpool.spawn(self._run, done, call, argument)
        except BaseException:
            super().leave(done)
            raise
        return done

    def _run(self, done: Completion, call: Callable[[int, Any], Any], argument: Any) -> None:
        try:
            done.set(call(self.fd, argument))
        except OSError as error:
            done.fail(error)
        finally:
            super().leave(done)

    def _wake(self) -> None:
        with self._lock:
            running = [user for user in self._users if isinstance(user, Completion)]
        for done in running:
            done.fail(closed_here(self.fd, self.owner))
