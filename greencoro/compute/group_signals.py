"""Lets a process outlast the signal by which a whole group of processes is asked to end.

A service manager may send SIGTERM to every process of a service at once. What becomes of the servers is then up to
their daemon, which has got it too, and gives their jobs time.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

from greencoro.hub import native

__all__ = ["have_forked_end_as_usual", "outlast_sigterm"]

_SIGTERM = {signal.SIGTERM}

#: What is blocked in threads that fork just now.
_masks: dict[int, set[signal.Signals | int]] = {}


def outlast_sigterm() -> None:
    """Have SIGTERM come to nothing here, but not in the programs that this process starts; in the main thread."""
    # A handler, for what is ignored stays so in other programs.
    signal.signal(signal.SIGTERM, _go_on)


def have_forked_end_as_usual() -> None:
    """Have SIGTERM end what this process forks from now on, as `multiprocessing` wants it; a job's handler stays."""
    os.register_at_fork(before=_block, after_in_child=_end_as_usual, after_in_parent=_unblock)


def _go_on(number: int, frame: FrameType | None) -> None:
    pass


def _block() -> None:
    # One that comes before the child is ready for it would be lost.
    _masks[native.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGTERM)


def _end_as_usual() -> None:
    if signal.getsignal(signal.SIGTERM) is _go_on:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _unblock()


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.pop(native.get_ident()))
