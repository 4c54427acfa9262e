"""What the two sides of a file transfer say to each other, taken apart with care."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from greencoro.distributed.plain_names import is_plain
from greencoro.errors import RemoteProtocolError, TransferError

__all__ = [
    "CANCEL",
    "DATA",
    "DELETE",
    "DIGEST",
    "HAS_KEY",
    "NEWS",
    "OFFER",
    "RESERVED_PREFIX",
    "STILL_HERE",
    "Answer",
    "Offer",
    "Place",
    "Word",
    "busy_seconds",
    "read_answer",
    "read_digest",
    "read_number",
]

#: What a sender asks for.
OFFER, DATA, DIGEST, STILL_HERE, CANCEL, DELETE = (
    f"greencoro.file.{operation}" for operation in ("offer", "data", "digest", "still-here", "cancel", "delete")
)
#: What a receiver says to a sender.
NEWS = "greencoro.file.news"
#: Before those to one who may have the same reach key: that its sender has it.
HAS_KEY = "greencoro.file.has-key"

#: Files and directories whose names begin with this are the receiver's own.
RESERVED_PREFIX = ".greencoro-"
_BUSY_SECONDS = 0.5
_SHORTEST_BUSY_SECONDS = 0.05
_MAX_DEPTH = 64
_SHOWN = 200
_LONGEST_TIMEOUT = 86_400.0
_LAST = 2**63 - 1
_STAT_FIELDS = 10
_LONGEST_REASON = 1000


class Place(NamedTuple):
    """A file below the receiver's directory."""

    directory: tuple[str, ...]
    file: str

    def __str__(self) -> str:
        return "/".join((*self.directory, self.file))

    @classmethod
    def of(cls, header: Mapping[str, Any]) -> Place:
        """What a peer names.

        Raises:
            RemoteProtocolError: It is malformed.

            TransferError: It is no way to a file below a directory, or is one of the receiver's own.
        """
        directory, file = header.get("directory"), header.get("file")
        if (
            not isinstance(directory, list)
            or not isinstance(file, str)
            or not all(isinstance(word, str) for word in directory[: _MAX_DEPTH + 1])
        ):
            raise RemoteProtocolError("a file is named by a list of directories and its name")
        words = [*directory[: _MAX_DEPTH + 1], file]
        shown = "/".join(word[:_SHOWN] for word in words[:_MAX_DEPTH])[:_SHOWN]
        if len(words) > _MAX_DEPTH or not all(is_plain(word) for word in words):
            raise TransferError(f"{shown!r} is not a path inside dest_path")
        if any(word.startswith(RESERVED_PREFIX) for word in words):
            raise TransferError(f"{shown!r}: names that begin with {RESERVED_PREFIX!r} are taken")
        return cls(tuple(directory), file)


@dataclass(frozen=True)
class Offer:
    """A file that a sender has, and where it should go.

    Attributes:
        number (int): The sender's, for all that follows.

        mtime_ns (int): When it was last modified, in nanoseconds since 1970.

        mode (int): Its permissions; bits beyond 0o777 are dropped.

        timeout (float): Seconds without progress after which both sides give up.
    """

    number: int
    place: Place
    size: int
    mtime_ns: int
    mode: int
    overwrite: bool
    timeout: float

    def header(self) -> dict[str, Any]:
        """As it travels."""
        return {
            "transfer": self.number,
            "directory": list(self.place.directory),
            "file": self.place.file,
            "size": self.size,
            "mtime_ns": self.mtime_ns,
            "mode": self.mode,
            "overwrite": self.overwrite,
            "timeout": min(self.timeout, _LONGEST_TIMEOUT),
        }

    @classmethod
    def of(cls, header: Mapping[str, Any]) -> Offer:
        """What a peer offers.

        Raises:
            RemoteProtocolError: It is malformed.

            TransferError: It names no file that could be taken.
        """
        overwrite, timeout = header.get("overwrite"), header.get("timeout")
        if not isinstance(overwrite, bool):
            raise RemoteProtocolError(f"'overwrite' of an offer is {overwrite!r}")
        if (
            isinstance(timeout, bool)
            or not isinstance(timeout, int | float)
            or not (math.isfinite(timeout) and 0 < timeout <= _LONGEST_TIMEOUT)
        ):
            raise RemoteProtocolError(f"'timeout' of an offer is {timeout!r}")
        return cls(
            read_number(header, "transfer"),
            Place.of(header),
            read_number(header, "size"),
            read_number(header, "mtime_ns", lowest=-_LAST),
            read_number(header, "mode") & 0o777,
            overwrite,
            float(timeout),
        )


def read_number(header: Mapping[str, Any], name: str, lowest: int = 0) -> int:
    """A whole number that a peer gives.

    Raises:
        RemoteProtocolError: It is none, or one that no file system knows.
    """
    value = header.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= _LAST:
        raise RemoteProtocolError(f"{name!r} of a transfer is {str(value)[:100]!r}")
    return value


def read_digest(header: Mapping[str, Any]) -> str:
    """The digest that a peer gives: SHA-256 in hexadecimal digits.

    Raises:
        RemoteProtocolError: It is none.
    """
    value = header.get("digest")
    if not isinstance(value, str) or len(value) != 64:
        raise RemoteProtocolError("a transfer ends with a SHA-256 digest")
    return value


def busy_seconds(timeout: float) -> float:
    """Time between two words that somebody is still busy, where silence for ``timeout`` seconds ends the transfer."""
    return max(_SHORTEST_BUSY_SECONDS, min(_BUSY_SECONDS, timeout / 4))


class Answer(enum.Enum):
    """What a receiver answers to an offer."""

    #: Send the data.
    SEND = "send"
    #: What is here looks the same: let us compare digests.
    COMPARE = "compare"
    #: Another file is here, and it is not to be overwritten.
    DIFFERS = "differs"


class Word(NamedTuple):
    """What a receiver says of a transfer; one of these."""

    #: Bytes that are written.
    written: int | None
    #: It is comparing, or waits for its disk.
    is_busy: bool
    #: 0: saved; 1: the same file is there.
    result: int | None
    #: Another answer to the offer than the first.
    answer: Answer | None
    #: With `Answer.DIFFERS`: what is there.
    stat: list[Any]
    #: Why there will be no more.
    failed: str | None

    @classmethod
    def of(cls, header: Mapping[str, Any]) -> Word:
        """What a peer says; no larger than it has to be.

        Raises:
            RemoteProtocolError: It is malformed.
        """
        stat, failed = header.get("stat"), header.get("failed")
        return cls(
            read_number(header, "written") if "written" in header else None,
            "busy" in header,
            read_number(header, "result") if "result" in header else None,
            read_answer(header) if "do" in header else None,
            stat[:_STAT_FIELDS] if isinstance(stat, list) else [],
            str(failed)[:_LONGEST_REASON] if failed is not None else None,
        )


def read_answer(header: Mapping[str, Any]) -> Answer:
    """What a receiver answers to an offer.

    Raises:
        RemoteProtocolError: It is nothing that could be.
    """
    word = header.get("do")
    for answer in Answer:
        if answer.value == word:
            return answer
    raise RemoteProtocolError("the receiver answers an offer with something unknown")
