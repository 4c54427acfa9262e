"""Other programs, talked to through their pipes."""

from __future__ import annotations

import importlib
import io
import logging
import os
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

import gevent.os
from gevent import monkey
from greenlet import GreenletExit

from greencoro.errors import ClosedResource, DeadlineExceeded
from greencoro.hub import native
from greencoro.hub.children import await_end, original, reap_later, waitpid
from greencoro.hub.descriptors import BLOCK, deadline_of
from greencoro.hub.files import AsyncFile, close_anywhere
from greencoro.hub.together import Together
from greencoro.hub.waiting import seconds
from greencoro.hub.waiting_io import let_others_run

if TYPE_CHECKING:
    from subprocess import Popen as _Popen
else:
    _Popen = original.Popen

__all__ = ["AsyncPipe", "Popen", "replace_gevents_subprocess"]

_log = logging.getLogger(__name__)

# What the standard library's asyncio reports in this case.
_UNKNOWN_STATUS = 255
# Its place among the arguments of `subprocess.Popen` that follow `bufsize`.
_PREEXEC_FN = 4


class AsyncPipe:
    """A program, or a chain of programs, talked to through its pipes.

    ``AsyncPipe(process)`` is for one, ``AsyncPipe(first, last)`` for a chain that was made as the standard library's
    documentation has it: ``last = Popen(..., stdin=first.stdout, stdout=PIPE)``, with others between them where there
    are any (then close their ``stdout`` here yourself: a program hears that nobody reads it any more only when we do
    not keep its pipe either). What it does not have itself (``pid``, ``kill``, ``returncode`` …) is of the last one.

    Args:
        first: A ``Popen`` object: greencoro's, the standard library's or gevent's.

        last: Another one; None: ``first``.

    Attributes:
        stdin (AsyncFile | None): Of the first one; None where it was started without ``stdin=PIPE``.

        stdout, stderr (AsyncFile | None): Of the last one.

    Raises:
        TypeError: ``first`` or ``last`` is no ``Popen`` object.
    """

    def __init__(self, first: Any, last: Any = None) -> None:
        self.first = first
        self.last = first if last is None else last
        for process in (self.first, self.last):
            if not all(hasattr(process, name) for name in ("pid", "poll", "stdin", "stdout", "stderr")):
                raise TypeError(f"AsyncPipe() takes Popen objects, not {process!r}")
        self.stdin = _open(self.first.stdin)
        self.stdout = _open(self.last.stdout)
        self.stderr = _open(self.last.stderr)
        # Where the last one's stdin is ours too, the two are not connected by the system.
        if self.last is not self.first and self.first.stdout is not None and self.last.stdin is None:
            close_anywhere(self.first.stdout)
        # What an interrupted `communicate` had done by then.
        self._input: AsyncFile | None = None
        self._unsent = memoryview(b"")
        self._output: dict[str, bytes] = {}

    def write(self, buf: Any, full: bool = False, timeout: float | None = None) -> int:
        """Write to the first one's stdin, as `AsyncFile.write`.

        Raises:
            ValueError: It was started without ``stdin=PIPE``.
        """
        return _piped(self.stdin, "stdin").write(buf, full, timeout)

    def read(self, size: int = 0, timeout: float | None = None) -> bytes:
        """Read the last one's stdout, as `AsyncFile.read`."""
        return _piped(self.stdout, "stdout").read(size, timeout=timeout)

    def readline(self, size: int = 0, sizehint: int = 100, timeout: float | None = None) -> bytes:
        """Read a line of the last one's stdout, as `AsyncFile.readline`."""
        return _piped(self.stdout, "stdout").readline(size, sizehint, timeout)

    def read_stderr(self, size: int = 0, timeout: float | None = None) -> bytes:
        """Read the last one's stderr, as `AsyncFile.read`."""
        return _piped(self.stderr, "stderr").read(size, timeout=timeout)

    def readline_stderr(self, size: int = 0, sizehint: int = 100, timeout: float | None = None) -> bytes:
        """Read a line of the last one's stderr, as `AsyncFile.readline`."""
        return _piped(self.stderr, "stderr").readline(size, sizehint, timeout)

    def __iter__(self) -> Iterator[bytes]:
        return iter(_piped(self.stdout, "stdout"))

    def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[bytes | None, bytes | None]:
        """Send all of ``input``, read all that comes back, and wait for the last one's end.

        Both ways at once, so neither side waits for the other whatever the amounts. That the first one does not want
        all of ``input`` is no error. Closes the pipes and ``input``.

        Args:
            input: ``bytes`` (or another buffer), text (sent as UTF-8), an open file, or an `AsyncFile`. Of a file
                nothing is read any more once the programs are over.

            timeout (float | None): Longest wait, in seconds. ``None`` waits for ever.

        Returns:
            tuple: What stdout and stderr brought, each None where it is no pipe.

        Raises:
            DeadlineExceeded: It was not over in time. The programs go on, and nothing is lost: ``communicate()``, then
                without ``input``, goes on with the rest.

            ValueError: There is ``input``, and the first one was started without ``stdin=PIPE``; or the rest of an
                earlier one is still to be sent.
        """
        deadline = deadline_of(seconds(timeout, "AsyncPipe.communicate()"))
        self._accept(input)
        tasks: dict[str, Callable[[], object]] = {
            name: partial(self._collect, name, file)
            for name, file in (("stdout", self.stdout), ("stderr", self.stderr))
            if file is not None and name not in self._output
        }
        if self.stdin is not None and not self.stdin.closed:
            tasks["stdin"] = self._feed
        with Together(tasks) as together:
            for name in tasks:
                if name != "stdin":
                    together.wait_for(name, deadline)
            self._wait(deadline)
            if self._input is None or self.first.poll() is None:
                together.wait_for("stdin", deadline)
            together.raise_error("stdin")
        self.close()
        return self._output.get("stdout"), self._output.get("stderr")

    def poll(self) -> int | None:
        """The exit status of the last one, None while it runs; negative is the signal that killed it."""
        status: int | None = self.last.poll()
        return status

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the last one.

        Returns:
            int: Its exit status; negative is the signal that killed it.

        Raises:
            DeadlineExceeded: It was not over after ``timeout`` seconds (None: no limit).
        """
        return self._wait(deadline_of(seconds(timeout, "AsyncPipe.wait()")))

    def close(self) -> None:
        """Close the pipes and the rest of the input. The programs go on, as long as they can do without."""
        for file in (self.stdin, self.stdout, self.stderr, self._input):
            if file is not None:
                file.close()

    def __enter__(self) -> AsyncPipe:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "last":
            raise AttributeError(f"AsyncPipe has no {name!r}")
        return getattr(self.last, name)

    def __repr__(self) -> str:
        pids = dict.fromkeys((self.first.pid, self.last.pid))
        return f"<AsyncPipe {' … '.join(map(str, pids))}>"

    def _wait(self, deadline: float | None) -> int:
        if not await_end(self.last, deadline):
            raise DeadlineExceeded(f"process {self.last.pid} was not over in time")
        # Where it is over as well, it need not stay as a zombie.
        self.first.poll()
        status: int = self.last.returncode
        return status

    def _accept(self, input: Any) -> None:
        if input is None:
            return
        if self.stdin is None:
            raise ValueError("communicate() has input, but the process was started without stdin=PIPE")
        if self._unsent or self._input is not None:
            raise ValueError("communicate() goes on with the input of the call before: call it without any")
        if self.stdin.closed:
            raise ClosedResource("communicate() has input, but stdin was closed")
        if isinstance(input, str):
            input = input.encode()
        if isinstance(input, AsyncFile) or hasattr(input, "fileno"):
            self._input = input if isinstance(input, AsyncFile) else AsyncFile(input)
        else:
            self._unsent = memoryview(input).cast("B")

    def _collect(self, name: str, file: AsyncFile) -> None:
        self._output[name] = file.read()
        file.close()

    def _feed(self) -> None:
        assert self.stdin is not None
        try:
            while self._unsent or self._read_input():
                self._unsent = self._unsent[self.stdin.write(self._unsent) :]
        except (BrokenPipeError, ConnectionResetError):
            # It has enough, or is over; its output and status tell which.
            self._unsent = memoryview(b"")
        except Exception:
            # It shall not wait for more, nor we for its end.
            self.stdin.close()
            raise
        self.stdin.close()

    def _read_input(self) -> bool:
        if self._input is not None:
            self._unsent = memoryview(self._input.read(BLOCK))
        return bool(self._unsent)


def _open(file: Any) -> AsyncFile | None:
    return None if file is None or file.closed else AsyncFile(file)


def _piped(file: AsyncFile | None, name: str) -> AsyncFile:
    if file is None:
        raise ValueError(f"the process was started without {name}=PIPE")
    return file


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
