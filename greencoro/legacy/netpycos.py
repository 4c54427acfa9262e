"""The module ``pycos.netpycos``: what pycos has, and the same between processes.

To import it makes ``pycos.Pycos`` the one that is here: from then on tasks have a place among peers.
"""

from __future__ import annotations

from greencoro.distributed.peer_status import PeerStatus

# Before the end of this, for to import it has asyncoro's scheduler run the coroutines of this process.
from greencoro.legacy import disasyncoro as disasyncoro
from greencoro.legacy import pycos, scheduler
from greencoro.legacy.pycos import *  # noqa: F403
from greencoro.legacy.pycos import MsgTimeout as MsgTimeout
from greencoro.legacy.pycos import __version__ as __version__
from greencoro.legacy.pycos_network import Pycos as Pycos  # type: ignore[assignment]
from greencoro.legacy.pycos_network import SysTask as SysTask
from greencoro.legacy.rps import RPS

__all__ = [*pycos.__all__, "RPS", "RTI", "PeerStatus"]

RTI = RPS

scheduler.current = Pycos
for _name, _thing in {"Pycos": Pycos, "SysTask": SysTask, "RPS": RPS, "RTI": RTI, "PeerStatus": PeerStatus}.items():
    setattr(pycos, _name, _thing)
