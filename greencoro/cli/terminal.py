"""Lines that are typed at a terminal, or come through a pipe, for a program that may be sent to the background."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator

from greencoro.hub import native

__all__ = ["is_in_foreground", "lines"]

#: In the background, how often to look whether the terminal is ours again.
_LOOK_SECONDS = 0.5
_READ_BYTES = 65536


def lines(descriptor: int) -> Iterator[str]:
    """What is written to a terminal or pipe, line by line, until its end; for a native thread that does nothing else.

    A process in the background that reads its terminal is stopped by the system, whole. Here only this thread waits,
    until the process is in the foreground again.
    """
    # The system does not stop whoever has this signal blocked: reading fails with EIO there.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTIN})
    begun = b""
    while True:
        try:
            data = os.read(descriptor, _READ_BYTES)
        except BlockingIOError:  # somebody who has the same terminal or pipe made it so
            native.sleep(_LOOK_SECONDS)
            continue
        except OSError as error:
            if error.errno == errno.EIO and _is_in_background(descriptor):
                native.sleep(_LOOK_SECONDS)
                continue
            return  # the terminal is gone
        *whole, begun = (begun + data).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
        if not data:
            if begun:
                yield begun.decode(errors="replace")
            return


def is_in_foreground(descriptor: int) -> bool:
    """Is it a terminal at which somebody types for this process?"""
    return os.isatty(descriptor) and not _is_in_background(descriptor)


def _is_in_background(descriptor: int) -> bool:
    try:
        return os.tcgetpgrp(descriptor) != os.getpgrp()
    except OSError:  # not this session's terminal: nobody else reads it
        return False
