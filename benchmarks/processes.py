"""A side's processes, ended for certain.

What a side starts may start others, in sessions of their own, and the one in the middle may die first. So this process
asks the kernel to be given such orphans: then everything a side left behind is a descendant, found and ended here.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_PR_SET_CHILD_SUBREAPER = 36

#: What ends by itself after its side may take this long.
GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Ending:
    """How a program ended.

    Attributes:
        code: Its exit code; negative: the number of the signal that ended it; None: it was stopped for its time was up.

        errors: What it wrote to stderr.

        left: The command line of each process that it left running; they were killed.
    """

    code: int | None
    errors: str
    left: tuple[str, ...]


@contextlib.contextmanager
def adopting_orphans() -> Iterator[None]:
    """Within the ``with`` statement this process becomes the parent of its descendants' orphans."""
    _set_subreaper(1)
    try:
        yield
    finally:
        _set_subreaper(0)


def _set_subreaper(flag: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, flag, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def run_to_its_end(command: Sequence[str], directory: Path, env: Mapping[str, str], timeout: float) -> Ending:
    """Run a program and everything that it starts; when this returns, or raises, none of it is left.

    Call it within `adopting_orphans`.

    Args:
        directory: Where it works; its output is kept there, in ``stdout`` and ``stderr``.

        timeout: Longest time, in seconds.
    """
    before = set(psutil.Process().children(recursive=True))
    code: int | None = None
    left: tuple[str, ...] = ()
    # Files and not pipes: a process that is left over would hold a pipe open.
    with (directory / "stdout").open("wb") as out, (directory / "stderr").open("wb") as err:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=directory, env=env, start_new_session=True
        )
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = child.wait(timeout)
        finally:
            if code is None:
                child.kill()
                child.wait()
            left = _end(before, GRACE_SECONDS if code is not None else 0.0)
    return Ending(code, (directory / "stderr").read_text(errors="replace"), left)


def _end(before: set[psutil.Process], grace: float) -> tuple[str, ...]:
    """Wait for the descendants that were not there ``before``; kill those that are left after ``grace`` seconds."""
    deadline = time.monotonic() + grace
    killed: dict[psutil.Process, str] = {}
    while left := [process for process in psutil.Process().children(recursive=True) if process not in before]:
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
                if process.status() == psutil.STATUS_ZOMBIE:
                    if process.ppid() == os.getpid():
                        os.waitpid(process.pid, 0)
                elif time.monotonic() >= deadline:
                    killed.setdefault(process, " ".join(process.cmdline()) or process.name())
                    process.kill()
        time.sleep(0.01)
    return tuple(killed.values())
