"""Results of `os.stat` as they travel."""

from __future__ import annotations

import os
from typing import Any

from greencoro.errors import RemoteProtocolError

__all__ = ["pack", "unpack"]

_WHOLE = ("st_mode", "st_ino", "st_dev", "st_nlink", "st_uid", "st_gid", "st_size")
_TIMES = ("st_atime", "st_mtime", "st_ctime")


def pack(found: os.stat_result) -> list[int]:
    """As whole numbers, times in nanoseconds."""
    return [getattr(found, name) for name in (*_WHOLE, *(f"{time}_ns" for time in _TIMES))]


def unpack(fields: Any) -> os.stat_result:
    """What a peer packed.

    Raises:
        RemoteProtocolError: It is nothing of the kind.
    """
    if (
        not isinstance(fields, list)
        or len(fields) != len(_WHOLE) + len(_TIMES)
        or not all(isinstance(field, int) and -(2**63) <= field < 2**64 for field in fields)
    ):
        raise RemoteProtocolError("the stat of a file is ten whole numbers")
    times = {name: divmod(time, 10**9) for name, time in zip(_TIMES, fields[len(_WHOLE) :], strict=True)}
    # The first ten fields have whole seconds; the others are found by their names only.
    return os.stat_result(
        (*fields[: len(_WHOLE)], *(whole for whole, _ in times.values())),
        {name: whole + 1e-9 * rest for name, (whole, rest) in times.items()}
        | {f"{name}_ns": whole * 10**9 + rest for name, (whole, rest) in times.items()},
    )
