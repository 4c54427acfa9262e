"""The process that outlives a zygote by a moment, to kill the process groups of its servers.

A server is killed by the kernel when its zygote dies (PDEATHSIG), but what its jobs started is not, and a server whose
job holds the interpreter lock in C code cannot see to it. A shell of a few hundred kilobytes can: it reads the list of
groups at every change, and at end of file kills them.
"""

from __future__ import annotations

import os

from greencoro.compute.child import ChildProcess, start
from greencoro.hub import native

__all__ = ["Guard"]

_SCRIPT = """
cd /
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
        self._start()

    def _start(self) -> None:
        theirs, self._pipe = os.pipe()
        try:
            self._process: ChildProcess = start(["/bin/sh", "-c", _SCRIPT], theirs, {})
        except BaseException:
            native.close(self._pipe)
            raise
        finally:
            native.close(theirs)

    @property
    def pid(self) -> int:
        """Of the shell; another one where it had to be replaced."""
        return self._process.pid

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
        line = (" ".join(map(str, sorted(self._groups))) + "\n").encode()
        try:
            os.write(self._pipe, line)
        except BrokenPipeError:  # somebody killed it
            native.close(self._pipe)
            self._process.wait()
            self._start()
            os.write(self._pipe, line)

    def close(self) -> None:
        """End it; groups it was told of and not to forget are killed."""
        with self._lock:
            native.close(self._pipe)
            self._process.wait()
