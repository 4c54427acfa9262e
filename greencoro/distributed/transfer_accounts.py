"""How much each peer has under way here, and on the disk."""

from __future__ import annotations

from greencoro.distributed.link import PeerInfo
from greencoro.distributed.transfer_plan import Limits, refusal
from greencoro.errors import BusyResource, TransferError
from greencoro.hub import native

__all__ = ["Accounts"]

#: Transfers and removals of one peer at once.
_MAX_UNDER_WAY = 16


class Accounts:
    """The accounts of all peers; any thread. Nothing here waits, nor looks at the disk."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        # By incarnation: transfers and removals; bytes that came or are to come, less bytes that were removed.
        self._under_way: dict[bytes, int] = {}
        self._used: dict[bytes, int] = {}
        self._guard = native.Lock()

    def begin(self, peer: PeerInfo) -> None:
        """Count a transfer or a removal.

        Raises:
            BusyResource: There are too many.
        """
        with self._guard:
            under_way = self._under_way.get(peer.incarnation, 0)
            if under_way >= _MAX_UNDER_WAY:
                raise BusyResource(f"{_MAX_UNDER_WAY} transfers of this peer are under way already")
            self._under_way[peer.incarnation] = under_way + 1

    def end(self, peer: PeerInfo) -> None:
        """One of them is over."""
        with self._guard:
            left = self._under_way.pop(peer.incarnation) - 1
            if left:
                self._under_way[peer.incarnation] = left

    def reserve(self, peer: PeerInfo, size: int, free: int) -> None:
        """Count the bytes of a file that is to come.

        Args:
            free (int): Bytes of the disk that are free.

        Raises:
            TransferError: They are beyond a limit.
        """
        with self._guard:
            used = self._used.get(peer.incarnation, 0)
            why = refusal(size, self._limits, used, free)
            if why is not None:
                raise TransferError(why)
            self._used[peer.incarnation] = used + size

    def give_back(self, peer: PeerInfo, size: int) -> None:
        """Bytes did not come after all, or are gone."""
        with self._guard:
            left = self._used.pop(peer.incarnation, 0) - size
            if left > 0:
                self._used[peer.incarnation] = left

    def forget(self, peer: PeerInfo) -> None:
        """It is lost, and what it left belongs to nobody who could come again."""
        with self._guard:
            self._used.pop(peer.incarnation, None)
