"""What a node daemon and a server process of it say to each other, a line of JSON each.

The daemon's first line is `Configure`; the server answers `Ready`. From then on the daemon sends orders and the server
reports. A server runs what clients send it, so the daemon checks its reports as those of a peer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, TypeVar

from greencoro.compute.words import (
    At,
    Count,
    Hex,
    Incarnation,
    Listed,
    Name,
    Place,
    Reason,
    Switch,
    Table,
    Text,
    Token,
    Word,
)
from greencoro.distributed.location import Location
from greencoro.errors import RemoteProtocolError

__all__ = [
    "Assign",
    "Busy",
    "Configure",
    "CountJobs",
    "Drain",
    "Drained",
    "End",
    "EndMe",
    "Idle",
    "Jobs",
    "Order",
    "Ready",
    "Report",
    "read_configuration",
    "read_order",
    "read_report",
    "to_line",
]

_KEY_BYTES = 32
_MAX_PATH_CHARACTERS = 4096
_MAX_PEERS = 100_000
_MAX_LIMITS = 10
_MAX_LIMIT_CHARACTERS = 100

Path = Annotated[str, Text(_MAX_PATH_CHARACTERS)]


# The daemon's.


@dataclass(frozen=True)
class Configure(Word):
    """What a server needs to begin.

    Attributes:
        key (str): The derived key of the secret.

        port (int): To listen at; 0 for any.

        has_listener (bool): In place of `host` and `port` there is an open socket (`launching.LISTENER`), where the
            daemon accepts until `Assign`.

        settings: As `child.settings_as_json` makes it.

        log_level (int): What is shown of its log.

        limits: What it may use, as `Limits.parse` takes it.

        user (str | None): Name of the account that it runs under; None: the daemon's.

        forward_output (bool): Tell the client what jobs print.

    The others are parameters of `Runtime`.
    """

    operation: ClassVar[str] = "configure"

    key: Annotated[str, Hex(_KEY_BYTES)] = field(repr=False)
    host: Name | None
    port: Annotated[int, Count(0, 65535)]
    name: Name
    directory: Path
    settings: Annotated[Mapping[str, Any], Table()]
    log_level: Annotated[int, Count()]
    ext_ip_addr: Name | None = None
    certfile: Path | None = None
    keyfile: Path | None = None
    max_file_size: Annotated[int, Count()] | None = None
    discover_peers: Switch = False
    udp_port: Annotated[int, Count(0, 65535)] | None = None
    peers: Annotated[Sequence[Location], Listed(Place(), _MAX_PEERS)] = ()
    limits: Annotated[Sequence[str], Listed(Text(_MAX_LIMIT_CHARACTERS), _MAX_LIMITS)] = ()
    user: Name | None = None
    has_listener: Switch = False
    forward_output: Switch = True


@dataclass(frozen=True)
class Assign(Word):
    """Serve whoever shows this token."""

    operation: ClassVar[str] = "assign"

    token: Token = field(repr=False)


@dataclass(frozen=True)
class CountJobs(Word):
    """How many are there? `Jobs` is the answer."""

    operation: ClassVar[str] = "count"


@dataclass(frozen=True)
class Drain(Word):
    """Take no more jobs, and hand back those that have not begun; `Drained` says when there are none left."""

    operation: ClassVar[str] = "drain"


@dataclass(frozen=True)
class End(Word):
    """Let the jobs clean up for a moment, then end."""

    operation: ClassVar[str] = "end"


# The server's.


@dataclass(frozen=True)
class Ready(Word):
    """Who this server is, once it can be reached."""

    operation: ClassVar[str] = "ready"

    incarnation: Incarnation
    location: At
    name: Name
    pid: Annotated[int, Count(1)]


@dataclass(frozen=True)
class Jobs(Word):
    """Jobs that are not over."""

    operation: ClassVar[str] = "jobs"

    count: Annotated[int, Count()]


@dataclass(frozen=True)
class Busy(Word):
    """The first job after none runs."""

    operation: ClassVar[str] = "busy"


@dataclass(frozen=True)
class Idle(Word):
    """No job is left."""

    operation: ClassVar[str] = "idle"


@dataclass(frozen=True)
class Drained(Word):
    """No jobs are left, and no more are taken."""

    operation: ClassVar[str] = "drained"


@dataclass(frozen=True)
class EndMe(Word):
    """End this server by force: something here cannot be ended in any other way."""

    operation: ClassVar[str] = "end_me"

    reason: Reason


Order = Assign | CountJobs | Drain | End
Report = Ready | Jobs | Busy | Idle | Drained | EndMe

_ORDERS: dict[str, type[Order]] = {word.operation: word for word in (Assign, CountJobs, Drain, End)}
_REPORTS: dict[str, type[Report]] = {word.operation: word for word in (Ready, Jobs, Busy, Idle, Drained, EndMe)}

W = TypeVar("W", bound=Word)


def to_line(word: Configure | Order | Report) -> dict[str, Any]:
    """As it goes through a `child.Channel`."""
    return {"word": word.operation, **word.to_header()}


def read_configuration(line: Any) -> Configure:
    """What the daemon's first line says.

    Raises:
        RemoteProtocolError: It is no configuration.
    """
    return _read(line, {Configure.operation: Configure})


def read_order(line: Any) -> Order:
    """What the daemon wants.

    Raises:
        RemoteProtocolError: It is no order.
    """
    return _read(line, _ORDERS)


def read_report(line: Any) -> Report:
    """What the server says.

    Raises:
        RemoteProtocolError: It is no report.
    """
    return _read(line, _REPORTS)


def _read(line: Any, words: Mapping[str, type[W]]) -> W:
    operation = line.get("word") if isinstance(line, dict) else None
    word = words.get(operation) if isinstance(operation, str) else None
    if word is None:
        raise RemoteProtocolError("a line that says nothing known")
    return word.from_header(line)
