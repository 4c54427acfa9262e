"""What a peer says of itself."""

from __future__ import annotations

from typing import NamedTuple

from greencoro.distributed.hello import Hello
from greencoro.distributed.location import Location

__all__ = ["PeerInfo", "PeerLimits"]


class PeerInfo(NamedTuple):
    """Who a peer is; ``role`` is its own word (`presence.ROLES`), not known before it is online."""

    location: Location
    name: str
    incarnation: bytes
    role: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.location})" if self.name != str(self.location) else str(self.location)


class PeerLimits(NamedTuple):
    """What a runtime takes from a peer; each tells the other in the handshake."""

    #: Messages, and their bytes, that may wait for one mailbox: the credit a sender begins with.
    max_queue_messages: int
    max_queue_bytes: int
    max_message_bytes: int

    @classmethod
    def of(cls, hello: Hello) -> PeerLimits:
        """Those that ``hello`` tells."""
        return cls(hello.max_queue_messages, hello.max_queue_bytes, hello.max_message_bytes)
