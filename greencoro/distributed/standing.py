"""What each side of a link may name of what is at the other: all of it, or nothing before it has shown a key."""

from __future__ import annotations

__all__ = ["MAX_SHOWN", "Standing"]

#: So many keys that were shown on a link are remembered; to show one again is harmless.
MAX_SHOWN = 100


class Standing:
    """See the module; `reach.Reach` changes it.

    Attributes:
        is_let_in (bool): Does the peer find what is here?

        shown (dict): The keys that are shown to the peer, the oldest first, and whether that is queued.

        key (bytes): The one of these that it took; empty where it took none, which an open runtime never does.
    """

    __slots__ = ("is_let_in", "key", "shown")

    def __init__(self) -> None:
        self.is_let_in = False
        self.key = b""
        self.shown: dict[bytes, bool] = {}
