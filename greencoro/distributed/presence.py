"""As what a runtime is met, and whom it wants to meet.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NOTHING_SPECIAL", "ROLES", "Presence"]

#: What a runtime can be for; the place of each is its number on the wire. The first: nothing that has a name.
ROLES = ("", "node", "server", "scheduler")
#: The role that all look for who look for one only.
_SOUGHT = "scheduler"

#: Beside the number of the role: those that are no schedulers are left alone.
_SCHEDULERS_ONLY = 0x80


@dataclass(frozen=True, slots=True)
class Presence:
    """What a runtime tells of itself to those that discovery brings to it. Its own word: it gives no rights.

    Raises:
        ValueError: There is no such role.

    Attributes:
        role (str): One of `ROLES`.

        schedulers_only (bool): It meets schedulers, and leaves all others alone.
    """

    role: str = ""
    schedulers_only: bool = False

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"role is one of {', '.join(map(repr, ROLES))}, not {self.role!r}")

    def meets(self, other: Presence) -> bool:
        """Are the two to meet where nobody named either? The answer is the same from both sides."""
        return self._wants(other) and other._wants(self)

    def _wants(self, other: Presence) -> bool:
        return not self.schedulers_only or other.role == _SOUGHT

    def encode(self) -> int:
        """The byte that stands for it."""
        return ROLES.index(self.role) | (_SCHEDULERS_ONLY if self.schedulers_only else 0)

    @classmethod
    def decode(cls, number: int) -> Presence:
        """Read what `encode` wrote.

        Raises:
            ValueError: It is anything else.
        """
        role = number & ~_SCHEDULERS_ONLY
        if role >= len(ROLES):
            raise ValueError(f"{number:#x} stands for no role")
        return cls(ROLES[role], bool(number & _SCHEDULERS_ONLY))


#: That of a runtime which says nothing of itself.
NOTHING_SPECIAL = Presence()
