"""What references to things of other processes have in common."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

from greenlet import getcurrent

from greencoro.distributed.codec import Codec
from greencoro.distributed.fields import Buffer
from greencoro.distributed.link import Entry, Link
from greencoro.distributed.refs import Reference, reduced
from greencoro.distributed.watches import Watches
from greencoro.errors import WouldBlock
from greencoro.hub import forks, native
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.mailbox import Encoded
from greencoro.log import escape

__all__ = ["Elsewhere", "Home", "Opaque", "may_wait"]


class Home(Protocol):
    """What a reference needs of the runtime it lives in."""

    watches: Watches
    incarnation: bytes
    send_timeout_seconds: float
    answer_timeout_seconds: float
    codec: Codec
    #: The runtime's `Services`.
    services: Any
    #: Its `ReferenceClasses`.
    reference_classes: Any

    def link_for(self, reference: Reference, asker: bytes | None = None) -> Link | None:
        """The link to its incarnation, dialling where there is none (for a peer, ``asker``); None where it is lost."""

    def spawn(self, target: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Coro:
        """Start a coroutine that is at home there."""


class Opaque(Encoded):
    """A message as the bytes it came in, which is passed on as those where ``codec`` made them."""

    __slots__ = ("codec", "payload")

    payload: Buffer
    codec: Codec


# Two threads that use a reference for the first time are to find the same link. Re-entrant: a destructor may come in.
_binding = native.RLock()


class Elsewhere:
    """A reference to something of another process; two are equal where they mean the same thing.

    With its first use a reference is bound to the link that there is with that process, and with the loss of that link
    it is over: what goes through it later would leave a gap that its user knows nothing of (guarantees.md, M3). One
    that is obtained anew (located, or received in a message) works over the link that there is then.
    """

    __slots__ = ()

    _runtime: Home
    _reference: Reference
    #: What it is bound to; None before its first use.
    _link: Link | None

    def _refer(self, runtime: Home, reference: Reference) -> str:
        """Refer to that; returns the name to show for it."""
        # Slots of the classes that are mixed with this one.
        self._runtime = runtime  # type: ignore[misc]
        self._reference = reference  # type: ignore[misc]
        self._link = None  # type: ignore[misc]
        # Somebody else's word: it ends up in log lines and on terminals.
        return reference.name if reference.name.isprintable() else escape(reference.name)

    def reach(self) -> Link | None:
        """The link on which it can be reached; None where it is known to be over, or its process lost."""
        forks.refuse()
        link = self._link
        if link is None:
            link = self._bind()
        return None if link is None or self._is_over(link) else link

    def reach_for(self, asker: bytes) -> Link | None:
        """`reach` because a peer, of the incarnation ``asker``, named this.

        Raises:
            BusyResource: Its process would have to be dialled, and peers have had too many dialled already.
        """
        self._bind(asker)
        return self.reach()

    def _bind(self, asker: bytes | None = None) -> Link | None:
        # Outside: it may take the lock of a link, under which a destructor may come here.
        link = self._link or self._runtime.link_for(self._reference, asker)
        with _binding:
            if self._link is None:
                self._link = link  # type: ignore[misc]
            return self._link

    def reach_anew(self) -> Link | None:
        """The link there is now, whatever was before: for what tells its caller each time whether it was done."""
        link = self._runtime.link_for(self._reference)
        return None if link is None or self._is_over(link) else link

    def is_lost(self) -> bool:
        """Where it cannot be reached: is that for the loss of its process, whatever became of the thing itself?"""
        link = self._link
        # What is over in this process itself (it was not found alive) did not go with a link.
        return link.is_lost if link is not None else self._reference.incarnation != self._runtime.incarnation

    def _is_over(self, link: Link) -> bool:
        return link.is_lost or self._reference.id in link.gone

    def queue(
        self,
        link: Link,
        buffers: Sequence[Buffer],
        waiter: Callable[[], object] | None,
        withdrawable: bool = False,
        key: Hashable = None,
    ) -> Entry | bool:
        """`Link.send_credited`, behind what generators sent beyond the credit: nothing overtakes that."""
        overdraft = link.overdrafts.of(self._reference.id)
        if overdraft is None:
            return link.send_credited(self._reference.id, buffers, waiter, withdrawable, key)
        if waiter is not None:
            overdraft.drained.add_callback(waiter)
        return False

    def forget_waiter(self, link: Link, waiter: Callable[[], object]) -> None:
        """Do not call what was given to `queue` any more."""
        link.forget_waiter(self._reference.id, waiter)
        overdraft = link.overdrafts.of(self._reference.id)
        if overdraft is not None:
            overdraft.drained.remove_callback(waiter)

    def queue_or_wait(self, link: Link, buffers: Sequence[Buffer], key: Hashable = None) -> bool:
        """Queue, waiting for credit no longer than ``send_timeout``; a generator coroutine waits at its next yield.

        Raises:
            WouldBlock: As `queue_waiting`.
        """
        if self.queue(link, buffers, None, key=key):
            return True
        timeout = self._runtime.send_timeout_seconds
        sender = Coro.current()
        if sender is None or not sender.is_generator():
            return bool(self.queue_waiting(link, buffers, native.monotonic() + timeout, key=key))
        overdraft = link.overdrafts.put(self._reference.id, buffers, sender.id, key)
        if overdraft is None:
            return False
        sender.owe(overdraft, timeout)
        return True

    def queue_waiting(
        self,
        link: Link,
        buffers: Sequence[Buffer],
        deadline: float | None,
        withdrawable: bool = False,
        key: Hashable = None,
    ) -> Entry | bool:
        """Queue as soon as there is credit; False where the deadline, its end or a loss came first.

        Raises:
            WouldBlock: An asyncio loop runs in the calling thread.
        """
        if native.thread_hub() is getcurrent():
            return False
        if Coro.current() is None and native.asyncio_loop_runs():
            raise WouldBlock(f"{self!r} has no room at the moment; here, use: await coro.send_async(message)")
        while not self._is_over(link):
            changed = Completion()
            waiter = changed.set
            try:
                queued = self.queue(link, buffers, waiter, withdrawable, key)
                if queued:
                    return queued
                remaining = None if deadline is None else deadline - native.monotonic()
                # Its end or a loss just before the waiter was there to hear of it.
                if self._is_over(link) or not changed.wait(remaining):
                    return False
            finally:
                self.forget_waiter(link, waiter)
        return False

    async def queue_awaiting(self, link: Link, buffers: Sequence[Buffer], key: Hashable = None) -> bool:
        """As `queue_waiting` within ``send_timeout``, for code on an asyncio loop."""
        from greencoro.hub.awaiting import until

        deadline = native.monotonic() + self._runtime.send_timeout_seconds
        while not self._is_over(link):
            changed = Completion()
            waiter = changed.set
            try:
                if self.queue(link, buffers, waiter, key=key):
                    return True
                if self._is_over(link) or not await until(changed, deadline - native.monotonic()):
                    return False
            finally:
                self.forget_waiter(link, waiter)
        return False

    def _not_here(self, what: str) -> RuntimeError:
        return RuntimeError(f"{what}() of {self!r} works in its own process only, and that is another one")

    @property
    def codec(self) -> Codec:
        """How objects travel between its process and this one."""
        return self._runtime.codec

    def encoded(self, message: Any, head: bytes) -> list[Buffer]:
        """``message`` after ``head``; one that came as bytes goes as those.

        Raises:
            Exception: What making it into bytes raises, or why those that it came in cannot be opened.
        """
        codec = self._runtime.codec
        if isinstance(message, Opaque):
            if message.codec is codec:
                return [head, message.payload]
            # From another runtime of this process, which trusts its peers more, or less: the bytes mean nothing there.
            message = message.codec.loads(message.payload)
        return codec.dumps(message, head)

    @property
    def incarnation(self) -> bytes:
        """Which life of its process is meant."""
        return self._reference.incarnation

    def is_local(self) -> bool:
        return False

    @property
    def location(self) -> Any:
        """The `Location` of its process."""
        return self._reference.location

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Elsewhere):
            return NotImplemented
        mine, theirs = self._reference, other._reference
        return mine.id == theirs.id and mine.incarnation == theirs.incarnation

    def __hash__(self) -> int:
        return hash((self._reference.incarnation, self._reference.id))

    def __reduce__(self) -> tuple[Any, ...]:
        return reduced(self._reference)


def may_wait() -> bool:
    """May the caller wait: is it no callback of a hub and on no asyncio loop?"""
    if native.thread_hub() is getcurrent():
        return False
    return Coro.current() is not None or not native.asyncio_loop_runs()
