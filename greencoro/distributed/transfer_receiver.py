"""The receiving side of one runtime: files that peers send, and have removed again.

Each transfer has a native thread, which reads what the reactor hands it and writes to the disk; a thread that always
waits starts it, because starting one takes longer than the reactor may stand still.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from greencoro.distributed.bell import Bell
from greencoro.distributed.calls import Request
from greencoro.distributed.file_store import FileStore
from greencoro.distributed.reach import Reach
from greencoro.distributed.reactor import Reactor, Timer
from greencoro.distributed.transfer_accounts import Accounts
from greencoro.distributed.transfer_incoming import Incoming, why
from greencoro.distributed.transfer_plan import Limits, Window
from greencoro.distributed.transfer_words import (
    CANCEL,
    DATA,
    DELETE,
    DIGEST,
    OFFER,
    STILL_HERE,
    Offer,
    Place,
    busy_seconds,
    read_number,
)
from greencoro.errors import BusyResource, ClosedResource, RemoteProtocolError, TransferError
from greencoro.hub import native
from greencoro.log import escape

__all__ = ["Receiver", "Serving"]

_log = logging.getLogger(__name__)


class Serving(Protocol):
    """What a runtime gives to those who transfer files."""

    @property
    def reactor(self) -> Reactor: ...

    @property
    def reach(self) -> Reach: ...

    def handle(self, operation: str, handler: Callable[[Request], None], on_reactor: bool = False) -> None: ...


class _Key(NamedTuple):
    incarnation: bytes
    number: int


class _Job(NamedTuple):
    """What a thread is to do."""

    request: Request
    run: Callable[[], None]
    #: Called where no thread can be had.
    drop: Callable[[], None]


class Receiver:
    """See the module.

    Args:
        window (Window): What each transfer may have in memory.
    """

    def __init__(self, runtime: Serving, store: FileStore, limits: Limits, window: Window) -> None:
        self._reactor = runtime.reactor
        self._reach = runtime.reach
        self._store = store
        self._stores = [store]
        self._accounts = Accounts(limits)
        self._window = window
        self._transfers: dict[_Key, Incoming] = {}
        self._bell = Bell()
        self._jobs: deque[_Job] = deque()
        self._timer: Timer | None = None
        self._interval = 0.0
        self._closed = False
        self._starter = native.Thread(self._start_others, "greencoro-files")
        self._starter.start()
        for operation, handler in (
            (OFFER, self._on_offer),
            (DATA, self._on_data),
            (DIGEST, self._on_digest),
            (STILL_HERE, self._on_still_here),
            (CANCEL, self._on_cancel),
            (DELETE, self._on_delete),
        ):
            runtime.handle(operation, handler, on_reactor=True)

    def close(self, timeout: float) -> None:
        """Give up what is under way, and take nothing more."""
        self._closed = True
        deadline = native.monotonic() + timeout
        self._reactor.post(self._stop_ticking)
        self._bell.ring()
        self._starter.join(timeout)
        self._drop_jobs()
        transfers = list(self._transfers.values())
        for transfer in transfers:
            transfer.give_up(ClosedResource("the receiver finishes"))
        # What a disk that hangs still has is found by the lock, at the next start.
        if all(transfer.over.wait(deadline - native.monotonic()) for transfer in transfers):
            for store in self._stores:
                store.close()

    def use(self, store: FileStore) -> None:
        """Save and remove there from now on; what is under way goes where it was to."""
        self._stores.append(store)
        self._store = store
        self._remove_abandoned(store)

    def _remove_abandoned(self, store: FileStore) -> None:
        try:
            store.remove_abandoned()
        except OSError as error:
            line = "what dead processes left in %s cannot be removed: %s"
            self._say(logging.WARNING, line, store.path, error.strerror)

    # The reactor.

    def _on_offer(self, request: Request) -> None:
        offer = Offer.of(request.header)
        key = _Key(request.peer.incarnation, offer.number)
        if key in self._transfers:
            raise RemoteProtocolError(f"a transfer has the number {offer.number} already")

        def over() -> None:
            self._transfers.pop(key, None)
            self._accounts.end(request.peer)

        self._begin(request)
        transfer = Incoming(request, offer, self._store, self._accounts, self._window, self._say, over)
        self._transfers[key] = transfer
        self._tick_within(busy_seconds(offer.timeout))
        self._start(_Job(request, transfer.run, over))

    def _tick_within(self, interval: float) -> None:
        if self._timer is None or interval < self._interval:
            self._stop_ticking()
            self._interval = interval
            self._timer = self._reactor.call_later(interval, self._tick)

    def _tick(self) -> None:
        self._timer = None
        transfers = list(self._transfers.values())
        for transfer in transfers:
            transfer.on_tick()
        if transfers and not self._closed:
            self._tick_within(min(busy_seconds(transfer.timeout) for transfer in transfers))

    def _stop_ticking(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _on_data(self, request: Request) -> None:
        transfer = self._find(request)
        if transfer is not None:
            transfer.on_data(request)

    def _on_digest(self, request: Request) -> None:
        transfer = self._find(request)
        if transfer is not None:
            transfer.on_digest(request)

    def _on_still_here(self, request: Request) -> None:
        transfer = self._find(request)
        if transfer is not None:
            transfer.on_still_here()

    def _on_cancel(self, request: Request) -> None:
        transfer = self._find(request)
        if transfer is not None:
            transfer.give_up(TransferError("the sender gave up"))

    def _on_delete(self, request: Request) -> None:
        place, store, prune = Place.of(request.header), self._store, request.header.get("prune") is True
        self._begin(request)
        self._start(
            _Job(request, lambda: self._delete(request, store, place, prune), lambda: self._accounts.end(request.peer))
        )

    def _find(self, request: Request) -> Incoming | None:
        """The transfer that a message is about; None where it is over, which the sender may not know yet."""
        return self._transfers.get(_Key(request.peer.incarnation, read_number(request.header, "transfer")))

    def _begin(self, request: Request) -> None:
        if not self._reach.lets_in(request.link):
            raise TransferError("that runtime takes files of those alone who have a reference to something there")
        if self._closed:
            raise ClosedResource("the receiver finishes")
        self._accounts.begin(request.peer)
        # What a request holds besides is not to be kept for as long as it is served.
        request.header, request.parts = {}, []

    def _start(self, job: _Job) -> None:
        self._jobs.append(job)
        self._bell.ring()
        if self._closed:
            self._drop_jobs()

    def _drop_jobs(self) -> None:
        """Nobody starts what has not begun."""
        with suppress(IndexError):
            while True:
                job = self._jobs.popleft()
                job.request.fail(ClosedResource("the receiver finishes"))
                job.drop()

    # The starter's thread, and those that it starts.

    def _start_others(self) -> None:
        self._remove_abandoned(self._stores[0])
        while not self._closed:
            self._bell.wait()
            while self._jobs and not self._closed:
                try:
                    job = self._jobs.popleft()
                except IndexError:
                    break  # dropped
                try:
                    native.Thread(job.run, "greencoro-file").start()
                except RuntimeError as error:
                    job.request.fail(BusyResource(str(error)))
                    job.drop()

    def _delete(self, request: Request, store: FileStore, place: Place, prune: bool) -> None:
        try:
            store.delete(place, lambda: self._accounts.removed(place), prune)
            request.reply()
            self._say(logging.INFO, "file.deleted name=%s by=%s", escape(place), request.peer)
        except Exception as error:
            # Of any kind: who asked waits for an answer.
            request.fail(TransferError(why(error)))
            self._say(logging.WARNING, "a file is not removed for %s: %s", request.peer, escape(why(error)))
        finally:
            self._accounts.end(request.peer)

    def _say(self, level: int, line: str, *args: Any) -> None:
        """Log, so many lines of one kind a second; any thread."""
        self._reactor.post(self._reactor.log.log, _log, level, line, *args)
