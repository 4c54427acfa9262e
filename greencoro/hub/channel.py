"""Channel: one message to many coroutines, who subscribe to it by reference or by name.

A message is first walked down to its end recipients, through transforms and channels that subscribe to channels; then
`fan_out` gives it to them.

A channel elsewhere that subscribes is told which channels the message came through (`Passed`): between processes
nobody sees a circle when it is made, so it is left where the message would enter it again.

The table of subscribers is a dict of which each use is a single operation, and None once the channel is closed: whoever
adds one and then finds it taken away knows that it came too late. So any thread may subscribe and send. Its values are
the references to use: one that is equal to an older one, which may be over with its link, takes the place of that.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from types import TracebackType
from typing import Any
from weakref import WeakValueDictionary

from greencoro.errors import ClosedResource
from greencoro.hub import exit as process_exit
from greencoro.hub import names, native, userhub
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro, current_home
from greencoro.hub.fan_out import Copy, fan_out, fan_out_async, leave, remaining
from greencoro.hub.nesting import leads_to, nesting
from greencoro.hub.passing import Origin, origin_here
from greencoro.hub.transforms import Transform, checked
from greencoro.hub.waiting import seconds
from greencoro.hub.walk import Branching, walk

__all__ = ["Channel", "find", "plug_in"]

_ids = itertools.count(1)
# The channels of this process.
_live: WeakValueDictionary[int, Channel] = WeakValueDictionary()

_SMALLEST_SWEEP = 32

# Where the distributed layer plugs in: (channel) -> what `pickle` makes of a local channel, and its location.
_reduce: Callable[[Channel], tuple[Any, ...]] | None = None
_locate_home: Callable[[Channel], Any] | None = None


def plug_in(reduce: Callable[[Channel], tuple[Any, ...]] | None, location: Callable[[Channel], Any] | None) -> None:
    """Let the distributed layer say how a local channel travels, and where it is."""
    global _reduce, _locate_home
    _reduce, _locate_home = reduce, location


def find(channel_id: int) -> Channel | None:
    """The channel of this process with this id, or None."""
    return _live.get(channel_id)


class Channel(Branching):
    """A name under which messages are sent to all who subscribe.

    Subscribers are coroutines, of this process or elsewhere, and channels, whose subscribers then get the messages too.
    Messages of one sender through one channel reach each subscriber in the order sent. Two channels are two, whatever
    their names; only registered ones need a name of their own.

    Args:
        name (str): For `register`, and what a transform is told.

        transform: ``transform(name, message)`` is called for each message, in the sender's coroutine or thread; what
            it returns is sent in place of the message. None drops the message; so does an exception, which is logged.

    Raises:
        TypeError: ``name`` is no text, or ``transform`` does not take a name and a message.

        ValueError: ``name`` is empty.
    """

    def __init__(self, name: str, transform: Transform | None = None) -> None:
        if not isinstance(name, str):
            raise TypeError(f"the name of a channel is a text, not {name!r}")
        if not name:
            raise ValueError("the name of a channel has at least one character")
        self._transform = checked(transform)
        self._home = current_home()
        # Was a reference to it sent to another process?
        self._travelled = False
        self._subscribers: dict[Any, Any] | None = {}
        # With so many subscribers it is time to forget those that are over.
        self._sweep_at = _SMALLEST_SWEEP
        # Who waits for more subscribers.
        self._waiting: dict[Completion, bool] = {}
        #: The name it was made with.
        self.name = name
        #: A number unique in this process's life.
        self.id = next(_ids)
        _live[self.id] = self

    # Who gets the messages.

    def subscribe(self, subscriber: Coro | Channel, timeout: float | None = None) -> int:
        """Let ``subscriber`` get what is sent to this channel from now on; twice is once.

        It is forgotten once it is over or closed: at the next message at the latest, or when those that subscribed have
        doubled in number since that was last looked into.

        Args:
            timeout (float | None): Longest wait for a channel elsewhere to answer, in seconds.

        Returns:
            int: 0; -1 where the channel is closed, or ``subscriber`` is over or closed.

        Raises:
            TypeError: ``subscriber`` is neither a coroutine nor a channel.

            ValueError: It is a channel whose messages reach this one: they would go round for ever.
        """
        seconds(timeout, "subscribe()")
        if isinstance(subscriber, Channel):
            if not self._nest(subscriber):
                return -1
        elif not isinstance(subscriber, Coro):
            raise TypeError(f"to a channel a coroutine or a channel subscribes, not {subscriber!r}")
        elif not self._add(subscriber):
            return -1
        for waiting in list(self._waiting):
            waiting.set()
        return 0

    def _nest(self, channel: Channel) -> bool:
        with nesting(self, channel):
            if channel._leads_to(self):
                raise ValueError(f"{channel!r} cannot subscribe to {self!r}: what it is sent would come back to it")
            return self._add(channel)

    def _leads_to(self, target: Channel) -> bool:
        return leads_to(self, target, _channels_under)

    def _add(self, subscriber: Any) -> bool:
        table = self._subscribers
        if table is None or not subscriber.is_alive():
            return False
        table[subscriber] = subscriber
        if len(table) >= self._sweep_at:
            # Those that ended since leave, also where nobody sends; of twice as many only, so that it costs little.
            self._sweep_at = max(_SMALLEST_SWEEP, 2 * len(self.subscribers()))
        return self._subscribers is not None

    def unsubscribe(self, subscriber: Coro | Channel, timeout: float | None = None) -> int:
        """Undo `subscribe`; what was sent before may still arrive.

        Returns:
            int: 0; -1 where it does not subscribe.

        Raises:
            TypeError: ``subscriber`` is neither a coroutine nor a channel.
        """
        seconds(timeout, "unsubscribe()")
        if not isinstance(subscriber, Coro | Channel):
            raise TypeError(f"from a channel a coroutine or a channel unsubscribes, not {subscriber!r}")
        table = self._subscribers
        return 0 if table is not None and table.pop(subscriber, None) is not None else -1

    def everybody(self) -> list[Coro | Channel]:
        """Who subscribes, also those known to be over; looks at none of them, so on any thread."""
        return list((self._subscribers or {}).values())

    def subscribers(self) -> tuple[Coro | Channel, ...]:
        """Who subscribes and is not known to be over, in the order they did."""
        table = self._subscribers
        if table is None:
            return ()
        for subscriber in list(table.values()):
            if not subscriber.is_alive():
                leave(table, subscriber)
        return tuple(table.values())

    def set_transform(self, transform: Transform | None) -> int:
        """Use another transform, or none, for the messages from now on; returns 0.

        Raises:
            TypeError: It does not take a name and a message.

            ClosedResource: The channel is closed.
        """
        function = checked(transform)
        if self._subscribers is None:
            raise ClosedResource(f"{self!r} is closed")
        self._transform = function
        return 0

    # Messages.

    def send(self, message: Any) -> int:
        """Send ``message`` to all current subscribers.

        It waits only where a mailbox is full or a process elsewhere does not keep up, no longer than each one's
        ``send_timeout``, and after the others have the message.

        Returns:
            int: 0, also where nobody subscribes or a transform dropped the message; -1 where the channel is closed.

        Raises:
            WouldBlock: A mailbox is full and an asyncio loop runs in the calling thread: see `send_async`. The others
                have the message.

            Exception: A subscriber elsewhere cannot be sent this message (`Coro.send`); the others have it.
        """
        if self._subscribers is None:
            return -1
        caller = Coro.current()
        # It does not wait here, so it needs nobody to wait in its place.
        in_turn = caller is not None and caller.is_generator()
        copies = self.copies(message, origin_here())
        fan_out(copies, lambda recipient, message: 1 + recipient.send(message), None, in_turn)
        return 0

    async def send_async(self, message: Any) -> int:
        """`send` for code on an asyncio loop: where mailboxes are full, that is awaited, for all of them at once."""
        if self._subscribers is None:
            return -1
        await fan_out_async(self.copies(message, origin_here()))
        return 0

    def deliver(self, message: Any, timeout: float | None = None, n: int = 0) -> int:
        """Send ``message`` and learn how many have it.

        Waits until there are ``n`` subscribers to this channel (a channel among them counts as one), then delivers to
        all there are; where the time is over first, to those that can be reached without waiting.

        Args:
            timeout (float | None): Longest wait in all, in seconds. ``None`` waits for ever, also for a subscriber
                elsewhere to confirm.

            n (int): How many subscribers to wait for.

        Returns:
            int: In how many mailboxes of live coroutines the message is, those behind other channels included; may be
            less than ``n`` or more. 0 also where the channel is closed or a transform dropped the message.

        Raises:
            TypeError, ValueError: ``n`` is no whole number of at least 0.

            WouldBlock, Exception: As `send`.
        """
        timeout = seconds(timeout, "deliver()")
        if isinstance(n, bool) or not isinstance(n, int):
            raise TypeError(f"n= of deliver() is a whole number, not {n!r}")
        if n < 0:
            raise ValueError(f"n= of deliver() is at least 0, not {n!r}")
        deadline = math.inf if timeout is None else native.monotonic() + timeout
        if n:
            self.wait_for_subscribers(n, deadline)

        def act(recipient: Any, message: Any) -> int:
            delivered: int = recipient.deliver(message, remaining(deadline))
            return delivered

        return fan_out(self.copies(message, origin_here()), act, deadline)

    def wait_for_subscribers(self, n: int, deadline: float) -> None:
        """Wait until there are ``n``, it is closed, or ``deadline`` (of `native.monotonic`) has come."""
        while len(self.subscribers()) < n:
            more = Completion()
            self._waiting[more] = True
            try:
                if self._subscribers is None or len(self.subscribers()) >= n:
                    return
                if not more.wait(remaining(deadline)):
                    return
            finally:
                self._waiting.pop(more, None)

    def copies(self, message: Any, origin: Origin) -> list[Copy]:
        """Who is to get what: through this channel and those that subscribe to it. Runs their transforms."""
        found = walk(self, message, origin, True)
        assert found is not None
        return found

    def plain_copies(self, message: Any, origin: Origin) -> list[Copy] | None:
        """As `copies`, for who may not run users' functions; None where that needs a transform."""
        return walk(self, message, origin, False)

    # Names.

    def _names(self) -> names.Names:
        return names.default if self._home is None else self._home.names

    def register(self, name: str | None = None) -> int:
        """Make the channel known under ``name`` (default: its own), for `locate` here and at peers.

        Returns:
            int: 0; -1 where the name is another channel's here, or this one is closed.

        Raises:
            TypeError, ValueError: ``name`` is no text, or empty.
        """
        name = names.checked(self.name if name is None else name)
        if self._subscribers is None or not self._names().register("channel", name, self):
            return -1
        _be_ready_for_peers()
        if self._subscribers is None:  # closed meanwhile, on another thread
            self._names().forget(self)
            return -1
        return 0

    def unregister(self, name: str | None = None) -> int:
        """Undo `register`; 0, or -1 where that name is not this channel's.

        Without a name of its own any more, or where it never had one, it is closed to peers: what they send to it
        reaches nobody, until it is registered or a reference to it is sent again.
        """
        name = names.checked(self.name if name is None else name)
        freed = self._names().unregister("channel", name, self)
        if freed or id(self) not in self._names().of:
            self._travelled = False
        return 0 if freed else -1

    def is_open_to_peers(self) -> bool:
        """May peers use it: is it registered, or was a reference to it sent, and is it not closed?"""
        return self._subscribers is not None and (self._travelled or id(self) in self._names().of)

    @staticmethod
    def locate(name: str, location: Any = None, timeout: float | None = None) -> Channel | None:
        """Find the channel registered as ``name``: here first, then at the peers, waiting for it to appear.

        Args:
            location (Location | None): Ask only there.

            timeout (float | None): Longest wait, in seconds. ``None`` waits for ever.

        Returns:
            Channel | None: A reference; None where there was none in time.

        Raises:
            TypeError, ValueError: ``name`` is no text, or empty.

            RuntimeError: A location was given, and this process has no Runtime to ask there.
        """
        found: Channel | None = names.find("channel", name, location, timeout, current_home())
        return found

    # The rest.

    def is_alive(self) -> bool:
        """Is it not closed?"""
        return self._subscribers is not None

    def is_local(self) -> bool:
        """Is it a channel of this process, no reference to one elsewhere?"""
        return True

    def close(self) -> None:
        """Free its names and drop its subscribers; sending to it is -1 from now on. Twice is once."""
        self._subscribers = None
        self._names().forget(self)
        for waiting in list(self._waiting):
            waiting.set()

    def __enter__(self) -> Channel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def home(self) -> Any:
        """The runtime in which it is at home; None stands for the process's default one."""
        return self._home

    @property
    def location(self) -> Any:
        """The `Location` of its process; None where that has no runtime."""
        return _locate_home(self) if _locate_home is not None else None

    def __reduce__(self) -> tuple[Any, ...]:
        if _reduce is None:
            raise TypeError(
                f"{self!r} cannot travel: this process has no Runtime, so nothing elsewhere could refer to it"
            )
        reduced = _reduce(self)
        _be_ready_for_peers()
        self._travelled = True
        return reduced

    def __repr__(self) -> str:
        location = self.location
        return f"{self.name}/{self.id}" if location is None else f"{self.name}/{self.id}@{location}"


def _channels_under(channel: Channel) -> list[Channel]:
    return [subscriber for subscriber in channel.everybody() if isinstance(subscriber, Channel)]


def _be_ready_for_peers() -> None:
    # What they send may need it, on the reactor, which must not wait for its start.
    if not userhub.is_started():
        process_exit.start()
