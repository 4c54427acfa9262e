"""Credit: how much one runtime may have under way to one mailbox of another.

The receiver grants, the sender uses up. `Outflow` is the sender's side, `Inflow` the receiver's. Each number has one
writer: the senders (under their link's lock) count what they sent, the reactor what was granted. Each receiver has a
window of its own, which the sender learns in the handshake.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

from greencoro.distributed.waiters import Waiters
from greencoro.errors import RemoteProtocolError

__all__ = ["Inflow", "Outflow", "Unread"]

#: Of so many mailboxes it is remembered what may wait there from links that are lost.
_MAX_UNREAD = 10_000


class Outflow:
    """What may still be sent to one mailbox.

    While less than a quarter of the window is under way, a message of any size may go: grants come a quarter at a time
    (`Inflow.taken`), so a large message that waited for more than that could wait for ever.
    """

    __slots__ = (
        "_assumed_bytes",
        "_assumed_messages",
        "granted_bytes",
        "granted_messages",
        "sent_bytes",
        "sent_messages",
        "waiters",
        "window_bytes",
        "window_messages",
    )

    def __init__(self, messages: int, size: int) -> None:
        self.window_messages = messages
        self.window_bytes = size
        self.granted_messages = messages
        self.granted_bytes = size
        self.sent_messages = 0
        self.sent_bytes = 0
        self._assumed_messages = 0
        self._assumed_bytes = 0
        #: Called, and taken out, by the reactor when more was granted or the target is gone.
        self.waiters = Waiters()

    def renew(self, messages: int, size: int) -> bool:
        """Take over the window of a receiver that was not known so far; False where it is smaller than what was sent.

        Nothing has gone yet, so nothing was granted.
        """
        if self.sent_messages > messages or (size < self.window_bytes and self.sent_bytes > size):
            return False
        self.window_messages = messages
        self.window_bytes = size
        self.granted_messages = messages - self._assumed_messages
        self.granted_bytes = size - self._assumed_bytes
        return True

    @property
    def unread(self) -> tuple[int, int]:
        """Messages and bytes that may wait to be read, whatever link they went over; never fewer than do."""
        messages = self.sent_messages - self.granted_messages + self.window_messages
        return max(0, messages), max(0, self.sent_bytes - self.granted_bytes + self.window_bytes)

    @property
    def unconfirmed_messages(self) -> int:
        """How many were sent, and are not known to have been read; never fewer than those that were not.

        What was read and not granted again yet (less than a quarter of the window, see `Inflow.taken`) counts as well.
        """
        # A receiver that grants more than it was sent makes up for nothing elsewhere. And what is owed from before
        # (`owe`) was not sent here.
        return max(0, min(self.sent_messages, self.sent_messages - self.granted_messages + self.window_messages))

    def take(self, size: int) -> bool:
        """Use credit for one message of ``size`` bytes; False (and nothing is used) where it does not suffice."""
        if self.sent_messages >= self.granted_messages:
            return False
        under_way = self.sent_bytes - self.granted_bytes + self.window_bytes
        if under_way + size > self.window_bytes and under_way * 4 >= self.window_bytes:
            return False
        self.sent_messages += 1
        self.sent_bytes += size
        return True

    def take_or_wait(self, size: int, waiter: Callable[[], object] | None) -> bool:
        """As `take`; where there is not enough, ``waiter`` is called when more came."""
        return self.take(size) or self.waiters.has_or_wait(lambda: self.take(size), waiter)

    def untake(self, size: int) -> None:
        """Give the credit of a message back that was withdrawn before it went; called by senders."""
        self.sent_messages -= 1
        self.sent_bytes -= size

    def grant(self, messages: int, size: int) -> None:
        """More credit came from the receiver."""
        self.granted_messages += messages
        self.granted_bytes += size
        self.waiters.wake()

    def assume(self, messages: int, size: int) -> None:
        """So much at most that was sent over earlier links is not read yet; holds until `owe` says how much it is.

        Without it whoever is connected anew, again and again, would send full windows to one who reads nothing.
        """
        self._assumed_messages = messages
        self._assumed_bytes = size
        self.granted_messages -= messages
        self.granted_bytes -= size

    def owe(self, messages: int, size: int) -> None:
        """So much that was sent over earlier links is not read yet: until it is, as much less may be sent here."""
        self.granted_messages += self._assumed_messages - messages
        self.granted_bytes += self._assumed_bytes - size
        self._assumed_messages = self._assumed_bytes = 0
        self.waiters.wake()

    def owe_what_was_said(self) -> None:
        """The receiver has said all it had to say about earlier links."""
        if self._assumed_messages or self._assumed_bytes:
            self.owe(0, 0)


class Unread:
    """What may wait to be read at each incarnation (`Outflow.unread`) since earlier links, as far as is remembered.

    Where it was forgotten, an honest sender may be cut off, if connections break before the receiver is heard.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[bytes, Mapping[int, tuple[int, int]]] = OrderedDict()
        self._count = 0

    def remember(self, incarnation: bytes, unread: Mapping[int, tuple[int, int]]) -> None:
        """A link with ``incarnation`` was lost; ``unread`` by mailbox. One thread."""
        self._count -= len(self._held.pop(incarnation, ()))
        if unread:
            self._held[incarnation] = unread
            self._count += len(unread)
        while self._count > _MAX_UNREAD:
            self._count -= len(self._held.popitem(last=False)[1])

    def of(self, incarnation: bytes) -> Mapping[int, tuple[int, int]]:
        """What was remembered of ``incarnation``; any thread."""
        return self._held.get(incarnation, {})


class Inflow:
    """What one incarnation of a peer has under way to one mailbox of ours, over one link or several in turn."""

    __slots__ = (
        "_carried_bytes",
        "_carried_messages",
        "_limit_bytes",
        "_limit_messages",
        "arrived_bytes",
        "arrived_messages",
        "taken_bytes",
        "taken_messages",
        "told_bytes",
        "told_messages",
    )

    def __init__(self, messages: int, size: int) -> None:
        self._limit_messages = messages
        self._limit_bytes = size
        self.arrived_messages = 0
        self.arrived_bytes = 0
        self.taken_messages = 0
        self.taken_bytes = 0
        self.told_messages = 0
        self.told_bytes = 0
        self._carried_messages = 0
        self._carried_bytes = 0

    def carry_over(self) -> tuple[int, int]:
        """The sender has a new link, and full credit on it.

        Returns:
            tuple[int, int]: Messages and bytes that wait from before. It is to be told of them: with `Outflow.owe` it
            has the same credit as without the break. Before it heard of them it goes by what it remembers
            (`Outflow.assume`); where it has forgotten, what it sends is taken, up to twice the window in all.
        """
        self.told_messages = self.taken_messages
        self.told_bytes = self.taken_bytes
        self._carried_messages = self.arrived_messages - self.told_messages
        self._carried_bytes = self.arrived_bytes - self.told_bytes
        return self._carried_messages, self._carried_bytes

    def arrived(self, size: int) -> None:
        """A message came; called by the reactor.

        Raises:
            RemoteProtocolError: The peer had no credit for it.
        """
        waiting_messages = self.arrived_messages - self.told_messages
        waiting_bytes = self.arrived_bytes - self.told_bytes
        # Of these, what came over this link.
        open_bytes = waiting_bytes - self._carried_bytes
        if waiting_messages - self._carried_messages >= self._limit_messages or (
            open_bytes + size > self._limit_bytes and open_bytes * 4 >= self._limit_bytes
        ):
            raise RemoteProtocolError("the peer sent more than it had credit for")
        if waiting_messages >= 2 * self._limit_messages or waiting_bytes + size > 2 * self._limit_bytes:
            raise RemoteProtocolError("the peer sent more than it had credit for, after connections that broke")
        self.arrived_messages += 1
        self.arrived_bytes += size

    def taken(self, size: int) -> tuple[int, int] | None:
        """The receiver took a message; called by the user hub.

        Returns:
            tuple[int, int] | None: Messages and bytes to grant the peer now; None while it has plenty: a grant goes out
            for each quarter of the window, so that it costs little and the sender never runs dry waiting for it.
        """
        self.taken_messages += 1
        self.taken_bytes += size
        messages = self.taken_messages - self.told_messages
        octets = self.taken_bytes - self.told_bytes
        if messages * 4 < self._limit_messages and octets * 4 < self._limit_bytes:
            return None
        self.told_messages += messages
        self.told_bytes += octets
        return messages, octets
