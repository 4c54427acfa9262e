"""What a computation's status coroutine is told.

The numbers are those that old programs know; only their names should be relied on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["CoroInfo", "Status", "StatusCodes"]


class StatusCodes:
    """The values of `Status.status`, as attributes of whatever inherits from this."""

    #: A node daemon is in reach. `info`: its address, as text.
    NodeDiscovered = 1
    #: At least one server of the node is ready for jobs. `info`: the node's address.
    NodeInitialized = 2
    #: The node was given back. `info`: the node's address.
    NodeClosed = 3
    #: The node will not be used. `info`: the node's address.
    NodeIgnore = 4
    #: The node is gone. `info`: the node's address.
    NodeDisconnected = 5
    #: A server process is there. `info`: its `Location`.
    ServerDiscovered = 11
    #: A server has all components, so jobs can be run there. `info`: its `Location`.
    ServerInitialized = 12
    #: A server was given back. `info`: its `Location`.
    ServerClosed = 13
    #: A server could not be set up, so it will not be used. `info`: its `Location`.
    ServerIgnore = 14
    #: A server process died or cannot be reached any more. `info`: its `Location`.
    ServerDisconnected = 15
    #: A job was started. `info`: a `CoroInfo`.
    CoroCreated = 20
    #: The computation has its turn. `info`: the `Location` of the scheduler.
    ComputationScheduled = 23
    #: The computation is over. `info`: the `Location` of the scheduler.
    ComputationClosed = 25


_NAMES = {value: name for name, value in vars(StatusCodes).items() if isinstance(value, int)}


class _Status(NamedTuple):
    status: int
    info: Any


class Status(_Status, StatusCodes):
    """One message of the scheduler to a computation's status coroutine.

    Attributes:
        status (int): One of the constants of this class.

        info: What it is about; the constant says of which type.
    """

    __slots__ = ()

    @property
    def name(self) -> str:
        """The constant's name."""
        return _NAMES.get(self.status, str(self.status))

    def __repr__(self) -> str:
        return f"Status({self.name}, {self.info!r})"


class CoroInfo(NamedTuple):
    """What `Status.CoroCreated` tells of a job.

    Attributes:
        coro: Reference to the remote coroutine.

        args (tuple): Its arguments.

        kwargs (dict): Its keyword arguments.

        start_time (float): When it was created, in seconds since the epoch by the client's clock.
    """

    coro: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    start_time: float
