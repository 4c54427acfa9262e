"""One file that comes from a peer."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from greencoro.distributed import messages, stat_fields
from greencoro.distributed.bell import Bell
from greencoro.distributed.calls import Request
from greencoro.distributed.file_store import FileStore, Part, standing
from greencoro.distributed.link import Link
from greencoro.distributed.transfer_accounts import Accounts
from greencoro.distributed.transfer_plan import Receiving, Standing, Window, answer_to
from greencoro.distributed.transfer_words import NEWS, Answer, Offer, busy_seconds, read_digest, read_number
from greencoro.errors import DeadlineExceeded, GreencoroError, PeerLost, RemoteProtocolError, TransferError
from greencoro.hub import native
from greencoro.log import escape

__all__ = ["Incoming", "Log", "why"]

#: Logs from any thread: (level, line, *arguments).
Log = Callable[..., None]

#: A disk that forces data out for longer than so many timeouts of the transfer is said to hang.
_PATIENCE = 10


class Incoming:
    """The receiver's side of one transfer. Its thread is `run`; the reactor hands it what comes.

    Args:
        request (Request): The offer, to be answered.

        on_over: Called at the end, by whatever thread that is in.

    Attributes:
        over (native.Event): Nothing of it is left.

        timeout (float): The offer's.
    """

    def __init__(
        self,
        request: Request,
        offer: Offer,
        store: FileStore,
        accounts: Accounts,
        window: Window,
        log: Log,
        on_over: Callable[[], None],
    ) -> None:
        self.over = native.Event()
        self.timeout = offer.timeout
        self._plan: Receiving | None = None
        self._request = request
        self._offer = offer
        self._store = store
        self._accounts = accounts
        self._window = window
        self._log = log
        self._on_over = on_over
        self._link: Link = request.link
        self._chunks: deque[bytes] = deque()
        self._bell = Bell()
        self._error: GreencoroError | None = None
        self._told_at = 0.0
        self._syncing_since: float | None = None

    # The reactor.

    def on_data(self, request: Request) -> None:
        """A chunk came."""
        plan = self._plan
        try:
            if plan is None:
                raise RemoteProtocolError("data came before the answer to the offer")
            offset = read_number(request.header, "at")
            self._chunks.append(plan.arrived(offset, request.parts, native.monotonic()))
        except RemoteProtocolError as error:
            self.give_up(error)
        self._bell.ring()

    def on_digest(self, request: Request) -> None:
        """The sender says what the digest is."""
        plan = self._plan
        try:
            if plan is None:
                raise RemoteProtocolError("a digest came before the answer to the offer")
            plan.told_digest(read_digest(request.header), native.monotonic())
        except RemoteProtocolError as error:
            self.give_up(error)
        self._bell.ring()

    def on_still_here(self) -> None:
        """The sender is busy, and will go on."""
        if self._plan is not None:
            self._plan.moved(native.monotonic())

    def on_tick(self) -> None:
        """To be called each `busy_seconds`: its thread says nothing while the disk takes its time."""
        since = self._syncing_since
        if since is not None and native.monotonic() - since < _PATIENCE * self.timeout:
            self._tell(busy=True)

    def give_up(self, error: GreencoroError) -> None:
        """End the transfer for this reason; any thread."""
        if self._error is None:
            self._error = error
        self._bell.ring()

    # Its thread.

    def run(self) -> None:
        """Answer the offer, and take the file."""
        lost = ("file", self._offer.number)
        self._link.when_lost(lost, lambda error: self.give_up(PeerLost(str(error))))
        try:
            self._take(self._offer)
        except Exception as error:
            # Of any kind: the sender waits for a word.
            self._failed(error)
        finally:
            if self._plan is not None:
                self._plan.end()
            self._link.on_lost.pop(lost, None)
            self._chunks.clear()
            self._on_over()
            self.over.set()

    def _failed(self, error: Exception) -> None:
        reason = why(error)
        self._log(logging.WARNING, "a file is not taken from %s: %s", self._link.info, escape(reason))
        if self._plan is None:
            self._request.fail(TransferError(reason))
        else:
            self._tell(failed=reason)

    def _take(self, offer: Offer) -> None:
        found = self._store.look(offer.place)
        part = self._store.new_part(offer.mode)
        try:
            # Before anything is counted: a file that differs is not refused for its size.
            answer = answer_to(offer, standing(found), part.permissions)
            if answer is Answer.DIFFERS and found is not None:
                part.discard()
                self._request.reply({"do": answer.value, "stat": stat_fields.pack(found)})
                return
            self._accounts.check_size(offer.size)
            verdict = None
            if answer is Answer.COMPARE and found is not None:
                verdict = self._compare(offer, found, self._begin(answer))
            if verdict is None:
                verdict = self._receive(offer, part)
        finally:
            part.discard()
        # Only now: when the sender hears of it nothing is left but the file.
        self._tell(**verdict)

    def _begin(self, answer: Answer) -> Receiving:
        window = self._window
        plan = self._plan = Receiving(answer, self._offer.size, window, self.timeout, native.monotonic())
        self._request.reply({"do": answer.value, "window": window.size, "chunks": window.chunks})
        return plan

    def _receive(self, offer: Offer, part: Part) -> dict[str, Any]:
        """Ask for the data, save it, and return what is to be said in the end."""
        peer = self._link.info
        self._accounts.reserve(peer, offer.place, offer.size, self._store.free_bytes())
        try:
            plan = self._plan
            if plan is None:
                plan = self._begin(Answer.SEND)
            else:
                # It was compared.
                plan.differs(native.monotonic())
                self._tell(do=Answer.SEND.value)
            self._write(plan, part)
            plan.check(part.hexdigest())
            with self._syncing():
                part.finish(offer.mtime_ns)
            # A sender that gave up meanwhile has said that it is not there.
            self._check_wanted()
            with self._syncing():
                before, saved = self._store.save(
                    part, offer.place, offer.overwrite, lambda: self._accounts.placed(peer, offer.place, offer.size)
                )
        finally:
            self._accounts.release(peer, offer.place, offer.size)
        if before is not None and not saved:
            return self._came_second(offer, part, before)
        self._log(logging.INFO, "file.saved name=%s size=%d from=%s", escape(offer.place), offer.size, peer)
        return {"result": 0}

    def _write(self, plan: Receiving, part: Part) -> None:
        while not plan.is_complete:
            self._wait(plan)
            while self._chunks and self._error is None:
                chunk = self._chunks.popleft()
                part.write(chunk)
                if part.is_sync_due:
                    with self._syncing():
                        part.sync()
                plan.wrote(len(chunk), native.monotonic())
                self._tell(written=plan.written)

    def _came_second(self, offer: Offer, part: Part, there: os.stat_result) -> dict[str, Any]:
        """What is to be said where another transfer was first to save a file that is not to be overwritten."""
        mine = Standing(True, offer.size, offer.mtime_ns, part.permissions)
        if standing(there) == mine and self._store.digest(offer.place, self._still_busy) == part.hexdigest():
            return {"result": 1}
        return {"do": Answer.DIFFERS.value, "stat": stat_fields.pack(there)}

    def _compare(self, offer: Offer, found: os.stat_result, plan: Receiving) -> dict[str, Any] | None:
        """Compare what looks the same; returns what is to be said, or None where data is asked for."""
        digest = self._store.digest(offer.place, self._still_busy)
        while plan.digest is None:
            self._wait(plan)
        now = self._store.look(offer.place)
        if digest == plan.digest and standing(now) == standing(found):
            return {"result": 1}
        if now is not None and not offer.overwrite:
            return {"do": Answer.DIFFERS.value, "stat": stat_fields.pack(now)}
        return None

    @contextmanager
    def _syncing(self) -> Iterator[None]:
        """While data is forced to the disk, which says nothing before it is done."""
        self._syncing_since = native.monotonic()
        try:
            yield
        finally:
            self._syncing_since = None

    def _still_busy(self) -> None:
        self._check_wanted()
        now = native.monotonic()
        if now - self._told_at >= busy_seconds(self.timeout):
            self._told_at = now
            self._tell(busy=True)

    def _wait(self, plan: Receiving) -> None:
        """Until something came.

        Raises:
            GreencoroError: It is given up.
        """
        left = plan.seconds_left(native.monotonic())
        if left > 0 and self._error is None and not self._chunks and plan.digest is None:
            self._bell.wait(left)
        elif left <= 0:
            raise DeadlineExceeded(f"nothing came for {plan.timeout:g} s")
        self._check_wanted()

    def _check_wanted(self) -> None:
        """Go on only where nobody has given it up.

        Raises:
            GreencoroError: Why it was.
        """
        if self._error is not None:
            raise self._error

    def _tell(self, **news: Any) -> None:
        header = {"transfer": self._offer.number} | news
        # No key: small ones, which wait for nothing that is large.
        self._link.send(None, messages.Request(0, NEWS, header, ()).encode())


def why(error: Exception) -> str:
    """An error in words that say nothing of this machine's directories."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) if isinstance(error, GreencoroError) else f"{type(error).__name__}: {error}"
