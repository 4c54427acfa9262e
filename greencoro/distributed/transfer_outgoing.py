"""One file on its way to a peer."""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from greencoro.distributed import messages, stat_fields
from greencoro.distributed.bell import Bell
from greencoro.distributed.calls import Reply, Request
from greencoro.distributed.file_store import READ_BYTES
from greencoro.distributed.link import Link
from greencoro.distributed.transfer_plan import Phase, Sending, Window
from greencoro.distributed.transfer_words import (
    CANCEL,
    DATA,
    DIGEST,
    NEWS,
    OFFER,
    STILL_HERE,
    Answer,
    Offer,
    Place,
    Word,
    busy_seconds,
    read_answer,
    read_number,
)
from greencoro.errors import DeadlineExceeded, GreencoroError, PeerLost, RemoteProtocolError, TransferError
from greencoro.hub import native
from greencoro.hub.completion import Completion

__all__ = ["Asking", "News", "Outgoing"]

#: News of one receiver that wait to be read, where one says each `busy_seconds` that it is busy.
_MAX_NEWS = 100_000


class Asking(Protocol):
    """What a runtime gives to those who send files."""

    def handle(self, operation: str, handler: Callable[[Request], None], on_reactor: bool = False) -> None: ...

    def request(
        self, to: Any, operation: str, header: dict[str, Any], parts: Any = (), timeout: float | None = None
    ) -> Reply: ...


class News:
    """Hands on what receivers say to the transfers that it is about."""

    def __init__(self, runtime: Asking) -> None:
        self._numbers = itertools.count(1)
        self._listeners: dict[int, tuple[Link, Callable[[dict[str, Any]], None]]] = {}
        runtime.handle(NEWS, self._on_news, on_reactor=True)

    @contextmanager
    def heard(self, link: Link, listener: Callable[[dict[str, Any]], None]) -> Iterator[int]:
        """A number for a transfer; ``listener(news)`` is called on the reactor with what the peer says about it."""
        number = next(self._numbers)
        self._listeners[number] = link, listener
        try:
            yield number
        finally:
            del self._listeners[number]

    def _on_news(self, request: Request) -> None:
        link, listener = self._listeners.get(read_number(request.header, "transfer"), (None, None))
        # Another peer has nothing to say about it; and some may come when a transfer is over.
        if link is request.link and listener is not None:
            listener(request.header)


class Outgoing:
    """The sender's side of one transfer. Its thread is `run`.

    Attributes:
        outcome (Completion): 0, 1 or the `os.stat_result` of the other file that is there; or the error.

        written (int): Bytes that the receiver has written.

        size (int | None): Of the file; None before it is opened.
    """

    def __init__(
        self,
        runtime: Asking,
        news: News,
        link: Link,
        path: str,
        place: Place,
        overwrite: bool,
        timeout: float,
        chunk_bytes: int,
        window_bytes: int,
    ) -> None:
        self.outcome = Completion()
        self.written = 0
        self.size: int | None = None
        self._runtime = runtime
        self._news = news
        self._link = link
        self._path = path
        self._place = place
        self._overwrite = overwrite
        self._timeout = timeout
        self._chunk_bytes = chunk_bytes
        self._window_bytes = window_bytes
        self._number = 0
        self._heard: deque[Word] = deque()
        self._bell = Bell()
        self._error: GreencoroError | None = None
        self._told_at = 0.0

    def give_up(self, error: GreencoroError) -> None:
        """End it for this reason; any thread."""
        if self._error is None:
            self._error = error
        self._bell.ring()

    def run(self) -> None:
        """Send the file, or find out why not."""
        try:
            descriptor = self._open()
            try:
                with self._news.heard(self._link, self._on_news) as self._number:
                    outcome = self._offer_and_send(descriptor)
            finally:
                native.close(descriptor)
        except Exception as error:
            # Logged by the caller, to whom it is raised.
            self.outcome.fail(error)
        else:
            self.outcome.set(outcome)

    def _open(self) -> int:
        try:
            found = os.stat(self._path)
        except ValueError as error:
            # A NUL, or what the system's encoding has no bytes for.
            raise TransferError(f"{self._path!r} names no file: {error}") from error
        # To open some devices is to use them.
        self._check_is_file(found)
        descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._source = os.fstat(descriptor)
            self._check_is_file(self._source)
        except BaseException:
            native.close(descriptor)
            raise
        self.size = self._source.st_size
        return descriptor

    def _check_is_file(self, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            kinds = {stat.S_IFDIR: "directory", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
            kind = kinds.get(stat.S_IFMT(found.st_mode), "device")
            raise TransferError(f"it is a {kind}, and only regular files are sent")

    def _offer_and_send(self, descriptor: int) -> int | os.stat_result:
        offer = Offer(
            self._number,
            self._place,
            self._source.st_size,
            self._source.st_mtime_ns,
            stat.S_IMODE(self._source.st_mode),
            self._overwrite,
            self._timeout,
        )
        lost = ("file sent", self._number)
        self._link.when_lost(lost, lambda error: self.give_up(PeerLost(str(error))))
        try:
            reply = self._runtime.request(self._link.info, OFFER, offer.header(), timeout=self._timeout)
            return self._act_on(reply.header, descriptor)
        except Exception:
            self._post(CANCEL, {})
            raise
        finally:
            self._link.on_lost.pop(lost, None)

    def _act_on(self, header: dict[str, Any], descriptor: int) -> int | os.stat_result:
        answer = read_answer(header)
        if answer is Answer.DIFFERS:
            return stat_fields.unpack(header.get("stat"))
        window = Window(
            min(read_number(header, "window", lowest=1), self._window_bytes), read_number(header, "chunks", lowest=1)
        )
        size = self._source.st_size
        plan = Sending(answer, size, self._chunk_bytes, window, self._timeout, native.monotonic())
        if answer is Answer.COMPARE:
            self._post(DIGEST, {"digest": self._digest_of_source(descriptor)})
        return self._send(plan, descriptor)

    def _digest_of_source(self, descriptor: int) -> str:
        found = hashlib.sha256()
        size = self._source.st_size
        for offset in range(0, size, READ_BYTES):
            found.update(self._read(descriptor, offset, min(READ_BYTES, size - offset)))
            now = native.monotonic()
            if now - self._told_at >= busy_seconds(self._timeout):
                self._told_at = now
                self._post(STILL_HERE, {})
            if self._error is not None:
                raise self._error
        self._check_unchanged(descriptor)
        return found.hexdigest()

    def _send(self, plan: Sending, descriptor: int) -> int | os.stat_result:
        """Send data as far as the receiver lets us, until it says how it went."""
        digest = hashlib.sha256()
        while True:
            # All that was heard first: what is in it decides what is sent.
            while self._heard:
                outcome = self._act_on_news(plan, self._heard.popleft())
                if outcome is not None:
                    return outcome
            if self._error is not None:
                raise self._error
            if size := plan.next_chunk():
                data = self._read(descriptor, plan.sent, size)
                # In the order of this transfer alone: other requests need not wait for it.
                self._post(DATA, {"at": plan.sent}, [data])
                plan.sent_chunk(size)
                digest.update(data)
            elif plan.all_written:
                self._check_unchanged(descriptor)
                self._post(DIGEST, {"digest": digest.hexdigest()})
                plan.gave_digest()
            else:
                left = plan.seconds_left(native.monotonic())
                if left <= 0:
                    raise DeadlineExceeded(f"no progress for {plan.timeout:g} s")
                self._bell.wait(left)

    def _act_on_news(self, plan: Sending, word: Word) -> int | os.stat_result | None:
        now = native.monotonic()
        if word.failed is not None:
            raise TransferError(word.failed)
        if word.written is not None:
            plan.told_written(word.written, now)
            self.written = plan.written
        elif word.is_busy:
            plan.moved(now)
        elif word.result == 0 and plan.phase is Phase.CHECKING:
            return 0
        elif word.result == 1 and plan.phase in (Phase.COMPARING, Phase.CHECKING):
            # Where it comes that late, somebody else has saved the same file meanwhile.
            return 1
        elif word.answer is Answer.DIFFERS:
            return stat_fields.unpack(word.stat)
        elif word.answer is Answer.SEND:
            plan.start_over(now)
        else:
            raise RemoteProtocolError(f"the receiver says what it should not, in phase {plan.phase.name}")
        return None

    def _on_news(self, header: dict[str, Any]) -> None:
        try:
            if len(self._heard) >= _MAX_NEWS:
                raise RemoteProtocolError("the receiver says too much")
            self._heard.append(Word.of(header))
        except RemoteProtocolError as error:
            self.give_up(error)
        self._bell.ring()

    def _read(self, descriptor: int, offset: int, size: int) -> bytes:
        data = os.pread(descriptor, size, offset)
        while len(data) < size:
            more = os.pread(descriptor, size - len(data), offset + len(data))
            if not more:
                raise TransferError("it became shorter while it was read")
            data += more
        return data

    def _check_unchanged(self, descriptor: int) -> None:
        """Without a look at the time of the last change, one that sets the modification time back would not be seen."""
        before, now = self._source, os.fstat(descriptor)
        if any(getattr(before, name) != getattr(now, name) for name in ("st_size", "st_mtime_ns", "st_ctime_ns")):
            raise TransferError("it changed while it was read")

    def _post(self, operation: str, header: dict[str, Any], parts: list[bytes] | None = None) -> None:
        message = messages.Request(0, operation, {"transfer": self._number} | header, parts or ())
        self._link.send(("file", self._number), message.encode())
