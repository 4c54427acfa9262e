"""The calls of an executor that wait for a server: so many at most, with so many bytes."""

from __future__ import annotations

from collections import OrderedDict, deque

from greencoro.compute.futures import JobFuture
from greencoro.compute.shipping import Prepared
from greencoro.compute.shown import counted, sized
from greencoro.compute.terminal import say
from greencoro.errors import WouldBlock
from greencoro.hub import native
from greencoro.hub.completion import Completion

__all__ = ["WaitingCall", "WaitingCalls"]

#: After this long it is said what `WaitingCalls.admit` waits for.
_SAY_AFTER_SECONDS = 5.0


class WaitingCall:
    """A call for which there was no server yet.

    Attributes:
        future (JobFuture): Of its result.

        prepared (Prepared): What is to be sent.

        since (float): When it came, by the monotonic clock.
    """

    __slots__ = ("future", "prepared", "since")

    def __init__(self, future: JobFuture, prepared: Prepared, since: float) -> None:
        self.future = future
        self.prepared = prepared
        self.since = since


class _Waiter:
    """Who wants a place for a call of that size."""

    __slots__ = ("granted", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.granted = Completion()


class WaitingCalls:
    """Calls in the order in which they came; any thread or coroutine.

    A call is admitted before it is put here, and has its place until it is taken or withdrawn. One that is larger than
    all that may wait is admitted where no other has a place.

    Args:
        max_calls (int), max_bytes (int): What may wait.
    """

    def __init__(self, max_calls: int, max_bytes: int) -> None:
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        # For what follows; held for a few lines, with no call out.
        self._lock = native.Lock()
        self._calls: OrderedDict[WaitingCall, None] = OrderedDict()
        #: Places that are taken, and the bytes of those who have them.
        self._places = 0
        self._bytes = 0
        #: Whoever came first is admitted first, so that large calls have their turn.
        self._waiters: deque[_Waiter] = deque()
        self._has_said = False
        #: Will no call be put here any more?
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._calls)

    def admit(self, size: int) -> None:
        """Take a place for a call of so many bytes, waiting for it.

        In a thread in which a loop of asyncio runs nothing waits: there is room for twice as much.

        Raises:
            WouldBlock: That is taken too.
        """
        if native.asyncio_loop_runs():
            with self._lock:
                if not self._has_room(size, 2):
                    raise WouldBlock(f"{self._amount()} waiting for a server, and a loop runs here: await some first")
                self._take_place(size)
            return
        with self._lock:
            if not self._waiters and self._has_room(size):
                self._take_place(size)
                return
            waiter = _Waiter(size)
            self._waiters.append(waiter)
        try:
            if not waiter.granted.wait(_SAY_AFTER_SECONDS):
                self._say()
                waiter.granted.wait()
        except BaseException:
            self._withdraw(waiter)
            raise

    def give_back(self, size: int) -> None:
        """The place of a call that was admitted, and is not put here."""
        with self._lock:
            admitted = self._free(size)
        _let_go(admitted)

    def put(self, call: WaitingCall) -> None:
        """Have a call that was admitted wait."""
        with self._lock:
            self._calls[call] = None

    def take(self, until: float | None = None) -> WaitingCall | None:
        """The oldest one, whose place is free then; None where there is none, or none that came before ``until``."""
        with self._lock:
            call = next(iter(self._calls), None)
            if call is None or (until is not None and call.since > until):
                return None
            del self._calls[call]
            admitted = self._free(call.prepared.size)
        _let_go(admitted)
        return call

    def withdraw(self, call: WaitingCall) -> bool:
        """Have a call wait no more, and its place free; False where it was taken or withdrawn before."""
        with self._lock:
            if call not in self._calls:
                return False
            del self._calls[call]
            admitted = self._free(call.prepared.size)
        _let_go(admitted)
        return True

    def close(self) -> None:
        """No call will be put here any more: whoever waits for a place is let go, with one."""
        with self._lock:
            self._is_closed = True
            admitted = self._admit_waiters()
        _let_go(admitted)

    def all(self) -> list[WaitingCall]:
        """Those that wait now."""
        with self._lock:
            return list(self._calls)

    # With the lock.

    def _has_room(self, size: int, times: int = 1) -> bool:
        if self._is_closed:
            return True
        # Without bytes of others there is room for any size.
        has_bytes = not self._bytes or self._bytes + size <= times * self._max_bytes
        return has_bytes and self._places < times * self._max_calls

    def _take_place(self, size: int) -> None:
        self._places += 1
        self._bytes += size

    def _free(self, size: int) -> list[_Waiter]:
        self._places -= 1
        self._bytes -= size
        return self._admit_waiters()

    def _admit_waiters(self) -> list[_Waiter]:
        admitted = []
        while self._waiters and self._has_room(self._waiters[0].size):
            waiter = self._waiters.popleft()
            self._take_place(waiter.size)
            admitted.append(waiter)
        return admitted

    def _amount(self) -> str:
        return f"{counted(self._places, 'call')} with {sized(self._bytes)} of arguments"

    # Without it.

    def _withdraw(self, waiter: _Waiter) -> None:
        """Whoever waited was interrupted."""
        with self._lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
                admitted = self._admit_waiters()
            else:
                admitted = self._free(waiter.size)
        _let_go(admitted)

    def _say(self) -> None:
        """Once: from then on it is what an executor is at that has enough to do."""
        with self._lock:
            has_said, self._has_said = self._has_said, True
            amount = self._amount()
        if not has_said:
            say(
                f"submit() waits: no more may wait for a server than {counted(self._max_calls, 'call')} (max_waiting), "
                f"with {sized(self._max_bytes)} of arguments (max_waiting_bytes); now: {amount}"
            )


def _let_go(admitted: list[_Waiter]) -> None:
    for waiter in admitted:
        waiter.granted.set()
