"""Removes directories that jobs have left, whatever those made of them, without anybody waiting for it."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from pathlib import Path

from greencoro.hub import native

__all__ = ["remove", "remove_later", "wait"]

_log = logging.getLogger(__name__)

_under_way: set[native.Thread] = set()


def remove(directory: Path) -> bool:
    """Remove it with everything in it; what cannot be removed is named once. Is it gone?"""
    shutil.rmtree(directory, ignore_errors=True)
    if os.path.lexists(directory):
        # Root needs that nowhere, and could be led elsewhere meanwhile by a link that a job's process has put there.
        if os.geteuid() != 0:
            _open_up(directory)
        errors: list[str] = []
        shutil.rmtree(directory, onerror=lambda function, path, info: errors.append(f"{path}: {info[1]}"))
        if os.path.lexists(directory):
            _log.warning("%s cannot be removed: %s", directory, errors[0] if errors else "something is put there again")
            return False
    return True


def remove_later(directory: Path) -> None:
    """Give its name away at once, and remove it in a thread of its own; where there is none, nothing."""
    aside = directory.with_name(f".{directory.name}.removed")
    try:
        directory.rename(aside)
    except FileNotFoundError:
        return
    except OSError as error:
        _log.debug("%s cannot be set aside: %s", directory, error)
        aside = directory

    def work() -> None:
        remove(aside)
        _under_way.discard(thread)

    thread = native.Thread(work, "greencoro-removal")
    _under_way.add(thread)
    try:
        thread.start()
    except RuntimeError:  # the system has no more of them
        work()


def wait() -> None:
    """Wait for all that was to be removed later."""
    for thread in tuple(_under_way):
        thread.join()


def _open_up(directory: Path) -> None:
    """Let its owner into every directory there; links are not followed."""
    with contextlib.suppress(OSError):
        os.chmod(directory, 0o700)
    for at, names, _ in os.walk(directory):
        for name in names:
            path = os.path.join(at, name)
            if not os.path.islink(path):
                with contextlib.suppress(OSError):
                    os.chmod(path, 0o700)
