"""asyncoro's locations, in which host names are looked up."""

from __future__ import annotations

import socket
from typing import Any

from greencoro.distributed import location

__all__ = ["Location"]


class _LocationType(type):
    def __call__(cls, host: str, tcp_port: int | str) -> location.Location:
        # Two are the same if they are written the same, so all are of one class.
        is_address = ":" in host or host.replace(".", "").isdigit()
        return location.Location(host if is_address else socket.gethostbyname(host), int(tcp_port))

    def __instancecheck__(cls, thing: Any) -> bool:
        return isinstance(thing, location.Location)


class Location(location.Location, metaclass=_LocationType):
    """The place of a process among its peers: ``addr`` and ``port``, and ``addr:port`` as text.

    Args:
        host (str): An address, or a name, which is looked up.

        tcp_port (int | str): A number, or its digits.

    Raises:
        socket.gaierror: There is no such host.
    """

    __slots__ = ()
