"""Coro: a plain function that runs beside others and gets messages.

Everything here may be called from any thread. Coroutines run on the user hub, one at a time, and change over only where
one waits: code without a waiting call is atomic with regard to the other coroutines.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol

from greenlet import getcurrent

from greencoro.errors import WouldBlock
from greencoro.hub import exit as process_exit
from greencoro.hub import names, native, requests, userhub
from greencoro.hub.binding import as_for_a_thread
from greencoro.hub.ends import Ends
from greencoro.hub.execution import running
from greencoro.hub.lifecycle import State
from greencoro.hub.mailbox import Mailbox
from greencoro.hub.process_settings import process_settings
from greencoro.hub.room import Room
from greencoro.hub.waiting import seconds

__all__ = ["Coro", "Home", "current_home", "find", "plug_in"]

_ACTIVE = State.ACTIVE

_get_ident = native.get_ident

_MISSING: Any = object()


class Home(Protocol):
    """What a coroutine needs of the runtime that it is at home in."""

    names: names.Names
    location: Any
    max_mailbox_messages: int | None
    send_timeout_seconds: float


# Where the distributed layer plugs in: (coro) -> what `pickle` makes of a local coroutine, and its location.
_reduce: Callable[[Coro], tuple[Any, ...]] | None = None
_locate_home: Callable[[Coro], Any] | None = None


def plug_in(reduce: Callable[[Coro], tuple[Any, ...]] | None, location: Callable[[Coro], Any] | None) -> None:
    """Let the distributed layer say how a local coroutine travels, and where it is."""
    global _reduce, _locate_home
    _reduce, _locate_home = reduce, location


class Coro(Ends):
    """A function running as a coroutine, and the handle to it.

    ``Coro(function, *args, **kwargs)`` returns at once; the function begins soon after. Where it has a parameter named
    ``coro`` it is given this object there. ``Coro(target=function, args=(...), kwargs={...})``, as with
    `threading.Thread`, is the same.

    What the function raises ends this coroutine and nothing else, `SystemExit` of ``sys.exit()`` included: whoever asks
    for the `value` gets it raised, and it is logged once, with its traceback (but what a job raises, its client is
    told). The exit status of the process stays what the main script makes it.

    Raises:
        TypeError: ``function`` is not callable, is an ``async`` function, or does not take these arguments.
    """

    __slots__ = ("_home", "_mailbox")

    def __init__(self, target: Callable[..., Any] = _MISSING, /, *args: Any, **kwargs: Any) -> None:
        if target is _MISSING:
            target, args, kwargs = as_for_a_thread(kwargs)
        creator = running()
        self._begin(None if creator is None else creator._home, target, args, kwargs)

    def _begin(
        self,
        home: Home | None,
        target: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str = "",
    ) -> None:
        takes_coro = self._takes_coro(target, args, kwargs)
        self._home = home
        self._mailbox = Mailbox()
        limit = process_settings().max_mailbox_messages if home is None else home.max_mailbox_messages
        if limit is not None:
            self._mailbox.limit = limit
        self._spawn(target, args, kwargs, takes_coro, name)

    @classmethod
    def at_home(
        cls, home: Home, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], name: str = ""
    ) -> Coro:
        """A coroutine at home in a given runtime, instead of its creator's; by ``name`` from its first step on."""
        coro = cls.__new__(cls)
        coro._begin(home, target, args, kwargs, name)
        return coro

    def _renew(self) -> None:
        limit = self._mailbox.limit
        self._mailbox = Mailbox()
        self._mailbox.limit = limit

    def _clean_up(self) -> None:
        home = self._home
        registered = names.default if home is None else home.names
        if id(self) in registered.of:
            registered.forget(self)
        self._mailbox.clear()

    # Messages.

    def send(self, message: Any) -> int:
        """Put ``message`` into this coroutine's mailbox; only a full one (`max_mailbox`) makes the caller wait.

        Locally the very object is handed over; from a remote reference a copy is (a snapshot made now).

        Returns:
            int: 0 where it is queued, which does not say that it will be read; -1 where this coroutine is over, or was
            full for ``send_timeout`` (or the caller may not wait): then nothing was queued. A generator coroutine does
            not wait here but at its next ``yield``; until then up to twice ``max_mailbox`` messages go in.

        Raises:
            WouldBlock: The mailbox is full, and an asyncio loop runs in the calling thread: see `send_async`.
        """
        mailbox = self._mailbox
        room, receiver = mailbox.room, mailbox._receiver
        if (
            self._state is _ACTIVE
            and room is None
            and receiver is not None
            and mailbox._queue is not None
            and userhub._scheduled
            and _get_ident() == userhub.ident
        ):
            # `Mailbox.put` and `userhub.ready` written out, because nearly every message comes this way.
            mailbox._queue.append(message)
            userhub._ready.append(receiver)
            mailbox._receiver = None
            return 0
        if self._state > _ACTIVE:
            return -1
        if room is None:
            mailbox.put(message)
            return 0
        sender = running()
        if sender is not None and sender.is_generator():
            return 0 if self._overdraw(message, sender) else -1
        if room.offer(message) or self._send_waiting(message, self._send_timeout(), "coro.send_async(message)"):
            return 0
        return -1

    def _overdraw(self, message: Any, sender: Coro) -> bool:
        """Put ``message`` in without waiting, up to twice the limit; ``sender`` waits at its next ``yield`` then."""
        room = self._mailbox.room
        assert room is not None
        is_beyond = room.overdraw(message)
        if is_beyond and sender is not self:
            sender.owe(room, self._send_timeout())
        return is_beyond is not None

    def owe(self, room: Any, timeout: float) -> None:
        """Have this coroutine, a generator that runs now, wait at its next ``yield``: for ``room.wait(timeout)``."""
        worker = self._worker
        if worker.debts is None:
            worker.debts = {}
        worker.debts[room] = timeout

    def put_past_limit(self, message: Any) -> None:
        """Put ``message`` into the mailbox though that may be full: what comes from elsewhere is bounded by credit."""
        self._mailbox.put(message)

    def deliver(self, message: Any, timeout: float | None = None) -> int:
        """Put ``message`` into the mailbox and learn whether it got there.

        Args:
            timeout (float | None): Longest wait, for room or for a remote coroutine's process to confirm, in seconds.

        Returns:
            int: 1 where the message is in the mailbox of a live coroutine; 0 where that is not confirmed.
        """
        return self._deliver(message, seconds(timeout, "deliver()"), "asyncio.to_thread(coro.deliver, message)")

    def _deliver(self, message: Any, timeout: float | None, instead: str) -> int:
        if self._state > _ACTIVE:
            return 0
        room = self._mailbox.room
        if room is None:
            self._mailbox.put(message)
        elif not room.offer(message):
            # Who lets a waiting message in is alive; it may have read that and ended before the sender goes on.
            return 1 if self._send_waiting(message, timeout, instead) else 0
        # From another thread it may have ended between the look at its state and the message.
        return 1 if self._state <= _ACTIVE else 0

    def room(self) -> tuple[Room | None, float]:
        """Where senders wait while its mailbox is full (None: it never was limited), and their ``send_timeout``."""
        return self._mailbox.room, self._send_timeout()

    def _send_timeout(self) -> float:
        if self._home is not None:
            return self._home.send_timeout_seconds
        return process_settings().effective_send_timeout_seconds

    def _send_waiting(self, message: Any, timeout: float | None, instead: str) -> bool:
        """Wait for room and put ``message`` in; who must not wait here is told what to use ``instead``."""
        room = self._mailbox.room
        assert room is not None
        sender = running()
        # Nobody but a coroutine itself makes room in its mailbox, and a callback may not wait.
        if sender is self or native.thread_hub() is getcurrent():
            return False
        may_wait = timeout is None or timeout > 0
        if sender is None and may_wait and native.asyncio_loop_runs():
            raise WouldBlock(f"the mailbox of {self!r} is full; here, use: await {instead}")
        if sender is not None:
            sender._raise_pending()
        return room.wait(timeout, message)

    async def send_async(self, message: Any) -> int:
        """`send` for code on an asyncio loop: where the mailbox is full, that is awaited."""
        from greencoro.hub.awaiting import until

        room = self._mailbox.room
        if room is None or self._state > _ACTIVE:
            return self.send(message)
        sender = room.enter(message)
        if sender is None:
            return -1
        try:
            await until(sender.changed, self._send_timeout())
        finally:
            accepted = room.leave(sender)
        return 0 if accepted else -1

    @property
    def max_mailbox(self) -> int | None:
        """How many messages its mailbox holds before senders here wait; None, the default: any number fits.

        Raises:
            TypeError: Set to something else than None or a whole number.

            ValueError: Set to a number below 1.
        """
        return self._mailbox.limit

    @max_mailbox.setter
    def max_mailbox(self, limit: int | None) -> None:
        if limit is not None:
            is_number = isinstance(limit, int) and not isinstance(limit, bool)
            if not is_number or limit < 1:
                kind = ValueError if is_number else TypeError
                raise kind(f"max_mailbox is a number of messages of at least 1, or None for no limit, not {limit!r}")
        self._mailbox.limit = limit

    def receive(
        self,
        timeout: float | None = None,
        alarm_value: Any = None,
        match: Callable[[Any], object] | None = None,
    ) -> Any:
        """Take the oldest message, waiting for one if the mailbox is empty; only the coroutine itself may call this.

        Messages from one sender arrive in the order sent; between senders no order is promised. One from elsewhere that
        cannot be decoded is dropped with a warning, and the wait goes on.

        Args:
            timeout (float | None): Longest wait, in seconds. ``None`` waits for ever; ``0`` does not wait.

            alarm_value: What to return where nothing came in time.

            match: Take the oldest message for which ``match(message)`` is true, and leave the others where they are.

        Returns:
            The message, or ``alarm_value``; then the mailbox is unchanged.

        Raises:
            Terminated: This coroutine was terminated while it waited. The mailbox is unchanged.

            RuntimeError: Called by somebody else than the coroutine itself.
        """
        if self._routine is not None:
            token = self._routine.token_of_receive(sys._getframe(1), timeout, alarm_value, match)
            if token is not None:
                return token
        if timeout is not None:
            timeout = seconds(timeout, "receive()")
        worker = self._worker
        if worker is not getcurrent() or self._pending is not None:
            self._must_be_caller("receive")
        if match is None:
            return self._mailbox.take(timeout, alarm_value, worker)
        if not callable(match):
            raise TypeError(f"match= of receive() takes a function of a message, not {match!r}")
        return self._mailbox.take_matching(match, timeout, alarm_value)

    def receive_here(self, timeout: float | None, alarm_value: Any) -> Any:
        """`receive` for code of ours: it waits where it is called, though the coroutine be a generator."""
        self._must_be_caller("receive")
        return self._mailbox.take(timeout, alarm_value, self._worker)

    def call(self, message: Any, timeout: float | None = None) -> Any:
        """Ask the coroutine something and wait for its answer.

        It receives a `Request` with the ``message`` and answers with ``request.reply(value)``.

        Args:
            timeout (float | None): Longest wait, in seconds. ``None`` waits for ever.

        Returns:
            What it replied.

        Raises:
            DeadlineExceeded: No answer came in time; what the coroutine does about the request goes on.

            BrokenResource: The coroutine is over, or ended without an answer. Its cause is what it raised.

            BaseException: What it gave to ``request.fail(error)``.
        """
        timeout = seconds(timeout, "call()")
        if self._worker is getcurrent():
            raise RuntimeError(f"{self!r} would wait for its own answer")
        return requests.ask(self, message, timeout)

    # Names.

    def _names(self) -> names.Names:
        return names.default if self._home is None else self._home.names

    def register(self, name: str | None = None) -> int:
        """Make the coroutine known under ``name`` (default: its function's name), for `locate` here and at peers.

        When the coroutine is over, its names are free again.

        Returns:
            int: 0; -1 where the name is taken here, or the coroutine is over.

        Raises:
            TypeError, ValueError: ``name`` is no text, or empty.
        """
        name = names.checked(self.name if name is None else name)
        if self._state > _ACTIVE:
            return -1
        if not self._names().register("coro", name, self):
            return -1
        if self._state > _ACTIVE:  # ended meanwhile, on another thread
            self._names().unregister("coro", name, self)
            return -1
        return 0

    def unregister(self, name: str | None = None) -> int:
        """Undo `register`; 0, or -1 where that name is not this coroutine's."""
        name = names.checked(self.name if name is None else name)
        return 0 if self._names().unregister("coro", name, self) else -1

    @staticmethod
    def locate(name: str, location: Any = None, timeout: float | None = None) -> Coro | None:
        """Find the coroutine registered as ``name``: here first, then at the peers, waiting for it to appear.

        Args:
            location (Location | None): Ask only there.

            timeout (float | None): Longest wait, in seconds. ``None`` waits for ever.

        Returns:
            Coro | None: A reference; None where there was none in time.

        Raises:
            TypeError, ValueError: ``name`` is no text, or empty.

            RuntimeError: A location was given, and this process has no Runtime to ask there.
        """
        found: Coro | None = names.find("coro", name, location, timeout, current_home())
        return found

    # The rest.

    @staticmethod
    def current() -> Coro | None:
        """The coroutine that runs this code; None outside of coroutines."""
        return running()

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
        return _reduce(self)

    def __repr__(self) -> str:
        location = self.location
        return f"{self.name}/{self.id}" if location is None else f"{self.name}/{self.id}@{location}"


def find(coro_id: int) -> Coro | None:
    """The live local coroutine with this id, or None."""
    return process_exit.alive.get(coro_id)


def current_home() -> Any:
    """The runtime in which the running coroutine is at home; None stands for the process's default one."""
    coro = running()
    return None if coro is None else coro._home
