"""Popen: other programs, started from any place, whether the process is patched or not."""

from __future__ import annotations

import importlib
import io
import logging
import os
import subprocess
from types import TracebackType
from typing import TYPE_CHECKING, Any

import gevent.os
from gevent import monkey
from greenlet import GreenletExit

from greencoro.errors import DeadlineExceeded
from greencoro.hub import native
from greencoro.hub.children import await_end, original, reap_later, waitpid
from greencoro.hub.descriptors import deadline_of
from greencoro.hub.pipes import AsyncPipe
from greencoro.hub.waiting import seconds
from greencoro.hub.waiting_io import let_others_run

if TYPE_CHECKING:
    from subprocess import Popen as _Popen
else:
    _Popen = original.Popen

__all__ = ["Popen", "replace_gevents_subprocess"]

_log = logging.getLogger(__name__)

# What the standard library's asyncio reports in this case.
_UNKNOWN_STATUS = 255
# Its place among the arguments of `subprocess.Popen` that follow `bufsize`.
_PREEXEC_FN = 4


class Popen(_Popen):
    """``subprocess.Popen`` for coroutines: `wait`, `communicate` and its pipes let others run, wherever they are used.

    As a context manager it waits for the process's end, and kills it where the coroutine is being terminated. A child
    whose waiter was terminated is waited for in the background, so that it does not stay as a zombie.

    Args:
        args: The program with its arguments, or a command line where there is ``shell=True``.

        bufsize, more, kwargs: What else ``subprocess.Popen`` takes, apart from ``preexec_fn``.

    Raises:
        ValueError: There is a ``preexec_fn``.

        OSError: There is no such program, or it may not be run.
    """

    def __init__(self, args: Any, bufsize: int = -1, *more: Any, **kwargs: Any) -> None:
        if (more[_PREEXEC_FN] if len(more) > _PREEXEC_FN else kwargs.get("preexec_fn")) is not None:
            raise ValueError(
                "Popen() takes no preexec_fn: it would run Python in a fork of a process with several threads, whose "
                "locks may never be released there; see start_new_session, process_group, umask, user"
            )
        self._polling = native.Lock()
        self._pipe: AsyncPipe | None = None
        super().__init__(args, bufsize, *more, **kwargs)
        self.stdin = let_others_run(self.stdin, bufsize)
        self.stdout = let_others_run(self.stdout, bufsize)
        self.stderr = let_others_run(self.stderr, bufsize)

    def poll(self) -> int | None:
        """The exit status, None while it runs; negative is the signal that killed it."""
        # Where another thread is asking right now, the next call will know.
        if self.returncode is None and self._polling.acquire(False):
            try:
                self._look()
            finally:
                self._polling.release()
        return self.returncode

    def _look(self) -> None:
        if self.returncode is not None:
            return
        try:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            self.returncode = _UNKNOWN_STATUS
            _log.warning(
                "another part of this process took the exit status of process %d, which counts as %d now; "
                "gevent's own subprocess does that to all children",
                self.pid,
                _UNKNOWN_STATUS,
            )
        else:
            super().poll()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end.

        Returns:
            int: The exit status; negative is the signal that killed it.

        Raises:
            subprocess.TimeoutExpired: It was not over after ``timeout`` seconds (None: no limit).
        """
        deadline = deadline_of(seconds(timeout, "Popen.wait()"))
        try:
            over = await_end(self, deadline)
        except BaseException:
            # Perhaps nobody will ask any more.
            reap_later(self)
            raise
        if not over:
            assert timeout is not None
            raise original.TimeoutExpired(self.args, timeout)
        assert self.returncode is not None
        return self.returncode

    def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[Any, Any]:
        """Send all of ``input``, read all that comes back, and wait for the end, as `AsyncPipe.communicate`.

        Returns:
            tuple: What stdout and stderr brought, text where the pipe is a text file; None where it is no pipe.

        Raises:
            subprocess.TimeoutExpired: It was not over in time; a later call goes on.
        """
        if self._pipe is None:
            self._pipe = AsyncPipe(self)
        if isinstance(input, str) and isinstance(self.stdin, io.TextIOWrapper):
            input = input.encode(self.stdin.encoding, self.stdin.errors or "strict")
        try:
            out, err = self._pipe.communicate(input, timeout)
        except DeadlineExceeded:
            assert timeout is not None
            raise original.TimeoutExpired(self.args, timeout) from None
        return _as_text(out, self.stdout), _as_text(err, self.stderr)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and issubclass(kind, GreenletExit):
            self.kill()
        super().__exit__(kind, error, trace)


def _as_text(data: bytes | None, file: Any) -> Any:
    if data is None or not isinstance(file, io.TextIOWrapper):
        return data
    text = data.decode(file.encoding, file.errors or "strict")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def replace_gevents_subprocess() -> None:
    """In a patched process, let the names of ``subprocess`` stand for `Popen` and what is made of it.

    gevent's work in the main thread's hub only: in a coroutine of another hub their ``Popen`` raises TypeError after it
    has forked, and once it was used anywhere it takes the exit status of all children. So do their ``os.fork`` and
    ``os.posix_spawn``, which are replaced as well. Where nothing was patched, this does nothing.
    """
    if original is subprocess:
        return
    original.Popen = Popen
    original.CompletedProcess = subprocess.CompletedProcess
    # gevent.subprocess as well: a `run` that was imported from ``subprocess`` before looks `Popen` up there.
    theirs: Any = importlib.import_module("gevent.subprocess")
    if theirs.Popen is not _ForGeventsFunctions:
        _divert(theirs.Popen)
    for name in ("Popen", "run", "call", "check_call", "check_output"):
        setattr(subprocess, name, getattr(original, name))
        setattr(theirs, name, getattr(original, name))
    theirs.Popen = _ForGeventsFunctions
    # In place of gevent's, which watch each child they start by what only the main thread's hub has.
    os.posix_spawn = monkey.get_original("os", "posix_spawn")
    os.posix_spawnp = monkey.get_original("os", "posix_spawnp")
    os.waitpid = waitpid
    os.fork = gevent.os.fork_gevent
    os.forkpty = gevent.os.forkpty_gevent


class _ForGeventsFunctions(Popen):
    """What gevent's `call` and others make, which pass an argument of their own."""

    def wait(self, timeout: float | None = None, _raise_exc: bool = True) -> int:
        return super().wait(timeout)


def _divert(theirs: Any) -> None:
    """Let the class ``gevent.subprocess.Popen``, where a program holds it already, make objects of `Popen`."""
    set_up = theirs.__init__

    def make(cls: Any, /, *args: Any, **kwargs: Any) -> Any:
        # What is not of this class is not set up by it.
        return Popen(*args, **kwargs) if cls is theirs else object.__new__(cls)

    def refuse_elsewhere(self: Any, /, *args: Any, **kwargs: Any) -> None:
        if not gevent.get_hub().loop.default:
            raise RuntimeError(
                f"{type(self).__name__} is made of gevent's Popen, which starts programs in the main thread only; "
                "make it of greencoro.Popen"
            )
        set_up(self, *args, **kwargs)

    theirs.__new__ = make
    theirs.__init__ = refuse_elsewhere
