"""Which classes the references of a runtime have."""

from __future__ import annotations

from typing import NamedTuple

from greencoro.distributed.proxies import RemoteCoro
from greencoro.distributed.rci import RemoteRCI
from greencoro.distributed.remote_channel import RemoteChannel

__all__ = ["ReferenceClasses"]


class ReferenceClasses(NamedTuple):
    """What stands for coroutines, channels and RCIs of other processes; for a layer with methods of its own on them."""

    coro: type[RemoteCoro] = RemoteCoro
    channel: type[RemoteChannel] = RemoteChannel
    rci: type[RemoteRCI] = RemoteRCI
