"""What one direction of a host's cable does to the frames on it."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field

_ETHERNET_BYTES = 14
_TCP, _UDP = 6, 17


@dataclass
class Cable:
    """The faults of one direction: probabilities a frame, seconds, bytes a second, frames.

    A frame that is corrupted has a wrong checksum and is dropped by its receiver; one that is tampered with has a right
    one, as only an attacker on the path can do.
    """

    loss: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0
    dup: float = 0.0
    reorder: float = 0.0
    reorder_by: float = 0.01
    corrupt: float = 0.0
    tamper: float = 0.0
    rate: float = 0.0
    #: Frames that may wait.
    limit: float = 1000

    last: float = field(default=0.0, init=False)
    free: float = field(default=0.0, init=False)
    queued: int = field(default=0, init=False)

    @property
    def is_clean(self) -> bool:
        faults = (self.loss, self.dup, self.reorder, self.corrupt, self.tamper, self.delay, self.jitter, self.rate)
        return not any(faults)

    def due(self, now: float, size: int, dice: random.Random) -> tuple[float, bool]:
        """When a frame of ``size`` bytes that enters now leaves, and whether it is overtaken by others."""
        due = now
        if self.rate:
            due = self.free = max(now, self.free) + size / self.rate
        if self.delay or self.jitter:
            due += max(0.0, self.delay + dice.uniform(-self.jitter, self.jitter))
        if self.reorder and dice.random() < self.reorder:
            return due + self.reorder_by, True
        # Jitter alone keeps the order.
        due = self.last = max(due, self.last)
        return due, False


def corrupt(frame: bytes, dice: random.Random) -> bytes:
    """The frame with a bit flipped behind its Ethernet header, and checksums that are wrong for it."""
    if len(frame) <= _ETHERNET_BYTES:
        return frame
    changed = bytearray(frame)
    changed[dice.randrange(_ETHERNET_BYTES, len(frame))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def tamper(frame: bytes, dice: random.Random) -> bytes:
    """The frame with one byte of its TCP or UDP payload changed, and the checksum made right; others as they are."""
    if frame[12:14] != b"\x08\x00" or len(frame) < 34:
        return frame
    head = _ETHERNET_BYTES + (frame[14] & 15) * 4
    total = _ETHERNET_BYTES + int(struct.unpack_from("!H", frame, 16)[0])
    protocol = frame[23]
    if protocol == _TCP:
        data, checksum_at = head + (frame[head + 12] >> 4) * 4, head + 16
    elif protocol == _UDP:
        data, checksum_at = head + 8, head + 6
    else:
        return frame
    if data >= total or total > len(frame):
        return frame
    changed = bytearray(frame)
    changed[dice.randrange(data, total)] ^= dice.randrange(1, 256)
    changed[checksum_at : checksum_at + 2] = b"\0\0"
    pseudo_header = bytes(changed[26:34]) + struct.pack("!BBH", 0, protocol, total - head)
    right = _checksum(pseudo_header + bytes(changed[head:total])) or 0xFFFF
    struct.pack_into("!H", changed, checksum_at, right)
    return bytes(changed)


def _checksum(data: bytes) -> int:
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
