"""The module ``asyncoro.disasyncoro``: what asyncoro has, and the same between processes.

To import it makes ``asyncoro.AsynCoro`` the one that is here: from then on coroutines have a place among peers.
"""

from __future__ import annotations

from greencoro.distributed.peer_status import PeerStatus as PeerStatus
from greencoro.legacy import asyncoro, scheduler
from greencoro.legacy.asyncoro import *  # noqa: F403
from greencoro.legacy.asyncoro import MsgTimeout as MsgTimeout
from greencoro.legacy.asyncoro import __version__ as __version__
from greencoro.legacy.network import AsynCoro
from greencoro.legacy.network import SysCoro as SysCoro
from greencoro.legacy.rci import RCI

__all__ = [*asyncoro.__all__, "RCI"]

#: Programs set it. What tells here that a peer is gone are heartbeats, so it makes no difference.
MaxConnectionErrors = 10

scheduler.current = AsynCoro
asyncoro.AsynCoro = AsynCoro  # type: ignore[misc]
asyncoro.SysCoro = SysCoro  # type: ignore[attr-defined]
