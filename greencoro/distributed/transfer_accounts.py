"""How much each peer has under way here, and on the disk."""

from __future__ import annotations

import hashlib

from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.transfer_plan import Limits, refusal
from greencoro.distributed.transfer_words import Place
from greencoro.errors import BusyResource, TransferError
from greencoro.hub import native

__all__ = ["Accounts"]

#: Transfers and removals of one peer at once.
_MAX_UNDER_WAY = 16
#: Those of all peers: each has a thread.
_MAX_IN_ALL = 64
#: Files whose owner is remembered. One that is forgotten counts for good: nobody gets its bytes back.
_MAX_PLACES = 65_536
#: Peers whose bytes are remembered; most of them are gone.
_MAX_PEERS = 10_000


class Accounts:
    """The accounts of all peers; any thread. Nothing here waits, nor looks at the disk.

    A peer has the bytes of the files that it saved and that are there still. Where one is on its way to a place, the
    larger of that and what the peer has there counts, so a file that replaces another needs no more room than it will
    have. That a peer is lost changes nothing: the same one may come again.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        # By incarnation: transfers and removals; bytes on the disk; places and sizes of what is on its way.
        self._under_way: dict[bytes, int] = {}
        self._in_all = 0
        self._kept: dict[bytes, int] = {}
        self._coming: dict[bytes, list[tuple[bytes, int]]] = {}
        # By place: whose file is there, and its size.
        self._owners: dict[bytes, tuple[bytes, int]] = {}
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
            if self._in_all >= _MAX_IN_ALL:
                raise BusyResource(f"{_MAX_IN_ALL} transfers of all peers together are under way already")
            self._in_all += 1
            self._under_way[peer.incarnation] = under_way + 1

    def end(self, peer: PeerInfo) -> None:
        """One of them is over."""
        with self._guard:
            self._in_all -= 1
            left = self._under_way.pop(peer.incarnation) - 1
            if left:
                self._under_way[peer.incarnation] = left

    def check_size(self, size: int) -> None:
        """Refuse a file that is too large whatever else is here.

        Raises:
            TransferError: It is.
        """
        _refuse(refusal(size, Limits(self._limits.max_file_size, 0), 0, 0, 0))

    def reserve(self, peer: PeerInfo, place: Place, size: int, free: int) -> None:
        """Count the bytes of a file that is to come, until `release`.

        Args:
            free (int): Bytes of the disk that are free.

        Raises:
            TransferError: They are beyond a limit.
        """
        key = _key(place)
        with self._guard:
            coming = self._coming.get(peer.incarnation, [])
            used = self._used(peer.incarnation, coming)
            after = self._used(peer.incarnation, [*coming, (key, size)])
            _refuse(refusal(size, self._limits, used, after, free))
            self._coming.setdefault(peer.incarnation, []).append((key, size))

    def release(self, peer: PeerInfo, place: Place, size: int) -> None:
        """What was reserved came, or will not come."""
        with self._guard:
            coming = self._coming[peer.incarnation]
            coming.remove((_key(place), size))
            if not coming:
                del self._coming[peer.incarnation]

    def placed(self, peer: PeerInfo, place: Place, size: int) -> None:
        """A file of the peer is there now, and whatever was there before is not; to be told in the order of that."""
        key = _key(place)
        with self._guard:
            self._disown(key)
            if not size:
                return
            # Taken out first: the oldest stands first.
            self._kept[peer.incarnation] = self._kept.pop(peer.incarnation, 0) + size
            if len(self._kept) > _MAX_PEERS:
                del self._kept[next(iter(self._kept))]
            self._owners[key] = peer.incarnation, size
            if len(self._owners) > _MAX_PLACES:
                del self._owners[next(iter(self._owners))]

    def removed(self, place: Place) -> None:
        """Nothing is there any more; whoever had it has room again."""
        with self._guard:
            self._disown(_key(place))

    def _disown(self, key: bytes) -> None:
        owner, size = self._owners.pop(key, (b"", 0))
        left = self._kept.get(owner, 0) - size
        if left > 0:
            self._kept[owner] = left
        else:
            self._kept.pop(owner, None)

    def _used(self, incarnation: bytes, coming: list[tuple[bytes, int]]) -> int:
        most: dict[bytes, int] = {}
        for key, size in coming:
            owner, kept = self._owners.get(key, (b"", 0))
            here = kept if owner == incarnation else 0
            most[key] = max(most.get(key, 0), size - here)
        return self._kept.get(incarnation, 0) + sum(most.values())


def _key(place: Place) -> bytes:
    """As long for a long name as for a short one, as so many are kept."""
    return hashlib.blake2b(str(place).encode(), digest_size=16).digest()


def _refuse(why: str | None) -> None:
    if why is not None:
        raise TransferError(why)
