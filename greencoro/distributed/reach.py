"""Which peers reach what is here: all of them, or those that have shown the reach key of a closed runtime.

The key is 16 random bytes that are made with the runtime and travel in references alone, to whoever is given one. Who
uses a reference shows its key on the link, before anything else that goes there because of it; to a peer that has not
shown it, on this very link, it is as if there were nothing here. A reference goes on working for whoever it is handed
on to, as the key goes with it.

Requests are heard whoever makes them; those that name something here by its number find nothing, and those that begin
or remove a file are refused. A key may be several runtimes' own (the servers of one computation): who sends a file
proves to have its own one to whoever may have the same, and shows it to nobody.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import TypeVar

from greencoro.distributed.dispatch import Dispatcher
from greencoro.distributed.link import Link
from greencoro.distributed.messages import Unlock, Unlocked
from greencoro.distributed.standing import MAX_SHOWN
from greencoro.hub import native

__all__ = ["Reach"]

Thing = TypeVar("Thing")
Number = TypeVar("Number")


class Reach:
    """Both sides of the reach keys of one runtime.

    Args:
        key (bytes): This runtime's; empty: it is open to all peers.

        on_taken: Called with a link, on the reactor, when its peer took a key: what it kept to itself can be found now.

    Attributes:
        refused (int): How often peers named something here, or looked for a name, without having shown the key.
    """

    def __init__(self, dispatcher: Dispatcher, key: bytes, on_taken: Callable[[Link], None]) -> None:
        self.key = key
        self.refused = 0
        self._on_taken = on_taken
        # Held for an addition.
        self._lock = native.Lock()
        dispatcher.register(Unlock, self._on_unlock)
        dispatcher.register(Unlocked, self._on_unlocked)

    # The side that is reached.

    def came(self, link: Link) -> None:
        """A peer came; on the reactor, before anything that it says is heard."""
        link.standing.is_let_in = not self.key

    def lets_in(self, link: Link) -> bool:
        """Does the peer find what is here? Where not, that is counted; any thread."""
        if link.standing.is_let_in:
            return True
        with self._lock:
            self.refused += 1
        return False

    def guard(self, find: Callable[[Number], Thing | None]) -> Callable[[Link, Number], Thing | None]:
        """``find(number)`` for what a peer names, that finds nothing for one that is not let in."""

        def found(link: Link, number: Number) -> Thing | None:
            return find(number) if self.lets_in(link) else None

        return found

    def is_own(self, key: bytes) -> bool:
        """Does a reference to something here carry the key that it has to?"""
        return not self.key or hmac.compare_digest(self.key, key)

    def _on_unlock(self, link: Link, message: Unlock) -> None:
        # Once: who shows it again has heard of that. And into an open runtime everybody was let before.
        if not link.standing.is_let_in and self.is_own(message.key):
            link.standing.is_let_in = True
            link.send_urgent(Unlocked(message.key).encode())

    def admit(self, link: Link, own: bytes, proof: bytes) -> None:
        """Let a peer in that has proved to have the key as well; on the reactor.

        Args:
            own (bytes): This runtime's incarnation.
        """
        if self.key and hmac.compare_digest(self.proof(link.info.incarnation, own), proof):
            link.standing.is_let_in = True

    # The side that reaches.

    def proof(self, prover: bytes, judge: bytes) -> bytes:
        """What one incarnation proves to another by that it has this runtime's key; it is of use between these two."""
        return hmac.digest(self.key, b"greencoro: has the reach key" + prover + judge, "sha256")

    def show(self, link: Link, key: bytes) -> None:
        """Show a key to the peer before all that is queued from now on; any thread."""
        shown = link.standing.shown
        if shown.get(key):
            return
        # Without a lock: of two threads that come at once each sends it, before anything of its own.
        shown.setdefault(key, False)
        # What did not exist without the key may exist with it.
        link.forget_gone()
        # It has no order to keep, so it waits for nothing there; and what is queued after it does not overtake it.
        link.send(None, Unlock(key).encode())
        shown[key] = True
        if len(shown) > MAX_SHOWN:
            for oldest in list(shown)[:-MAX_SHOWN]:
                shown.pop(oldest, None)

    def _on_unlocked(self, link: Link, message: Unlocked) -> None:
        standing = link.standing
        # The key is the peer's own affair, for references to what is there. That it was shown is no condition: of those
        # that were shown only the latest are remembered.
        if not standing.key:
            standing.key = message.key
            # What is said to be gone was said before that.
            link.forget_gone()
            self._on_taken(link)
