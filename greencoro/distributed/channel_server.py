"""What peers send through channels here.

A message goes to the subscribers of this process at once, on the reactor, as far as there is room for it and no channel
on its way has a transform. What is left to do (transforms, subscribers elsewhere or with a full `backlog`, the wait for
subscribers) needs the user hub: a *stream* for each sender and channel does it there, one message after another, so
that messages of one sender stay in order and no sender waits for another's. A stream belongs to the sender's process,
not to a link with it: what came before the connection broke is dealt with before anything that came over the next one.

Two bounds hold what a process may have here, over all its links: the credit for the channel, granted again when a
message is dealt with, and the backlog of each subscriber. A subscriber with a full one is waited for as for a full
mailbox (`hub.fan_out`).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from greencoro.distributed import refs
from greencoro.distributed.backlog import Backlogs
from greencoro.distributed.dispatch import Dispatcher
from greencoro.distributed.elsewhere import Opaque
from greencoro.distributed.inflows import Inflows, LinkedInflow
from greencoro.distributed.link import Link
from greencoro.distributed.messages import ChannelDeliver, ChannelSend, Gone, Result, Withdraw
from greencoro.errors import CoroTerminated, NetworkError, RemoteProtocolError
from greencoro.hub import native, userhub
from greencoro.hub.channel import Channel
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.fan_out import Copy, fan_out, leave, remaining
from greencoro.hub.passing import Origin
from greencoro.log import escape

__all__ = ["ChannelServer"]

_log = logging.getLogger(__name__)


class ChannelMessage(Opaque):
    """A message that came for a channel; each subscriber (and transform) decodes it for itself.

    Nobody may change the bytes that all of them have in common: its large buffers are copied for each.
    """

    __slots__ = ("_link", "_warn")

    def __init__(self, payload: Any, link: Link, warn: Callable[..., None]) -> None:
        self.payload = memoryview(payload).toreadonly()
        self.codec = link.codec
        self._link = link
        self._warn = warn

    def decode(self) -> tuple[bool, Any]:
        message, why = self.codec.opened(self.payload)
        if why is not None:
            self._link.undecodable += 1
            line = "a message from %s through a channel cannot be decoded and is dropped: %s"
            self._warn(_log, line, self._link.info, escape(why))
        return why is None, message


class _Item:
    """One message, until it is dealt with."""

    def __init__(
        self, link: Link, channel: Channel, message: Any, size: int, inflow: LinkedInflow, origin: Origin
    ) -> None:
        self.link = link
        self.peer = link.info.incarnation
        self.channel = channel
        self.size = size
        self.inflow = inflow
        self.origin = origin
        #: Of a delivery; 0 for what nobody waits for.
        self.request: int = message.request if isinstance(message, ChannelDeliver) else 0
        self.n: int = message.n if self.request else 0
        #: None leaves the limit to each recipient's ``send_timeout``.
        self.deadline: float | None = None
        if isinstance(message, ChannelDeliver):
            self.deadline = native.monotonic() + message.seconds
        #: How many have it so far.
        self.delivered = 0
        #: Who is still to get it; None before that was looked into.
        self.copies: list[Copy] | None = None
        self.is_withdrawn = False
        #: Set where that waits for the user hub.
        self.payload: ChannelMessage | None = None
        #: What waits on its behalf.
        self.runner: Coro | None = None


#: Of a stream: the sender's incarnation (or that of who passes its messages on), the channel, the sender.
_Key = tuple[bytes, int, int]


class _Stream:
    """The messages of one sender to one channel that need the user hub."""

    def __init__(self) -> None:
        #: Counted by the reactor; what was dealt with, by the user hub.
        self.posted = 0
        self.served = 0
        self.queue: deque[_Item] = deque()
        self.is_running = False


class ChannelServer:
    """See the module.

    Args:
        find: The open channel that a peer names by its id, if it is at home in this runtime and the peer is let in.

        incarnation: This runtime's.

        inflows: What peers have under way.

        max_messages, max_bytes: What a peer may have waiting for one subscriber.

        spawn: Starts a coroutine at home in this runtime.

        post: Has a function called on the reactor.

        send_timeout (float): Longest wait for a subscriber whose backlog is full, in seconds.

        warn: Logs a warning, rate-limited: (logger, line, *arguments); any thread.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        find: Callable[[Link, int], Channel | None],
        incarnation: bytes,
        inflows: Inflows,
        max_messages: int,
        max_bytes: int,
        *,
        spawn: Callable[..., Coro],
        post: Callable[..., None],
        send_timeout: float,
        warn: Callable[..., None],
    ) -> None:
        self._find = find
        self._incarnation = incarnation
        self._inflows = inflows
        self._backlogs = Backlogs(max_messages, max_bytes)
        self._spawn = spawn
        self._post = post
        self._send_timeout = send_timeout
        self._warn = warn
        # The reactor's.
        self._streams: dict[_Key, _Stream] = {}
        self._deliveries: dict[Link, dict[int, _Item]] = {}
        dispatcher.register(ChannelSend, self._on_message)
        dispatcher.register(ChannelDeliver, self._on_message)
        dispatcher.register(Withdraw, self._on_withdraw)

    # The reactor.

    def _on_message(self, link: Link, message: ChannelSend | ChannelDeliver) -> None:
        channel = self._find(link, message.target)
        if channel is None:
            link.inflows.pop(message.target, None)
            link.send_urgent(Gone(message.target).encode())
            if isinstance(message, ChannelDeliver):
                link.send_urgent(Result(message.request, 0).encode())
            return
        inflow = self._inflows.of(link, message.target)
        size = len(message.header()) + len(message.payload)
        inflow.arrived(size)
        incarnation = link.info.incarnation
        seen = frozenset(refs.kind_of(number)[1] for where, number in message.route if where == self._incarnation)
        item = _Item(link, channel, message, size, inflow, Origin(message.sender, message.route, seen, incarnation))
        if not channel.is_open_to_peers() or channel.id in seen:
            self._settle(item)
            return
        payload = ChannelMessage(message.payload, link, self._warn)
        key = incarnation, message.target, message.sender
        stream = self._streams.get(key)
        if stream is None and not item.n:
            item.copies = channel.plain_copies(payload, item.origin)
            if item.copies is not None:
                self._put(item)
                if not item.copies:
                    self._settle(item)
                    return
        if item.request:
            self._await_withdrawal(item)
        if stream is None:
            stream = self._streams[key] = _Stream()
        # Where that was not looked into yet, it is when its turn comes: who subscribes by then gets it.
        item.payload = payload
        stream.posted += 1
        userhub.post(self._enter, key, stream, item)

    def _put(self, item: _Item) -> None:
        """Give it to those of this process who have room; the others are left in ``item.copies``. Any thread."""
        left: list[Copy] = []
        for copy in item.copies or ():
            recipient, message, table = copy
            if not recipient.is_local():
                left.append(copy)
            elif not recipient.is_alive():
                leave(table, recipient)
            elif (put := self._backlogs.put(item.peer, recipient, message, item.size)) is None:
                left.append((_Full(self, item, recipient), message, table))
            elif put.was_got_by(recipient):
                item.delivered += 1
        item.copies = left

    def _settle(self, item: _Item) -> None:
        """It is dealt with: say so, and let the peer send more."""
        link = item.link
        if item.request:
            self._deliveries.get(link, {}).pop(item.request, None)
            link.send_urgent(Result(item.request, item.delivered).encode())
        self._inflows.taken(item.inflow, item.size)

    def _await_withdrawal(self, item: _Item) -> None:
        deliveries = self._deliveries.get(item.link)
        if deliveries is None:
            deliveries = self._deliveries[item.link] = {}
            item.link.when_lost("deliveries", lambda error: self._withdraw_all(item.link, error))
        if item.request in deliveries:
            raise RemoteProtocolError("the peer uses the number of a delivery twice")
        deliveries[item.request] = item

    def _on_withdraw(self, link: Link, message: Withdraw) -> None:
        item = self._deliveries.get(link, {}).pop(message.request, None)
        if item is not None:
            self._withdraw(item)

    def _withdraw_all(self, link: Link, error: NetworkError) -> None:
        for item in self._deliveries.pop(link, {}).values():
            self._withdraw(item)

    def _withdraw(self, item: _Item) -> None:
        item.is_withdrawn = True
        userhub.post(_end_wait, item)

    def _retire(self, key: _Key, stream: _Stream) -> None:
        if stream.posted == stream.served and self._streams.get(key) is stream:
            del self._streams[key]

    # The user hub.

    def _enter(self, key: _Key, stream: _Stream, item: _Item) -> None:
        if item.is_withdrawn or len(item.channel.subscribers()) >= item.n:
            self._queue(key, stream, item)
            return
        assert item.deadline is not None

        def enough(waiter: Coro) -> None:
            item.runner = None
            self._queue(key, stream, item)

        item.runner = self._spawn(item.channel.wait_for_subscribers, item.n, item.deadline)
        item.runner.set_daemon()
        item.runner.add_observer(enough)

    def _queue(self, key: _Key, stream: _Stream, item: _Item) -> None:
        stream.queue.append(item)
        if not stream.is_running:
            stream.is_running = True
            self._spawn(self._serve, key, stream).set_daemon()

    def _serve(self, key: _Key, stream: _Stream) -> None:
        try:
            while stream.queue:
                item = stream.queue.popleft()
                try:
                    if not item.is_withdrawn:
                        self._pass_on(item)
                finally:
                    stream.served += 1
                    self._post(self._settle, item)
        finally:
            stream.is_running = False
            self._post(self._retire, key, stream)

    def _pass_on(self, item: _Item) -> None:
        if not item.channel.is_open_to_peers():
            return
        if item.copies is None:
            item.copies = item.channel.copies(item.payload, item.origin)
            self._put(item)
        if not item.copies:
            return
        if not item.request:
            self._pass_to_the_rest(item)
            return
        # In a coroutine of its own, so that a delivery that nobody waits for any more can be ended.
        item.runner = self._spawn(self._pass_to_the_rest, item)
        item.runner.set_daemon()
        try:
            item.runner.value()
        except CoroTerminated:
            return
        finally:
            item.runner = None

    def _pass_to_the_rest(self, item: _Item) -> None:
        deadline = item.deadline

        def send(recipient: Any, message: Any) -> int:
            sent: int = 1 + recipient.send(message)
            return sent

        def deliver(recipient: Any, message: Any) -> int:
            assert deadline is not None
            delivered: int = recipient.deliver(message, remaining(deadline))
            return delivered

        assert item.copies is not None
        try:
            item.delivered += fan_out(item.copies, send if deadline is None else deliver, deadline)
        except Exception as error:
            line = "a message from %s through the channel %r did not reach all subscribers: %s: %s"
            self._warn(_log, line, item.link.info, item.channel, type(error).__name__, escape(error))

    def put_when_room(self, item: _Item, coro: Coro, message: Any, seconds: float | None) -> bool:
        """Put a message into the mailbox of one whose backlog is full, once that has room; False where it has none."""
        deadline = None if seconds is None else native.monotonic() + seconds
        while coro.is_alive():
            changed = Completion()
            if (put := self._backlogs.put(item.peer, coro, message, item.size, changed)) is not None:
                return put.was_got_by(coro)
            over = changed.set
            try:
                if not coro.add_observer(over):
                    return False
                if not changed.wait(None if deadline is None else deadline - native.monotonic()):
                    return False
            finally:
                coro.remove_observer(over)
                self._backlogs.forget(item.peer, coro, changed)
        return False

    def send_when_room(self, item: _Item, coro: Coro, message: Any) -> int:
        """As `put_when_room`, within ``send_timeout``; 0 or -1."""
        if self.put_when_room(item, coro, message, self._send_timeout):
            return 0
        if coro.is_alive():
            line = "%r does not keep up with what %s sends through the channel %r: a message is not given to it"
            self._warn(_log, line, coro, item.link.info, item.channel)
        return -1


class _Full:
    """A subscriber of this process whose backlog is full; `fan_out` has each such wait beside the others."""

    def __init__(self, server: ChannelServer, item: _Item, coro: Coro) -> None:
        self._server = server
        self._item = item
        self._coro = coro

    def __eq__(self, other: object) -> bool:
        # In the table of subscribers the coroutine itself stands.
        return other == self._coro

    def __hash__(self) -> int:
        return hash(self._coro)

    def is_local(self) -> bool:
        """It is to be waited for, as those elsewhere are."""
        return False

    def is_alive(self) -> bool:
        return self._coro.is_alive()

    def send(self, message: Any) -> int:
        return self._server.send_when_room(self._item, self._coro, message)

    def deliver(self, message: Any, timeout: float | None) -> int:
        return int(self._server.put_when_room(self._item, self._coro, message, timeout))


def _end_wait(item: _Item) -> None:
    if item.runner is not None:
        item.runner.terminate()
