"""`link` between coroutines of different processes.

Each side watches the other's coroutine, so each hears of its end, or of the loss, whatever becomes of its own process.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from greencoro.distributed import refs
from greencoro.distributed.calls import Calls, Request
from greencoro.distributed.link import Link
from greencoro.distributed.messages import Notice
from greencoro.distributed.proxies import RemoteCoro
from greencoro.distributed.refs import Reference
from greencoro.distributed.watches import Watches, decode_notice, has_too_many
from greencoro.errors import (
    BusyResource,
    GreencoroError,
    LinkedCoroEnded,
    MonitorException,
    NetworkError,
    RemoteProtocolError,
)
from greencoro.hub import userhub
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro

__all__ = ["LINK", "UNLINK", "RemoteLinks"]

LINK = "greencoro.link"
UNLINK = "greencoro.unlink"

#: The id of the coroutine here, and the one elsewhere.
_Key = tuple[int, RemoteCoro]


class _Half:
    """What one coroutine here has with one elsewhere."""

    __slots__ = ("end", "is_dropped", "is_linked", "link", "over", "watch", "watched")

    def __init__(self, link: Link) -> None:
        self.link = link
        self.watch: int | None = None
        #: Set to whether the one elsewhere is watched.
        self.watched = Completion()
        #: What the end of the one here is told to.
        self.over: Callable[[Coro], object] | None = None
        #: Both sides have agreed.
        self.is_linked = False
        #: It was undone, or one of the two is over.
        self.is_dropped = False
        #: The notice of the end elsewhere (or None) and the loss (or None), until the one here is told.
        self.end: list[tuple[Notice | None, NetworkError | None]] = []


class RemoteLinks:
    """Both sides of the links of one runtime.

    Args:
        find: The live coroutine that a peer names by its id, if it is at home in this runtime and the peer is let in.

        resolve: What a reference means here.

        spawn: Starts a coroutine at home in this runtime.

        timeout (float): Longest wait for a peer to answer, in seconds.
    """

    def __init__(
        self,
        find: Callable[[Link, int], Coro | None],
        resolve: Callable[[Reference], Any],
        watches: Watches,
        calls: Calls,
        spawn: Callable[..., Coro],
        timeout: float,
    ) -> None:
        self._find = find
        self._resolve = resolve
        self._watches = watches
        self._calls = calls
        self._spawn = spawn
        self._timeout = timeout
        self._halves: dict[_Key, _Half] = {}
        #: Links that are being asked for -> what `link` returns.
        self._linking: dict[_Key, Completion] = {}

    def link(self, here: Coro, there: RemoteCoro, link: Link | None) -> int:
        """Tie them together; 0, or -1 where one of them is over, lost, or did not answer in time."""
        if link is None:
            return -1
        key, answer = (here.id, there), Completion()
        first = self._linking.setdefault(key, answer)
        if first is not answer:
            first.wait()
            return int(first.value)
        result = -1
        try:
            half = self._watch(here, there, link)
            if half is not None and self._ask(here, there, link):
                self._confirm(here, there, half)
                result = 0
        finally:
            answer.set(result)
            self._linking.pop(key, None)
        return result

    def _ask(self, here: Coro, there: RemoteCoro, link: Link) -> bool:
        header = {"target": there.id, "other": refs.to_json(here)}
        linked = False
        try:
            linked = self._calls.request(link, LINK, header, (), self._timeout).header.get("result") == 0
        except GreencoroError:
            return False
        finally:
            if not linked:
                # Late as it may come about there, it is undone.
                self.unlink(here, there, link)
        return linked

    def unlink(self, here: Coro, there: RemoteCoro, link: Link | None) -> int:
        """Undo `link`; returns 0."""
        self._unwatch(here, there)
        if link is not None:
            self._calls.undo(link, UNLINK, {"target": there.id, "other": refs.to_json(here)})
        return 0

    def serve_link(self, request: Request) -> None:
        """A peer ties a coroutine of its own to one here."""
        here, there = self._both(request)
        if has_too_many(request.link):
            raise BusyResource(f"{request.peer} has too many watches and links here already")
        half = None if here is None else self._watch(here, there, request.link)
        if here is not None and half is not None:
            self._confirm(here, there, half)
        request.reply({"result": -1 if half is None else 0})

    def serve_unlink(self, request: Request) -> None:
        """A peer undoes that."""
        here, there = self._both(request)
        if here is not None:
            self._unwatch(here, there)

    def _both(self, request: Request) -> tuple[Coro | None, RemoteCoro]:
        target = request.header.get("target")
        reference = refs.from_json(request.header.get("other"))
        there = self._resolve(reference)
        if (
            not isinstance(target, int)
            or not isinstance(there, RemoteCoro)
            or reference.incarnation != request.link.info.incarnation
        ):
            raise RemoteProtocolError("a peer may link its own coroutines with ours")
        return self._find(request.link, target), there

    def _watch(self, here: Coro, there: RemoteCoro, link: Link) -> _Half | None:
        """This side's half, with the other coroutine watched; None where that cannot be."""
        key, mine = (here.id, there), _Half(link)
        half = self._halves.setdefault(key, mine)
        if half is not mine:
            # Not for the other side's answer: two that are linked from both sides at once would wait for each other.
            half.watched.wait()
            return half if half.watched.value else None

        def on_notice(notice: Notice | None, error: NetworkError | None) -> None:
            was_dropped = half.is_dropped
            self._drop(here, there, half)
            if not was_dropped:
                half.end.append((notice, error))
                if half.is_linked:
                    self._tell(here, there, half)

        half.over = lambda ended: self._drop(here, there, half)
        is_watched = False
        try:
            if here.add_observer(half.over):
                half.watch = self._watches.watch(link, there.id, on_notice, self._timeout)
            is_watched = half.watch is not None and not half.is_dropped
        finally:
            if not is_watched:
                self._drop(here, there, half)
            half.watched.set(is_watched)
        return half if is_watched else None

    def _confirm(self, here: Coro, there: RemoteCoro, half: _Half) -> None:
        half.is_linked = True
        # The end may have come before this could be known.
        self._tell(here, there, half)

    def _tell(self, here: Coro, there: RemoteCoro, half: _Half) -> None:
        """Have the one here be told of the other's end, if that came and whoever else looks was not first."""
        with contextlib.suppress(IndexError):
            notice, error = half.end.pop()
            # Decoding an exception runs its own code.
            userhub.post(lambda: self._spawn(_interrupt, here, there, notice, error).set_daemon())

    def _unwatch(self, here: Coro, there: RemoteCoro) -> None:
        half = self._halves.get((here.id, there))
        if half is not None:
            self._drop(here, there, half)

    def _drop(self, here: Coro, there: RemoteCoro, half: _Half) -> None:
        """Let go of all that it has; while it is being watched, whoever does that looks at this when it is done."""
        half.is_dropped = True
        key = here.id, there
        if self._halves.get(key) is half:
            self._halves.pop(key, None)
        if half.over is not None:
            here.remove_observer(half.over)
        if half.watch is not None:
            self._watches.release(half.link, there.id, half.watch)


def _interrupt(here: Coro, there: RemoteCoro, notice: Notice | None, error: NetworkError | None) -> None:
    if notice is None:
        end = MonitorException(there, "lost", None, error)
    else:
        end = decode_notice(there, notice, there.location)
    if end.kind != "finished":
        here.throw(LinkedCoroEnded(there, end.kind, end.error))
