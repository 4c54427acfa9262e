"""AsyncPipe: other programs, talked to through their pipes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Any, ClassVar

from greencoro.errors import DeadlineExceeded
from greencoro.hub.children import await_end
from greencoro.hub.descriptors import BLOCK, deadline_of
from greencoro.hub.files import AsyncFile, close_anywhere
from greencoro.hub.together import Together
from greencoro.hub.waiting import seconds

__all__ = ["AsyncPipe"]


class AsyncPipe:
    """A program, or a chain of programs, talked to through its pipes.

    ``AsyncPipe(process)`` is for one, ``AsyncPipe(first, last)`` for a chain that was made as the standard library's
    documentation has it: ``last = Popen(..., stdin=first.stdout, stdout=PIPE)``, with others between them where there
    are any (then close their ``stdout`` here yourself: a program hears that nobody reads it any more only when we do
    not keep its pipe either). What it does not have itself (``pid``, ``kill``, ``returncode`` …) is of the last one.

    Args:
        first: A ``Popen`` object: greencoro's, the standard library's or gevent's.

        last: Another one; None: ``first``.

    Bytes go in and out, whatever mode the process's own pipes are in.

    Attributes:
        first, last: The processes.

        stdin (AsyncFile | None): Of the first one; None where it was started without ``stdin=PIPE``.

        stdout, stderr (AsyncFile | None): Of the last one.

    Raises:
        TypeError: ``first`` or ``last`` is no ``Popen`` object.
    """

    # What the pipes are wrapped in.
    _files: ClassVar[type[AsyncFile]] = AsyncFile

    def __init__(self, first: Any, last: Any = None) -> None:
        self.first = first
        self.last = first if last is None else last
        for process in (self.first, self.last):
            if not all(hasattr(process, name) for name in ("pid", "poll", "stdin", "stdout", "stderr")):
                raise TypeError(f"AsyncPipe() takes Popen objects, not {process!r}")
        self.stdin = self._open(self.first.stdin)
        self.stdout = self._open(self.last.stdout)
        self.stderr = self._open(self.last.stderr)
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

    def _open(self, file: Any) -> AsyncFile | None:
        return None if file is None or file.closed else self._files.below(file)

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
            self.stdin.fileno()  # which says so
        if isinstance(input, str):
            input = input.encode()
        if isinstance(input, AsyncFile) or hasattr(input, "fileno"):
            self._input = input if isinstance(input, AsyncFile) else AsyncFile.below(input)
        else:
            self._unsent = _octets(input)

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


def _octets(data: Any) -> memoryview:
    try:
        return memoryview(data).cast("B")
    except TypeError as error:
        raise TypeError(f"communicate() takes bytes, text, an open file or an AsyncFile, not {data!r}") from error


def _piped(file: AsyncFile | None, name: str) -> AsyncFile:
    if file is None:
        raise ValueError(f"the process was started without {name}=PIPE")
    return file
