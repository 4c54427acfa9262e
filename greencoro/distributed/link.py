"""What this runtime has with one incarnation of a peer: a queue of messages, credit, outstanding replies.

A link outlives dialling: messages may be queued before the connection is there. And it outlives a connection that
breaks, where another one goes on with its session. Senders are any threads, the reactor takes from the queue. The
senders' lock is held for a few lines that run no code but ours, so nothing that user code does can hold the reactor up.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from greencoro.distributed.answers import Answers
from greencoro.distributed.codec import PICKLE, Codec
from greencoro.distributed.fields import Buffer
from greencoro.distributed.flow import Outflow
from greencoro.distributed.hub_io import HubIo
from greencoro.distributed.link_states import ONLINE, TRANSITIONS, LinkState
from greencoro.distributed.notices import Notices
from greencoro.distributed.overdraft import Overdrafts
from greencoro.distributed.peer_info import PeerInfo, PeerLimits
from greencoro.distributed.send_queue import Entry, SendQueue
from greencoro.distributed.session import Session
from greencoro.distributed.standing import Standing
from greencoro.distributed.wire import Wire
from greencoro.errors import LocalProtocolError, NetworkError, PeerLost, RemoteProtocolError
from greencoro.hub import native

__all__ = ["Entry", "Link", "LinkState"]

#: So many queued messages are not left to whoever was told to send them.
_FLUSH_MESSAGES = 64
#: Mailboxes of a peer that are over and remembered as such.
_MAX_GONE = 10_000
_NONE: Mapping[int, tuple[int, int]] = {}


class Link:
    """See the module.

    Args:
        own: This runtime's limits. The queue keeps to them, also as long as the peer's own are not known: until `up`.

        unread: What may wait at its mailboxes from earlier links (`flow.Unread`).

        codec (Codec): How objects travel here, each way.
    """

    def __init__(
        self,
        info: PeerInfo,
        post: Callable[..., None],
        own: PeerLimits,
        unread: Mapping[int, tuple[int, int]] = _NONE,
        codec: Codec = PICKLE,
    ) -> None:
        self.info = info
        self.codec = codec
        self.state = LinkState.DIALING
        #: The connection; while it is suspended, the one that broke.
        self.wire: Wire | None = None
        self._hub_io: HubIo | None = None
        self.error: NetworkError | None = None
        #: Credit for mailboxes of the peer, by their coroutine's id; made under the lock.
        self.outflows: dict[int, Outflow] = {}
        # Of those that have none yet; until the peer has said what does wait there.
        self._unread = dict(unread)
        #: What the peer has under way to mailboxes of ours (see `inflows`); the reactor's.
        self.inflows: dict[int, Any] = {}
        #: Mailboxes of the peer that are over. A reference to one that was forgotten again costs a round trip more.
        self.gone: dict[int, None] = {}
        self.standing = Standing()
        #: Messages of the peer that could not be decoded and were dropped.
        self.undecodable = 0
        #: Names the peer waits for, by the number of its request; the reactor's.
        self.locates: dict[int, Callable[[], None]] = {}
        #: Of those that this side has asked for, which are outstanding.
        self.answers = Answers(self._why_lost)
        #: Of ends of the peer's coroutines, those that are watched here.
        self.notices = Notices(self._why_lost)
        #: What is to be cleaned up when the link is lost.
        self.on_lost: dict[Hashable, Callable[[NetworkError], None]] = {}
        #: Largest message that may be sent: no side sends what it would not take itself.
        self.max_message_bytes = own.max_message_bytes
        self._own = self._peer = own
        self._post = post
        # An RLock, because a destructor that runs in the middle may send something as well.
        self._lock = native.RLock()
        self._queue = SendQueue(self._lock, own.max_queue_messages, own.max_queue_bytes)
        self._told = False
        #: What was accepted beyond the credit of mailboxes.
        self.overdrafts = Overdrafts(self, self._lock)

    # Any thread.

    @property
    def is_needed(self) -> bool:
        """Is something queued for a peer that is being dialled, or not known to have come before it has to be again?"""
        if self.state is LinkState.SUSPENDED:
            return bool(self._queue) or not (self.session is None or self.session.is_acknowledged)
        return self.state is LinkState.DIALING and bool(self._queue)

    @property
    def is_online(self) -> bool:
        """Does the peer count as there?"""
        return self.state in ONLINE

    @property
    def session(self) -> Session | None:
        """What is under way, whichever connection carries it; None before there is one, and once it is lost."""
        return None if self.wire is None else self.wire.connection.session

    @property
    def is_lost(self) -> bool:
        return self.state is LinkState.LOST

    def send(self, key: Hashable, buffers: Sequence[Buffer]) -> bool:
        """Queue a message, however much waits already; in order with others of this link that have the same key.

        For the protocol's own messages, of which something else says how many there can be.

        Returns:
            bool: False where the link is lost.
        """
        with self._lock:
            queued = self._put(key, buffers)
        if queued:
            self._tell()
        return queued

    def send_if_room(self, key: Hashable, buffers: Sequence[Buffer], waiter: Callable[[], object] | None) -> bool:
        """As `send`, where there is room.

        Args:
            waiter: Where there is none, this is called when it is worth another try. `forget_waiter` afterwards.
        """
        with self._lock:
            queued = self._queue.has_room(waiter) and self._put(key, buffers)
        if queued:
            self._tell()
        return queued

    def send_answer(self, buffers: Sequence[Buffer]) -> bool:
        """Queue an answer to a request of the peer's, of any size.

        Returns:
            bool: False where it is not queued, for the peer has not read what fills the queue twice over.
        """
        with self._lock:
            waiting = self._queue.waiting[1]
            if waiting and waiting + sum(map(len, buffers)) > 2 * self._own.max_queue_bytes:
                return False
            self._put(None, buffers)
        self._tell()
        if self._queue.has_too_many_answers:
            self._post(self._check_answers)
        return True

    def _put(self, key: Hashable, buffers: Sequence[Buffer]) -> bool:
        size = sum(map(len, buffers))
        # Under the lock: the limit may change until the link is up.
        self.check_size(size)
        if self.state is LinkState.LOST:
            return False
        self._queue.put(key, buffers, size)
        return True

    def send_urgent(self, buffers: Sequence[Buffer]) -> None:
        """Queue a small message of the protocol's own before everything else."""
        self._queue.put_urgent(buffers)
        if self._queue.has_too_many_answers or self.state is LinkState.LOST:
            self._post(self._check_answers)
        self._tell()

    def send_credited(
        self,
        target: int,
        buffers: Sequence[Buffer],
        waiter: Callable[[], object] | None,
        withdrawable: bool = False,
        key: Hashable = None,
    ) -> Entry | bool:
        """Queue a message for a mailbox of the peer, if there is credit and room for it.

        Args:
            key: It goes in order with others of the same; None: with whatever goes to that mailbox without one.

            waiter: Where there is neither, this is called when it is worth another try. `forget_waiter` afterwards.

        Returns:
            True, or where ``withdrawable`` the `Entry`; False where it was not queued.
        """
        size = len(buffers[0]) if len(buffers) == 1 else sum(map(len, buffers))
        with self._lock:
            if size > self.max_message_bytes:
                self.check_size(size)
            if self.state is LinkState.LOST:
                return False
            flow = self.outflow(target)
            if not self._queue.has_room(waiter) or not flow.take_or_wait(size, waiter):
                return False
            entry: Entry | bool = True
            if withdrawable:
                entry = Entry(target if key is None else key, buffers, size, flow)
                self._queue.put_withdrawable(entry)
            else:
                self._queue.put(target if key is None else key, buffers, size)
        self._tell()
        return entry

    def outflow(self, target: int) -> Outflow:
        """The credit for a mailbox of the peer."""
        with self._lock:
            flow = self.outflows.get(target)
            if flow is None:
                flow = Outflow(self._peer.max_queue_messages, self._peer.max_queue_bytes)
                flow.assume(*self._unread.pop(target, (0, 0)))
                self.outflows[target] = flow
            return flow

    def forget_waiter(self, target: int | None, waiter: Callable[[], object]) -> None:
        """Do not call ``waiter``, which waits for credit for ``target`` or for room, any more."""
        self._queue.waiters.discard(waiter)
        flow = None if target is None else self.outflows.get(target)
        if flow is not None:
            flow.waiters.discard(waiter)

    def withdraw(self, entry: Entry) -> bool:
        """Take a message back of which nothing has gone yet; True where it will not go."""
        withdrawn = self._queue.take_back(entry)
        if withdrawn:
            self._post(self._withdrawn, entry.flow)
        return withdrawn

    def forget_gone(self) -> None:
        """What was said to be over may be there for who has shown a key since."""
        with self._lock:
            self.gone.clear()

    def check_size(self, size: int) -> None:
        """Refuse what the peer would refuse.

        Raises:
            LocalProtocolError: The message is larger than `max_message_bytes` of this side or the other.
        """
        if size > self.max_message_bytes:
            whose = "" if self.max_message_bytes == self._own.max_message_bytes else f" of {self.info}"
            raise LocalProtocolError(
                f"a message of {size} bytes is too large: max_message_bytes{whose} is {self.max_message_bytes}"
            )

    def when_lost(self, key: Hashable, clean_up: Callable[[NetworkError], None]) -> None:
        """Have ``clean_up(error)`` called when the link is lost; at once where it is."""
        self.on_lost[key] = clean_up
        error = self._why_lost()
        if error is not None and self.on_lost.pop(key, None) is not None:
            clean_up(error)

    def _why_lost(self) -> NetworkError | None:
        return (self.error or PeerLost(f"{self.info} is lost")) if self.state is LinkState.LOST else None

    def _tell(self) -> None:
        if not self._told:
            try:
                self._told = True
                if (hub_io := self._hub_io) is None or not hub_io.will_flush():
                    self._post(self.flush)
            except BaseException:
                # Ctrl-C, or what else a signal's handler raises. By now other threads may count on this one to tell.
                self._told = False
                self._post(self.flush)
                raise
        elif self._queue.queued >= _FLUSH_MESSAGES and (hub_io := self._hub_io) is not None:
            hub_io.flush_now()

    # The reactor's turn.

    def flush(self, records: int | None = None) -> None:
        """Send what is queued, as far as the stream takes it, and ``records`` at once."""
        self._told = False
        if self.wire is not None and self.state is LinkState.UP:
            self.wire.flush(records)

    def flush_if_told(self) -> bool:
        """Send what somebody was told to send and has not; False where nobody is to send anything."""
        was_told = self._told
        if was_told:
            self.flush()
        return was_told

    # The reactor's thread.

    def _withdrawn(self, flow: Outflow) -> None:
        flow.waiters.wake()
        self._queue.taken_back()

    def _check_answers(self) -> None:
        if self.state is LinkState.LOST:
            self._queue.clear_urgent()
        elif self._queue.has_too_many_answers and self.wire is not None:
            self.wire.fail(RemoteProtocolError("the peer asks, and does not read the answers"))

    def up(self, wire: Wire, info: PeerInfo, limits: PeerLimits) -> bool:
        """A connection is there; `Wire.flush` is still to be called.

        Args:
            limits: The peer's; what is sent from now on keeps to them.

        Returns:
            bool: False where what was queued before they were known is beyond them: the link is to be lost.
        """
        with self._lock:
            flows = self.outflows.values()
            if max(self._queue.largest, self.overdrafts.largest) > limits.max_message_bytes or not all(
                flow.renew(limits.max_queue_messages, limits.max_queue_bytes) for flow in flows
            ):
                return False
            self._peer = limits
            self.max_message_bytes = min(self._own.max_message_bytes, limits.max_message_bytes)
            self._move(LinkState.UP)
        self.info = info
        self._take(wire)
        for flow in list(self.outflows.values()):
            flow.waiters.wake()
        return True

    def _take(self, wire: Wire) -> None:
        self.wire = wire
        self._hub_io = wire.hub_io
        if self._hub_io is not None:
            self._hub_io.queue = self
        wire.source = self._queue.connect(wire.connection)

    def suspend(self) -> None:
        """The connection broke; what is queued waits for another one."""
        self._move(LinkState.SUSPENDED)
        self._hub_io = None

    def resume(self, wire: Wire) -> None:
        """Another connection goes on with the session of the last one; `Wire.flush` is still to be called."""
        self._move(LinkState.UP)
        self._take(wire)

    def lose(self, error: NetworkError, guard: Callable[..., None]) -> int:
        """Give the link up: everyone who waits for something of it is told.

        Args:
            guard: As `Reactor.guard`: a function of theirs that raises keeps nobody else from being told.

        Returns:
            int: How many messages that were accepted for mailboxes and channels are not known to have been read: at
            least as many as were lost. Requests are not among them; whoever made one is told.
        """
        # Without the frames it was raised in: whoever keeps it would keep the wire and all that was queued there.
        self.error = error.with_traceback(None)
        with self._lock:
            # What was queued before this is counted, what comes after is refused.
            self._move(LinkState.LOST)
            self._queue.clear()
        dropped = len(self.overdrafts) + sum(flow.unconfirmed_messages for flow in self.outflows.values())
        self.wire = self._hub_io = None
        # What waits in mailboxes holds its own; of the others nothing is left to count.
        self.inflows.clear()
        self.answers.lose(error, guard)
        for flow in list(self.outflows.values()):
            flow.waiters.wake()
        self._queue.waiters.wake()
        self.notices.lose(error, guard)
        for key in list(self.on_lost):
            # Other threads take theirs out meanwhile.
            clean_up = self.on_lost.pop(key, None)
            if clean_up is not None:
                guard(clean_up, error)
        return dropped

    def heard_debts(self) -> None:
        """The peer has said what waits from earlier links: of the other mailboxes, that nothing does."""
        with self._lock:
            self._unread.clear()
        for flow in list(self.outflows.values()):
            flow.owe_what_was_said()

    def unread(self) -> dict[int, tuple[int, int]]:
        """Once it is lost: what may wait at mailboxes of the peer, for the next link with it."""
        with self._lock:
            return self._unread | {target: flow.unread for target, flow in self.outflows.items() if any(flow.unread)}

    def target_gone(self, target: int) -> None:
        """A mailbox of the peer is over."""
        with self._lock:
            if len(self.gone) >= _MAX_GONE:
                self.gone.pop(next(iter(self.gone)))
            self.gone[target] = None
        if (flow := self.outflows.pop(target, None)) is not None:
            flow.waiters.wake()

    def _move(self, state: LinkState) -> None:
        if state not in TRANSITIONS[self.state]:
            raise LocalProtocolError(f"a link in state {self.state.name} cannot become {state.name}")
        self.state = state
