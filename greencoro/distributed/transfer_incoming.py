"""One file that comes from a peer."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable
from typing import Any

from greencoro.distributed import messages, stat_fields
from greencoro.distributed.bell import Bell
from greencoro.distributed.calls import Request
from greencoro.distributed.file_store import FileStore, Part, standing
from greencoro.distributed.link import Link
from greencoro.distributed.transfer_accounts import Accounts
from greencoro.distributed.transfer_plan import Receiving, Window, answer_to
from greencoro.distributed.transfer_words import BUSY_SECONDS, NEWS, Answer, Offer, read_digest, read_number
from greencoro.errors import DeadlineExceeded, GreencoroError, PeerLost, RemoteProtocolError, TransferError
from greencoro.hub import native
from greencoro.log import escape

__all__ = ["Incoming", "Log", "why"]

#: Logs from any thread: (level, line, *arguments).
Log = Callable[..., None]


class Incoming:
    """The receiver's side of one transfer. Its thread is `run`; the reactor hands it what comes.

    Args:
        request (Request): The offer, to be answered.

        on_over: Called at the end, by whatever thread that is in.

    Attributes:
        over (native.Event): Nothing of it is left.
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
        except (GreencoroError, OSError) as error:
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
            self._accounts.reserve(self._link.info, offer.size, self._store.free_bytes())
            verdict: dict[str, Any] = {}
            try:
                verdict = self._follow(offer, answer, found, part)
            finally:
                if verdict.get("result") != 0:
                    self._accounts.give_back(self._link.info, offer.size)
        finally:
            part.discard()
        # Only now: when the sender hears of it nothing is left but the file.
        self._tell(**verdict)

    def _follow(self, offer: Offer, answer: Answer, found: os.stat_result | None, part: Part) -> dict[str, Any]:
        """Do what was answered, and return what is to be said in the end."""
        window = self._window
        plan = self._plan = Receiving(answer, offer.size, window, offer.timeout, native.monotonic())
        self._request.reply({"do": answer.value, "window": window.size, "chunks": window.chunks})
        if answer is Answer.COMPARE and found is not None:
            verdict = self._compare(offer, found, plan)
            if verdict is not None:
                return verdict
        while not plan.is_complete:
            self._wait(plan)
            while self._chunks and self._error is None:
                chunk = self._chunks.popleft()
                part.write(chunk)
                plan.wrote(len(chunk), native.monotonic())
                self._tell(written=plan.written)
        plan.check(part.hexdigest())
        before, saved = self._store.save(part, offer.place, offer.mtime_ns, offer.overwrite)
        if before is not None and not saved:
            return {"do": Answer.DIFFERS.value, "stat": stat_fields.pack(before)}
        if before is not None:
            self._accounts.give_back(self._link.info, before.st_size)
        self._log(logging.INFO, "file.saved name=%s size=%d from=%s", escape(offer.place), offer.size, self._link.info)
        return {"result": 0}

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
        plan.differs(native.monotonic())
        self._tell(do=Answer.SEND.value)
        return None

    def _still_busy(self) -> None:
        if self._error is not None:
            raise self._error
        now = native.monotonic()
        if now - self._told_at >= BUSY_SECONDS:
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
    return str(error)
