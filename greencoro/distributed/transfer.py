"""Sending files to peers, and removing them there."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from greencoro.config import Settings
from greencoro.distributed.calls import Request
from greencoro.distributed.file_store import FileStore
from greencoro.distributed.link import Link
from greencoro.distributed.location import Location
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.peers import Peers
from greencoro.distributed.transfer_outgoing import Asking, News, Outgoing
from greencoro.distributed.transfer_plan import Limits, Window
from greencoro.distributed.transfer_progress import Progress, shown
from greencoro.distributed.transfer_receiver import Receiver, Serving
from greencoro.distributed.transfer_words import DELETE, HAS_KEY, Place
from greencoro.errors import (
    BusyResource,
    ClosedResource,
    ConfigError,
    GreencoroError,
    PeerUnreachable,
    RemoteProtocolError,
    TransferError,
    WouldBlock,
)
from greencoro.hub import native
from greencoro.hub.sync import Semaphore
from greencoro.hub.telling import tell
from greencoro.hub.waiting import LONGEST_SECONDS, seconds
from greencoro.log import escape

__all__ = ["Host", "Transfers"]

_log = logging.getLogger(__name__)

#: Files on their way to one peer at once, and those being removed there; others wait for their turn.
_MAX_TO_ONE_PEER = 4
#: Between two looks at how far a transfer is.
_PROGRESS_SECONDS = 0.1


class Host(Serving, Asking, Protocol):
    """What is used of a runtime."""

    @property
    def settings(self) -> Settings: ...

    @property
    def peer_table(self) -> Peers: ...

    @property
    def incarnation(self) -> bytes: ...

    def connect(self, loc: Location | str, timeout: float | None = None) -> PeerInfo: ...

    def post(self, to: PeerInfo, operation: str, header: dict[str, Any]) -> int: ...


class Transfers:
    """The files of one runtime that go to peers, and those that come.

    Args:
        dest_path: Directory below which files of peers are saved; None for one of this user's own, mode 0700, under the
            temporary directory.

        max_file_size (int | None): Bytes of the largest file that is taken; None or 0: no limit.

        max_dest_size (int | None): Bytes that all files of one peer may have, of those saved since this runtime began
            and not removed or replaced by another peer; None: half of the disk that is free without them. What is there
            in the end counts: a file that is being replaced is there beside the new one meanwhile.

    Raises:
        ConfigError: A limit that is none, or a directory that cannot be made.
    """

    def __init__(
        self,
        runtime: Host,
        dest_path: str | os.PathLike[str] | None = None,
        max_file_size: int | None = None,
        max_dest_size: int | None = None,
    ) -> None:
        limits = Limits(_limit(max_file_size, "max_file_size") or 0, _limit(max_dest_size, "max_dest_size"))
        self._runtime = runtime
        self._store = FileStore(None if dest_path is None else Path(dest_path))
        self._receiver = Receiver(runtime, self._store, limits, Window())
        self._news = News(runtime)
        self._to_send: WeakKeyDictionary[Link, Semaphore] = WeakKeyDictionary()
        self._to_remove: WeakKeyDictionary[Link, Semaphore] = WeakKeyDictionary()
        self._turns_guard = native.Lock()
        self._outgoing: set[Outgoing] = set()
        self._closed = False
        runtime.handle(HAS_KEY, self._on_proof, on_reactor=True)

    @property
    def dest_path(self) -> Path:
        """Directory below which files of peers are saved."""
        return self._store.path

    @dest_path.setter
    def dest_path(self, path: str | os.PathLike[str]) -> None:
        self._store = FileStore(Path(path))
        self._receiver.use(self._store)

    def close(self, timeout: float = 5.0) -> None:
        """Give up what is under way, and take nothing more; a second call does nothing.

        Args:
            timeout (float): Longest wait for the disk, in seconds.
        """
        if self._closed:
            return
        self._closed = True
        for outgoing in list(self._outgoing):
            outgoing.give_up(ClosedResource("this runtime finishes"))
        self._receiver.close(timeout)

    def send_file(
        self,
        location: Location | str,
        file: str | os.PathLike[str],
        dir: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        timeout: float | None = None,
        progress: Progress | bool | None = None,
    ) -> int | os.stat_result:
        """Send a file to the peer at ``location``, which saves it under its own name below its ``dest_path``.

        May be called from a coroutine or any thread; the disk is read in another thread.

        Args:
            location: As for `Runtime.peer`.

            file: Path of a regular file. Its permissions (at most 0o777, less the peer's umask) and modification time
                go with it.

            dir: Relative path of the directory below the peer's ``dest_path`` to save it in, made where it is missing.

            overwrite (bool): Replace another file of this name.

            timeout (float | None): Longest time without any progress, in seconds; None: the settings' peer timeout.

            progress: Called in the caller's place with the bytes that the peer has written, and all there are, about
                ten times a second and at the end; both are 0 for an empty file. True shows a bar on standard error.

        Returns:
            int | os.stat_result: 0 where it is saved: the peer has it on its disk, and its digest is that of what was
                read here. 1 where the same file was there: same size, modification time, permissions and digest. The
                `os.stat_result` of another file that is there, where not ``overwrite``. -1 for any error, with a
                warning that says which, in the log or, where no logging is set up, on standard error: what was there is
                there as it was or, where only the last answer was lost, the whole new file.

        Raises:
            TypeError, ValueError: An argument that cannot be meant.
        """
        location, name = _named("send_file", location, file)
        title = os.path.basename(os.fsdecode(file))
        limit = _seconds(timeout, "send_file()", self._runtime.settings.peer_timeout_seconds)
        if progress is not None and not isinstance(progress, bool) and not callable(progress):
            raise TypeError(f"send_file() takes progress as a function or True, not {progress!r}")

        def send() -> int | os.stat_result:
            place = _place(file, dir)
            link = self._link_to(location, timeout)
            with self._turn(self._to_send, link), shown(progress, title) as tell:
                return self._send(link, os.path.abspath(os.fsdecode(file)), place, bool(overwrite), limit, tell)

        return self._or_minus_one(name, location, send)

    def _send(
        self, link: Link, path: str, place: Place, overwrite: bool, timeout: float, tell: Progress | None
    ) -> int | os.stat_result:
        settings = self._runtime.settings
        # Longer than a chunk of the connection: messages pass between those, and wait behind what is shorter.
        chunk_bytes = min(2 * settings.chunk_bytes, max(1, link.max_message_bytes - 512))
        # All of them together leave half of the queue to messages.
        window_bytes = max(1, settings.max_queue_bytes // (2 * _MAX_TO_ONE_PEER))
        outgoing = Outgoing(self._runtime, self._news, link, path, place, overwrite, timeout, chunk_bytes, window_bytes)
        self._outgoing.add(outgoing)
        try:
            if self._closed:
                raise ClosedResource("this runtime is finished")
            try:
                native.Thread(outgoing.run, "greencoro-send-file").start()
            except RuntimeError as error:
                raise BusyResource(f"there is no thread to read it in: {error}") from error
            told = None
            while not outgoing.outcome.wait(None if tell is None else _PROGRESS_SECONDS):
                # How large it is says the thread that opens it.
                if tell is not None and outgoing.size is not None and outgoing.written != told:
                    told = outgoing.written
                    tell(told, outgoing.size)
            result: int | os.stat_result = outgoing.outcome.result()
            if tell is not None and outgoing.size is not None and result == 0 and told != outgoing.size:
                tell(outgoing.size, outgoing.size)
            return result
        finally:
            # Also where the caller is terminated, or its function raises.
            outgoing.give_up(TransferError("its caller gave up"))
            self._outgoing.discard(outgoing)

    def del_file(
        self,
        location: Location | str,
        file: str | os.PathLike[str],
        dir: str | os.PathLike[str] | None = None,
        timeout: float | None = None,
        prune: bool = False,
    ) -> int:
        """Remove a file that was sent to the peer at ``location``.

        Args:
            file, dir: As for `send_file`; of ``file`` the last part counts, and it need not be here any more.

            timeout (float | None): Longest wait, in seconds; None: the settings' peer timeout.

            prune (bool): Remove the directories of ``dir`` as well that the peer made for files and that are empty now.

        Returns:
            int: 0 where it was removed; -1 for any error, with a warning as of `send_file`.

        Raises:
            TypeError, ValueError: An argument that cannot be meant.
        """
        location, name = _named("del_file", location, file)
        limit = _seconds(timeout, "del_file()", self._runtime.settings.peer_timeout_seconds)

        def delete() -> int:
            place = _place(file, dir)
            link = self._link_to(location, timeout)
            header = {"directory": list(place.directory), "file": place.file, "prune": bool(prune)}
            with self._turn(self._to_remove, link):
                self._runtime.request(link.info, DELETE, header, timeout=limit)
            return 0

        return self._or_minus_one(name, location, delete)

    def _or_minus_one(self, name: str, location: Location | str, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except WouldBlock:
            raise
        except (GreencoroError, OSError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else error
            tell(_log, logging.WARNING, f"{escape(name)} to {location} failed: {escape(why)}")
            return -1

    def _link_to(self, location: Location | str, timeout: float | None) -> Link:
        info = self._runtime.connect(location, timeout)
        link = self._runtime.peer_table.links.get(info.incarnation)
        if link is None:
            raise PeerUnreachable(f"{info} is no peer (any more)")
        reach = self._runtime.reach
        if reach.key:
            proof = reach.proof(self._runtime.incarnation, info.incarnation)
            self._runtime.post(info, HAS_KEY, {"proof": proof.hex()})
        return link

    def _on_proof(self, request: Request) -> None:
        proof = request.header.get("proof")
        if not isinstance(proof, str) or not proof.isascii():
            raise RemoteProtocolError("a proof that is no text")
        self._runtime.reach.admit(request.link, self._runtime.incarnation, bytes.fromhex(proof))

    def _turn(self, turns: WeakKeyDictionary[Link, Semaphore], link: Link) -> Semaphore:
        with self._turns_guard:
            return turns.setdefault(link, Semaphore(_MAX_TO_ONE_PEER))


def _named(what: str, location: Location | str, file: str | os.PathLike[str]) -> tuple[Location, str]:
    """The location that ``what`` was given, and how the call is shown."""
    if not isinstance(file, str | bytes | os.PathLike):
        raise TypeError(f"{what}() takes the path of a file, not {file!r}")
    return Location.of(location, f"{what}()"), f"{what}({os.fspath(file)!r})"


def _place(file: str | os.PathLike[str], dir: str | os.PathLike[str] | None) -> Place:
    """Where a file goes, as its user says it: a path with slashes, which may end in one."""
    directory = "" if dir is None else os.fsdecode(dir)
    if os.path.isabs(directory):
        raise TransferError(f"dir={directory!r} is no relative path")
    words = [word for word in directory.split("/") if word not in ("", ".")]
    return Place.of({"directory": words, "file": os.path.basename(os.fsdecode(file))})


def _seconds(timeout: float | None, what: str, default: float) -> float:
    if timeout is None:
        return default
    limit = seconds(timeout, what)
    return LONGEST_SECONDS if limit is None else limit


def _limit(value: int | None, name: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError(f"{name} is {value!r}, but must be a number of bytes, or None for no limit")
    return value
