"""What the decisions of a node daemon order its shell to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from greencoro.compute.node_words import (
    LeaseEnded,
    Pulsed,
    Released,
    ReserveAnswer,
    ServerDied,
    ServerDraining,
    ServerStarted,
)
from greencoro.distributed.location import Location

__all__ = [
    "Answer",
    "AnswerPulse",
    "Assign",
    "Drain",
    "EndServer",
    "Holder",
    "Identity",
    "Instruction",
    "StartServer",
    "Stopped",
    "Tell",
]


class Identity(NamedTuple):
    """Who a server process is."""

    incarnation: str
    location: Location
    name: str
    pid: int


class Holder(NamedTuple):
    """Who has a lease.

    Attributes:
        incarnation (str): Which runtime.

        link: What its words come by, and go; a link that breaks may be followed by another one.
    """

    incarnation: str
    link: Any


@dataclass(frozen=True)
class StartServer:
    """Start a process in the slot; `run` tells it from those before it."""

    slot: int
    run: int


@dataclass(frozen=True)
class EndServer:
    """End the slot's process and what it started; soon, if need be by force.

    Attributes:
        at_once (bool): It has no jobs that could want to clean up.
    """

    slot: int
    at_once: bool = False


@dataclass(frozen=True)
class Assign:
    """Hand the lease's token to the slot's process."""

    slot: int
    token: str


@dataclass(frozen=True)
class Drain:
    """Have the slot's process take no more jobs, and report when it has none left."""

    slot: int


@dataclass(frozen=True)
class Answer:
    """Answer a request of a holder, or of somebody who would like to be."""

    request: Any
    word: ReserveAnswer | Pulsed | Released


@dataclass(frozen=True)
class AnswerPulse:
    """Tell the lease's holder that it holds it, and what of the node is free."""

    request: Any


@dataclass(frozen=True)
class Tell:
    """Tell the lease's holder."""

    holder: Holder
    word: ServerStarted | ServerDraining | ServerDied | LeaseEnded


@dataclass(frozen=True)
class Stopped:
    """No process is left; the daemon may end."""


Instruction = StartServer | EndServer | Assign | Drain | Answer | AnswerPulse | Tell | Stopped
