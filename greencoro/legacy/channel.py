"""asyncoro's channels, which are found by name whether they are registered or not."""

from __future__ import annotations

import math
from typing import Any

from greencoro.hub import channel, native
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.fan_out import Copy, fan_out, remaining
from greencoro.hub.passing import origin_here
from greencoro.hub.transforms import Transform, checked
from greencoro.hub.waiting import seconds
from greencoro.legacy import scheduler
from greencoro.legacy.locating import patience
from greencoro.legacy.logger import logger

__all__ = ["Channel"]

# Those of this process by name, each until it is closed.
_channels: dict[str, Channel] = {}


class _ChannelType(type):
    def __instancecheck__(cls, thing: Any) -> bool:
        # One elsewhere is one, too.
        return isinstance(thing, channel.Channel) if cls is Channel else super().__instancecheck__(thing)


class Channel(channel.Channel, metaclass=_ChannelType):
    """A name under which messages are sent to all who subscribe: coroutines and channels, here or elsewhere.

    Args:
        name (str): What it is found by, which begins with a letter or a digit: what stands before these is left out.
            Of two that are called the same the first is found.

        transform: ``transform(name, message)`` is called for each message; what it returns is sent in place of the
            message, where it is not None. What is no such function is ignored.
    """

    def __init__(self, name: str, transform: Transform | None = None) -> None:
        scheduler.ensure_started()
        super().__init__(_plain(name), _usable(transform))
        if _channels.setdefault(self.name, self) is not self:
            logger.warning("there is a channel %r already, which keeps the name", self.name)

    def set_transform(self, transform: Transform | None) -> int:
        """Use another transform for the messages from now on; 0, or -1 where that is no function of two arguments."""
        try:
            return super().set_transform(transform)
        except TypeError as error:
            logger.warning("%s", error)
            return -1

    def subscribe(self, subscriber: Any, timeout: float | None = None) -> int:
        """With ``yield``: let ``subscriber`` get what is sent from now on; 0, or -1 where that cannot be."""
        try:
            return super().subscribe(subscriber, timeout)
        except (TypeError, ValueError) as error:
            logger.warning("%s", error)
            return -1

    def unsubscribe(self, subscriber: Any, timeout: float | None = None) -> int:
        """With ``yield``: undo `subscribe`; 0, or -1 where ``subscriber`` does not subscribe."""
        try:
            return super().unsubscribe(subscriber, timeout)
        except TypeError as error:
            logger.warning("%s", error)
            return -1

    def deliver(self, message: Any, timeout: float | None = None, n: int = 0) -> int:
        """With ``yield``: send ``message`` and learn how many have it.

        Args:
            timeout (float | None): Longest wait in all, in seconds. ``None`` waits for ever.

            n (int): How many subscribers to wait for before it is sent to all there are; as soon as so many mailboxes
                have it this returns, while it is on its way to others elsewhere.

        Returns:
            int: In how many mailboxes it is known to be; 0 where there were not ``n`` subscribers in time, and nothing
            was sent; -1 where ``n`` is no whole number of at least 0.
        """
        if not isinstance(n, int) or n < 0:
            return -1
        timeout = seconds(timeout, "deliver()")
        deadline = math.inf if timeout is None else native.monotonic() + timeout
        self.wait_for_subscribers(n, deadline)
        if len(self.subscribers()) < n:
            return 0
        if n == 0:
            return super().deliver(message, timeout)
        return _deliver_to_some(self.copies(message, origin_here()), n, deadline)

    @staticmethod
    def locate(name: str, location: Any = None, timeout: float | None = None) -> Any:
        """With ``yield``: find the channel of that name: here, registered or not, then at the peers.

        Args:
            location (Location | None): Look only there.

            timeout (float | None): Longest wait, in seconds. ``None`` waits for ever.

        Returns:
            Channel | None: A reference; None where there was none in time.
        """
        found = _channels.get(name)
        if found is not None and (location is None or location == found.location):
            return found
        return channel.Channel.locate(name, location, patience(location, timeout))

    def close(self) -> None:
        """Free its names and drop its subscribers."""
        if _channels.get(self.name) is self:
            del _channels[self.name]
        super().close()

    def __repr__(self) -> str:
        location = self.location
        return f"~{self.name}" if location is None else f"~{self.name}@{location}"


def _deliver_to_some(copies: list[Copy], n: int, deadline: float) -> int:
    """Deliver to all, and return how many have it once those are ``n``, or all are done."""
    delivered = 0
    done = Completion()

    def act(recipient: Any, message: Any) -> int:
        nonlocal delivered
        taken: int = recipient.deliver(message, remaining(deadline))
        delivered += taken
        if delivered >= n:
            done.set()
        return taken

    def serve() -> None:
        try:
            fan_out(elsewhere, act, deadline)
        except Exception as error:
            if not done.fail(error):
                raise
        else:
            done.set()

    elsewhere = [copy for copy in copies if not copy[0].is_local()]
    here = [copy for copy in copies if copy[0].is_local()]
    delivered = fan_out(here, lambda recipient, message: recipient.deliver(message, remaining(deadline)), deadline)
    if elsewhere:
        Coro(serve).set_daemon()
        if delivered < n:
            done.result()
    return delivered


def _plain(name: str) -> str:
    if not isinstance(name, str):
        return name
    plain = name
    while plain and not plain[0].isalnum():
        plain = plain[1:]
    if plain != name:
        logger.warning("the name of a channel begins with a letter or a digit: %r is called %r", name, plain)
    return plain


def _usable(transform: Any) -> Transform | None:
    try:
        return checked(transform)
    except TypeError as error:
        logger.warning("%s; it is ignored", error)
        return None
