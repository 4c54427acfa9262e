"""Processes that a test stops, so that they are alive to the kernel and dead to everybody else."""

import os
import signal
from pathlib import Path

from tests.support.polling import poll_until


def stop(pid: int) -> None:
    """Send SIGSTOP; when this returns, none of the process's threads runs."""
    os.kill(pid, signal.SIGSTOP)
    await_stopped(pid)


def await_stopped(pid: int) -> None:
    """Wait until none of the process's threads runs."""
    # On a busy machine some go on, and answer, until the one that takes the signal has had its turn.
    poll_until(lambda: _states(pid) == {"T"}, 20, f"process {pid} has stopped", interval=0.001)


def _states(pid: int) -> set[str]:
    """Of its threads, as /proc has them; empty where one ends just now."""
    try:
        texts = [(each / "stat").read_text() for each in Path(f"/proc/{pid}/task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        return set()
    # The name, in parentheses, may contain anything.
    return {text.rpartition(")")[2].split()[0] for text in texts}
