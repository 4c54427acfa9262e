"""What a client and the servers of its computation say to each other around jobs.

::

    client                     server
    IsAssigned      -->                         the first thing that a server hears of its client; answered
    SetUp           -->                         with the components
                    <--        Printed          as jobs print
                    <--        LooksForNames    once, when a job looks for a name
    Siblings        -->                         the other servers; from then on each new one
    Piece           -->                         of what is too large for one message, or is scattered; each is answered
    Free            -->                         forget what was scattered

All servers of a computation have one reach key (`distributed.reach`), so that each can show it to the others, and
nobody else has it.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from greencoro.compute.output_book import Batch
from greencoro.compute.requirements import MAX_CHARACTERS, MAX_REQUIREMENTS
from greencoro.compute.words import Count, Hex, Number, OneOf, Switch, TextMap, Token, Word
from greencoro.distributed.location import Location
from greencoro.errors import RemoteProtocolError

__all__ = [
    "MAX_CONTENT_BYTES",
    "MAX_SIBLINGS",
    "Free",
    "IsAssigned",
    "LooksForNames",
    "Piece",
    "Printed",
    "Purpose",
    "SetUp",
    "Siblings",
    "reach_key",
]

#: Of a file, an object, or the arguments of one job.
MAX_CONTENT_BYTES = 1 << 30
_DIGEST_BYTES = 32
_REACH_BYTES = 16
#: In one word.
MAX_SIBLINGS = 500
_MAX_PLACE_CHARACTERS = 300


def reach_key(token: str) -> bytes:
    """The reach key of the servers of the computation with this token."""
    return hmac.digest(bytes.fromhex(token), b"greencoro: reach of the servers", hashlib.sha256)[:_REACH_BYTES]


@dataclass(frozen=True)
class IsAssigned(Word):
    """Does the server serve this computation? Answered when it does: from then on it takes in what is sent to it."""

    operation: ClassVar[str] = "server.is_assigned"

    token: Token = field(repr=False)


@dataclass(frozen=True)
class SetUp(Word):
    """Serve this client; the packages to install travel beside it.

    Attributes:
        reach (str): The reach key.

        output (bool): Tell the client what jobs print.

        requirements: Packages that the computation needs, as `requirements.Requirement.parse` takes each, with the
            version that the client has; empty where it has none.
    """

    operation: ClassVar[str] = "server.set_up"

    token: Token = field(repr=False)
    reach: Annotated[str, Hex(_REACH_BYTES)] = field(repr=False)
    output: Switch
    requirements: Annotated[Mapping[str, str], TextMap(MAX_REQUIREMENTS, MAX_CHARACTERS)] = field(default_factory=dict)


@dataclass(frozen=True)
class LooksForNames(Word):
    """Which other servers are there? `Siblings` says so, and says so of those to come."""

    operation: ClassVar[str] = "computation.looks_for_names"

    token: Token = field(repr=False)


@dataclass(frozen=True)
class Siblings(Word):
    """Other servers of the computation: locations by incarnation."""

    operation: ClassVar[str] = "server.siblings"

    token: Token = field(repr=False)
    servers: Annotated[Mapping[str, str], TextMap(MAX_SIBLINGS, _MAX_PLACE_CHARACTERS)]

    def checked(self) -> list[tuple[bytes, Location]]:
        """The servers.

        Raises:
            RemoteProtocolError: What stands for one does not.
        """
        try:
            return [(bytes.fromhex(id), Location.parse(at)) for id, at in self.servers.items()]
        except ValueError as error:
            raise RemoteProtocolError(f"a sibling that is none: {error}") from None


class Purpose(enum.Enum):
    """What a content is for."""

    #: A part of a package that comes later.
    PACKAGE = "package"
    #: The arguments of a job that comes next.
    ARGUMENTS = "arguments"
    #: Jobs have it as an argument.
    SCATTERED = "scattered"


@dataclass(frozen=True)
class Piece(Word):
    """Some of a content that is sent in pieces, beside this, one after another.

    Attributes:
        digest (str): SHA-256 of the whole.

        size (int): Bytes of the whole.

        offset (int): Bytes that came before.

        watch (int): Of arguments: those of the job of this watch; else 0.
    """

    operation: ClassVar[str] = "server.piece"

    token: Token = field(repr=False)
    digest: Annotated[str, Hex(_DIGEST_BYTES)]
    size: Annotated[int, Count(1, MAX_CONTENT_BYTES)]
    offset: Number
    purpose: Annotated[Purpose, OneOf(Purpose)]
    watch: Number = 0


@dataclass(frozen=True)
class Free(Word):
    """Forget what was scattered."""

    operation: ClassVar[str] = "server.free"

    token: Token = field(repr=False)
    digest: Annotated[str, Hex(_DIGEST_BYTES)]


class Printed:
    """What jobs printed."""

    operation: ClassVar[str] = "computation.printed"

    @staticmethod
    def to_header(token: str, batch: Batch) -> dict[str, Any]:
        """As it travels."""
        return {"token": token, **batch.to_wire()}
