"""`link` between coroutines of different processes.

Each side watches the other's coroutine, so each hears of its end, or of the loss, whatever becomes of its own process.
"""

from __future__ import annotations

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
from greencoro.hub.coroutine import Coro

__all__ = ["LINK", "UNLINK", "RemoteLinks"]

LINK = "greencoro.link"
UNLINK = "greencoro.unlink"


class _Half:
    """What one coroutine here has with one elsewhere; the watch stays where they are unlinked, and is used again."""

    __slots__ = ("is_linked",)

    def __init__(self) -> None:
        self.is_linked = True


class RemoteLinks:
    """Both sides of the links of one runtime.

    Args:
        find: The live coroutine with an id, if it is at home in this runtime.

        resolve: What a reference means here.

        spawn: Starts a coroutine at home in this runtime.

        timeout (float): Longest wait for a peer to answer, in seconds.
    """

    def __init__(
        self,
        find: Callable[[int], Coro | None],
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
        self._halves: dict[tuple[int, RemoteCoro], _Half] = {}

    def link(self, here: Coro, there: RemoteCoro, link: Link | None) -> int:
        """Tie them together; 0, or -1 where one of them is over, lost, or did not answer in time."""
        if link is None or not self._watch(here, there, link):
            return -1
        header = {"target": there.id, "other": refs.to_json(here)}
        linked = False
        try:
            linked = self._calls.request(link, LINK, header, (), self._timeout).header.get("result") == 0
        except GreencoroError:
            return -1
        finally:
            if not linked:
                # Late as it may come about there, it is undone.
                self.unlink(here, there, link)
        return 0 if linked else -1

    def unlink(self, here: Coro, there: RemoteCoro, link: Link | None) -> int:
        """Undo `link`; returns 0."""
        self._unwatch(here, there)
        if link is not None:
            self._calls.post(link, UNLINK, {"target": there.id, "other": refs.to_json(here)}, ())
        return 0

    def serve_link(self, request: Request) -> None:
        """A peer ties a coroutine of its own to one here."""
        here, there = self._both(request)
        if has_too_many(request.link):
            raise BusyResource(f"{request.peer} has too many watches and links here already")
        linked = here is not None and self._watch(here, there, request.link)
        request.reply({"result": 0 if linked else -1})

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
        return self._find(target), there

    def _watch(self, here: Coro, there: RemoteCoro, link: Link) -> bool:
        key = here.id, there
        half = self._halves.get(key)
        if half is not None:
            half.is_linked = True
            return True
        half = self._halves[key] = _Half()
        if not here.add_observer(lambda ended: self._halves.pop(key, None)):
            self._halves.pop(key, None)
            return False

        def on_notice(notice: Notice | None, error: NetworkError | None) -> None:
            over = self._halves.pop(key, None)
            if over is not None and over.is_linked:
                # Decoding an exception runs its own code.
                userhub.post(lambda: self._spawn(_interrupt, here, there, notice, error).set_daemon())

        if self._watches.watch(link, there.id, on_notice, self._timeout):
            return True
        self._halves.pop(key, None)
        return False

    def _unwatch(self, here: Coro, there: RemoteCoro) -> None:
        half = self._halves.get((here.id, there))
        if half is not None:
            half.is_linked = False


def _interrupt(here: Coro, there: RemoteCoro, notice: Notice | None, error: NetworkError | None) -> None:
    if notice is None:
        end = MonitorException(there, "lost", None, error)
    else:
        end = decode_notice(there, notice, there.location)
    if end.kind != "finished":
        here.throw(LinkedCoroEnded(there, end.kind, end.error))
