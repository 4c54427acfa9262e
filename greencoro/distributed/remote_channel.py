"""RemoteChannel: a reference to a channel of another process, with the methods of a local one."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

from greencoro.distributed import refs
from greencoro.distributed.elsewhere import Elsewhere, Home
from greencoro.distributed.fields import MAX_ROUTE, Buffer, Route
from greencoro.distributed.link import Entry, Link
from greencoro.distributed.messages import ChannelDeliver, ChannelSend, Withdraw
from greencoro.distributed.reaching import wait_for_answer
from greencoro.distributed.refs import Reference
from greencoro.errors import DeadlineExceeded, PeerLost
from greencoro.hub import native
from greencoro.hub.channel import Channel
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.passing import Origin, Passed
from greencoro.hub.transforms import Transform
from greencoro.hub.waiting import seconds

__all__ = ["SUBSCRIBE", "UNSUBSCRIBE", "RemoteChannel"]

SUBSCRIBE = "greencoro.channel.subscribe"
UNSUBSCRIBE = "greencoro.channel.unsubscribe"

# Past its time limit a delivery has so long to say who has the message: 0.5 s are promised (M6).
# One that came through channels has less, so that whoever passed it on hears of it in time.
_ANSWER_SECONDS = 0.4


class _Timed(Sequence[Buffer]):
    """A delivery whose head is made when it goes out: it says how much time is left then.

    Args:
        deadline (float | None): Of `native.monotonic`.
    """

    def __init__(self, head: ChannelDeliver, deadline: float | None, rest: list[Buffer]) -> None:
        self._head = head
        self._deadline = deadline
        self._rest = rest

    def __len__(self) -> int:
        return 1 + len(self._rest)

    def __getitem__(self, index: Any) -> Any:
        # Only with the head it takes the time to make it.
        if isinstance(index, int) and index > 0:
            return self._rest[index - 1]
        return [self._made(), *self._rest][index]

    def _made(self) -> bytes:
        if self._deadline is None:
            return self._head.header()
        return self._head._replace(seconds=max(0.0, self._deadline - native.monotonic())).header()


class RemoteChannel(Elsewhere, Channel):
    """A reference to a channel elsewhere: send through it, deliver, subscribe to it.

    It may itself subscribe to a channel. Messages of one sender through it reach each subscriber in the order sent,
    `send` and `deliver` mixed. Two references are equal where they mean the same channel.

    With the loss of the channel's process the subscriptions of this process there end, and so does this reference, as
    others do (`Elsewhere`). Nobody is subscribed again silently: a subscriber that has to know of a loss asks for
    `PeerStatus`, then locates the channel and subscribes anew.
    """

    def __init__(self, runtime: Home, reference: Reference) -> None:
        self.name = self._refer(runtime, reference)
        #: The number that the channel has in its own process.
        self.id = refs.kind_of(reference.id)[1]
        self._subscribers = None
        self._transform = None
        self._home = None

    def subscribe(self, subscriber: Coro | Channel, timeout: float | None = None) -> int:
        """Let ``subscriber`` get what is sent to the channel from now on; twice is once.

        A channel that subscribes passes on what comes, but nothing that came through it before: in a circle of channels
        each gets a message once.

        Args:
            timeout (float | None): Longest wait for the channel's process to answer, in seconds.

        Returns:
            int: 0; -1 where the channel is closed, not open to peers or lost, ``subscriber`` is over, or no answer came
            in time: then it does not subscribe.

        Raises:
            TypeError: ``subscriber`` is neither a coroutine nor a channel.

            ValueError: It is a channel of the same process as this one, whose messages reach this one.

            BusyResource: This process has too many subscribers there.
        """
        timeout = seconds(timeout, "subscribe()")
        if not isinstance(subscriber, Coro | Channel):
            raise TypeError(f"to a channel a coroutine or a channel subscribes, not {subscriber!r}")
        return self._ask(SUBSCRIBE, subscriber, timeout)

    def unsubscribe(self, subscriber: Coro | Channel, timeout: float | None = None) -> int:
        """Undo `subscribe`; what was sent before may still arrive.

        Returns:
            int: 0; -1 where it does not subscribe, or the channel's process is lost or did not answer in time.

        Raises:
            TypeError: ``subscriber`` is neither a coroutine nor a channel.
        """
        timeout = seconds(timeout, "unsubscribe()")
        if not isinstance(subscriber, Coro | Channel):
            raise TypeError(f"from a channel a coroutine or a channel unsubscribes, not {subscriber!r}")
        return self._ask(UNSUBSCRIBE, subscriber, timeout)

    def _ask(self, operation: str, subscriber: Coro | Channel, timeout: float | None) -> int:
        link = self.reach()
        if link is None:
            return -1
        header = {"channel": self._reference.id, "subscriber": refs.to_json(subscriber)}
        answered = False
        try:
            answer = self._runtime.services.calls.request(link, operation, header, (), timeout).header
            answered = True
        except PeerLost:
            return -1
        except DeadlineExceeded:
            return -1
        finally:
            if not answered and operation == SUBSCRIBE:
                # Late as it may come, it is taken back.
                self._runtime.services.calls.undo(link, UNSUBSCRIBE, header)
        if "circle" in answer:
            raise ValueError(str(answer["circle"]))
        return 0 if answer.get("result") == 0 else -1

    def send(self, message: Any) -> int:
        """Queue a copy of ``message`` for all who subscribe when it arrives.

        Where the channel's process does not keep up so that the credit is used up, the caller waits (no longer than
        ``send_timeout``); a generator coroutine not here but at its next ``yield``, as for `Coro.send`.

        Returns:
            int: 0 where it is queued here, which does not say that it arrives; -1 where the channel is closed, its
            process lost, or the wait too long: then nothing was queued.

        Raises:
            LocalProtocolError: It is larger than ``max_message_bytes``.

            WouldBlock: The credit is used up, and an asyncio loop runs in the calling thread: see `send_async`.

            Exception: What pickling it raises; the link is as it was.
        """
        buffers, key = self._encoded(message)
        link = self.reach()
        return 0 if link is not None and buffers is not None and self.queue_or_wait(link, buffers, key) else -1

    async def send_async(self, message: Any) -> int:
        """`send` for code on an asyncio loop: where the credit is used up, more of it is awaited."""
        buffers, key = self._encoded(message)
        link = self.reach()
        return 0 if link is not None and buffers is not None and await self.queue_awaiting(link, buffers, key) else -1

    def _encoded(self, message: Any) -> tuple[list[Buffer] | None, Hashable]:
        """What `send` sends (None where the message came through too many channels), and in order with what."""
        message, sender, route = self._unwrapped(message)
        key = self._key(sender)
        if len(route) > MAX_ROUTE:
            return None, key
        return self.encoded(message, ChannelSend(self._reference.id, sender, route, b"").header()), key

    def _key(self, sender: int) -> Hashable:
        """What one sends keeps its order; nobody waits behind what another sends, however large that is."""
        return self._reference.id, sender

    def deliver(self, message: Any, timeout: float | None = None, n: int = 0) -> int:
        """Send ``message`` and learn how many have it.

        Its process waits until there are ``n`` subscribers to the channel, then delivers to all there are; where the
        time is over first, to those that can be reached without waiting.

        Args:
            timeout (float | None): Longest wait in all, in seconds; the answer may take half a second more. ``None``
                waits for ever, also for a subscriber elsewhere to confirm.

            n (int): How many subscribers to wait for.

        Returns:
            int: In how many mailboxes of live coroutines the message is, as far as that was confirmed in time; 0 also
            where the channel is closed, not open to peers, or lost. A message that had not gone by then will not go.

        Raises:
            TypeError, ValueError: ``n`` is no whole number of at least 0.

            LocalProtocolError, WouldBlock, Exception: As `send`.
        """
        timeout = seconds(timeout, "deliver()")
        if isinstance(n, bool) or not isinstance(n, int):
            raise TypeError(f"n= of deliver() is a whole number, not {n!r}")
        if n < 0:
            raise ValueError(f"n= of deliver() is at least 0, not {n!r}")
        deadline = None if timeout is None else native.monotonic() + timeout
        message, sender, route = self._unwrapped(message)
        link = self.reach()
        if link is None or len(route) > MAX_ROUTE:
            return 0
        key = self._key(sender)
        grace = _ANSWER_SECONDS / (1 + len(route))
        answer = Completion()
        request = link.answers.expect(lambda result, error: answer.set(result))
        head = ChannelDeliver(self._reference.id, sender, request, min(n, 0xFFFFFFFF), math.inf, route, b"")
        try:
            buffers = _Timed(head, deadline, self.encoded(message, b""))
            entry = self.queue(link, buffers, None, True, key) or self.queue_waiting(link, buffers, deadline, True, key)
            if not isinstance(entry, Entry):
                return 0
            try:
                left = None if deadline is None else deadline + grace - native.monotonic()
                wait_for_answer(link, answer, left, f"{self!r} to pass a message on")
            finally:
                if not answer.done:
                    _take_back(link, key, request, entry)
        finally:
            link.answers.forget(request)
        return max(0, answer.value or 0)

    def _unwrapped(self, message: Any) -> tuple[Any, int, Route]:
        """The message itself, who sent it first, and the channels it came through."""
        if not isinstance(message, Passed):
            caller = Coro.current()
            return message, native.get_ident() if caller is None else caller.id, ()
        route = list(message.origin.route)
        through = message.through
        here: list[tuple[bytes, int]] = []
        while through:
            channel, through = through
            here.append((self._runtime.incarnation, refs.number("channel", channel.id)))
        return message.message, _number_of(message.origin), [*route, *reversed(here)]

    def set_transform(self, transform: Transform | None) -> int:
        raise self._not_here("set_transform")

    def subscribers(self) -> tuple[Coro | Channel, ...]:
        raise self._not_here("subscribers")

    def close(self) -> None:
        raise self._not_here("close")

    def register(self, name: str | None = None) -> int:
        """A channel is registered in its own process: -1."""
        return -1

    def unregister(self, name: str | None = None) -> int:
        """A channel is registered in its own process: -1."""
        return -1

    def is_alive(self) -> bool:
        """Is it not known to be closed? A round trip late at most where something was sent to it."""
        return self.reach() is not None

    def is_open_to_peers(self) -> bool:
        """That is known in its own process only; here: may it be?"""
        return self.is_alive()


def _number_of(origin: Origin) -> int:
    """The number that its sender goes by in what this process sends: those of other processes may have equal ones."""
    return origin.sender if not origin.peer else hash((origin.peer, origin.sender)) & 0xFFFF_FFFF_FFFF_FFFF


def _take_back(link: Link, key: Hashable, request: int, entry: Entry) -> None:
    """Nobody waits for this delivery any more; what the sender sends next must not be overtaken by it."""
    if not link.withdraw(entry):
        link.send(key, Withdraw(request).encode())
