"""The process that outlives a node daemon by a moment, to kill the process groups of its servers.

A server is killed by the kernel when its daemon dies (PDEATHSIG), but what its jobs started is not, and a server whose
job holds the interpreter lock in C code cannot see to it. A shell of a few hundred kilobytes can: it reads the list of
groups at every change, and at end of file kills them.
"""

from __future__ import annotations

import contextlib
import subprocess

from greencoro.hub import native

__all__ = ["Guard"]

_SCRIPT = """
while read -r line; do groups="$line"; done
for group in $groups; do kill -s KILL -- "-$group"; done 2>/dev/null
"""


class Guard:
    """Kills the process groups last told of when this process dies, however it does; for any thread.

    Raises:
        OSError: Here and in `watch` and `forget`: the shell could not be started.
    """

    def __init__(self) -> None:
        # Around change and line together: the last line that the shell reads is the last state there was.
        self._lock = native.Lock()
        self._groups: set[int] = set()
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            start_new_session=True,
        )

    def watch(self, group: int) -> None:
        """From now on ``group`` is killed at this process's end."""
        with self._lock:
            self._groups.add(group)
            self._tell()

    def forget(self, group: int) -> None:
        """``group`` is gone: call this before its number can be used again."""
        with self._lock:
            self._groups.discard(group)
            self._tell()

    def _tell(self) -> None:
        line = " ".join(map(str, sorted(self._groups))) + "\n"
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode())
        except BrokenPipeError:  # somebody killed it
            self._process.wait()
            self._process = self._start()
            assert self._process.stdin is not None
            self._process.stdin.write(line.encode())

    def close(self) -> None:
        """End it; groups it was told of and not to forget are killed."""
        with self._lock:
            assert self._process.stdin is not None
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            self._process.wait()
