"""The listed ports of a node's servers.

The daemon opens them, and answers there itself while no server serves a computation: so where a firewall lets nothing
but these through, one of them is enough to find the node and to reserve it. With a computation a port is its server's.
Both have the same socket. Whoever connects while neither accepts is let in by the next one, so nobody is refused.
"""

from __future__ import annotations

import _socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from greencoro.distributed.location import Location
from greencoro.errors import ConfigError

if TYPE_CHECKING:
    from greencoro.distributed.listening import ListenerHandle
    from greencoro.distributed.runtime import Runtime

__all__ = ["SlotPorts"]

_BACKLOG = 1024


class SlotPorts:
    """Opens the ports; all methods are for the daemon's main thread.

    Args:
        host (str | None): Where to listen, as for Runtime(node=).

        ports: Of the slots in their order; none where each server takes any port that is free. Then there is nothing
            to do here, whatever is called.

    Raises:
        ConfigError: The host has no address here, or a port cannot be had; it is named.
    """

    def __init__(self, host: str | None, ports: Sequence[int]) -> None:
        self._sockets: dict[int, _socket.socket] = {}
        self._handles: dict[int, ListenerHandle] = {}
        if not ports:
            return
        # What a daemon without listed ports need not wait for before it starts its servers.
        from greencoro.distributed.options import addresses_of, hosts_of

        address = addresses_of(hosts_of(host, loopback_only=False))[0]
        try:
            for slot, port in enumerate(ports, 1):
                self._sockets[slot] = _listen(address, port)
        except OSError as error:
            self.close()
            place = Location(address, port)
            raise ConfigError(f"cannot listen at {place}: {error.strerror}; --tcp_ports lists the ports") from None

    def descriptor(self, slot: int) -> int | None:
        """Of the slot's socket, for its server; None where it takes any port."""
        found = self._sockets.get(slot)
        return None if found is None else found.fileno()

    def answer(self, runtime: Runtime) -> None:
        """Let in, at all ports, whoever looks for the daemon."""
        for slot, found in self._sockets.items():
            self._handles[slot] = runtime.add_listener(found.fileno())

    def hand_over(self, slot: int) -> None:
        """The port is the server's from now on."""
        if slot in self._handles:
            self._handles[slot].stop()

    def take_back(self, slot: int) -> None:
        """The server is gone, or serves nobody yet."""
        if slot in self._handles:
            self._handles[slot].start()

    def close(self) -> None:
        """Let go of them; the runtime has let go of its own part."""
        for found in self._sockets.values():
            found.close()
        self._sockets.clear()
        self._handles.clear()


def _listen(address: str, port: int) -> _socket.socket:
    # Not those of `socket`, which do not block where the standard library is patched.
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    made = _socket.socket(family, _socket.SOCK_STREAM)
    try:
        made.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        if family == _socket.AF_INET6:
            made.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
        made.bind((address, port))
        made.listen(_BACKLOG)
    except BaseException:
        made.close()
        raise
    return made
