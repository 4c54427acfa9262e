"""What is sent to a server without an answer to be waited for."""

from __future__ import annotations

from collections.abc import Sequence

from greencoro.distributed.fields import Header
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.runtime import Runtime
from greencoro.errors import PeerLost

__all__ = ["post"]


def post(runtime: Runtime, to: PeerInfo, operation: str, header: Header, parts: Sequence[bytes] = ()) -> None:
    """Have a server do an operation; when this returns, that is queued.

    Raises:
        PeerLost: The server is gone.

        BusyResource: There was no room on the way to it for longer than ``send_timeout``, or at once where the caller
            may not wait.
    """
    if runtime.post(to, operation, header, parts) < 0:
        raise PeerLost(f"{to} is gone")
