"""Monitors between processes: coroutines that are sent the notice of an end elsewhere.

It is always the process of the monitor that watches: it alone can tell the monitor exactly once, the loss of the other
process included. Whoever asks for a monitor elsewhere (`Coro.notify`) asks that process.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from greencoro.distributed import refs
from greencoro.distributed.calls import Calls, Request
from greencoro.distributed.link import Link
from greencoro.distributed.messages import Notice
from greencoro.distributed.per_peer import PerPeer, Tally
from greencoro.distributed.proxies import RemoteCoro
from greencoro.distributed.refs import Reference
from greencoro.distributed.watches import FINISHED, MAX_WATCHED, Watches, decode_notice, has_too_many
from greencoro.errors import BusyResource, GreencoroError, MonitorException, NetworkError, RemoteProtocolError
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.mailbox import Encoded

__all__ = ["NOTIFY", "UNDO_NOTIFY", "EncodedNotice", "Monitors"]

NOTIFY = "greencoro.notify"
UNDO_NOTIFY = "greencoro.notify.undo"

#: The memory of a notice without a payload whose texts are cut to this, at most, in bytes.
_WORDS_BYTES = 2048
_WORDS_CHARACTERS = 200

#: The link to the watched coroutine's process, its number, and who is told of its end.
_Key = tuple[Link, int, Coro]


class EncodedNotice(Encoded):
    """Base of what stands in a mailbox for the notice of an end elsewhere: it decodes to a `MonitorException`."""

    __slots__ = ()


class RemoteNotice(EncodedNotice):
    """An exit notice in a mailbox, as it came.

    Where so much of notices of that process is in mailboxes that there is no room for it, some words stand for its
    payload.

    Args:
        tally (Tally): Counts it until it has left the mailbox, or that is no more.
    """

    __slots__ = ("_coro", "_notice", "_size", "_tally")

    def __init__(self, coro: RemoteCoro, notice: Notice, tally: Tally) -> None:
        self._coro = coro
        self._size = _size_of(notice)
        self._tally: Tally | None = tally
        if not tally.enter(self._size):
            notice, self._size = _in_words(notice), _WORDS_BYTES
            if not tally.enter(self._size):
                # Of those that come now there are no more than there are watches: no peer has more set up.
                self._tally = None
        self._notice = notice

    def taken(self) -> None:
        tally, self._tally = self._tally, None
        if tally is not None:
            tally.leave(self._size)

    __del__ = taken

    def decode(self) -> tuple[bool, Any]:
        return True, decode_notice(self._coro, self._notice, self._coro.location)


class _KeptNotice(EncodedNotice):
    """In a mailbox, the notice of an end whose outcome is kept here."""

    __slots__ = ("_coro", "_outcome")

    def __init__(self, coro: RemoteCoro, outcome: Completion) -> None:
        self._coro = coro
        self._outcome = outcome

    def decode(self) -> tuple[bool, Any]:
        notice = self._coro.notice_of(self._outcome)
        # What was watched before there was a reference names none.
        told = MonitorException(self._coro, notice.kind, notice.value, notice.error, notice.traceback_text)
        return True, told


class _Monitored:
    """What one coroutine here has with one elsewhere that it monitors."""

    __slots__ = ("answer", "asker", "is_over", "over", "watch")

    def __init__(self, asker: object) -> None:
        #: What `monitor` returned; whoever asks meanwhile gets the same.
        self.answer = Completion()
        #: Which request of a peer alone it was set up for; None: somebody else relies on it.
        self.asker = asker
        self.watch: int | None = None
        #: Nobody wants to hear of the end any more.
        self.is_over = False
        #: What the end of the monitor is told to.
        self.over: Callable[[Coro], object] | None = None


class Monitors:
    """Both sides of the monitors of one runtime.

    Args:
        find: The live coroutine that a peer names by its id, if it is at home in this runtime and the peer is let in.

        resolve: What a reference means here.

        timeout (float): Longest wait for a peer to answer, in seconds.

        max_bytes (int): Of notices of one peer that were not read yet, in all mailboxes. Beyond that they come without
            what the coroutine returned or raised.
    """

    def __init__(
        self,
        find: Callable[[Link, int], Coro | None],
        resolve: Callable[[Reference], Any],
        watches: Watches,
        calls: Calls,
        timeout: float,
        max_bytes: int,
    ) -> None:
        self._find = find
        self._resolve = resolve
        self._watches = watches
        self._calls = calls
        self._timeout = timeout
        self._unread = PerPeer(lambda: Tally(MAX_WATCHED, max_bytes))
        self._numbers = itertools.count(1)
        self._monitored: dict[_Key, _Monitored] = {}

    def add(self, monitor: Coro, there: RemoteCoro, asker: object = None) -> int:
        """Have ``monitor``, a coroutine here, be sent the notice of the end of one elsewhere; `Coro.monitor`'s result.

        Asking twice does not bring two notices: whoever comes second gets the first one's answer. Of what is over and
        has its outcome kept here, a job, the notice comes at once.
        """
        kept = there.kept
        if kept is None:
            return self._set_up(monitor, there, asker)
        if not kept.done and self._set_up(monitor, there, asker) == 0:
            return 0
        # It is over there, or its process is lost: the news of that may be a moment behind.
        return 0 if kept.wait(self._timeout) and self._tell_kept(monitor, there, kept) else -1

    def _tell_kept(self, monitor: Coro, there: RemoteCoro, outcome: Completion) -> bool:
        if not monitor.is_alive():
            return False
        monitor.put_past_limit(_KeptNotice(there, outcome))
        return True

    def _set_up(self, monitor: Coro, there: RemoteCoro, asker: object) -> int:
        link = there.reach()
        if link is None:
            return -1
        key, mine = (link, there.id, monitor), _Monitored(asker)
        first = self._monitored.setdefault(key, mine)
        if first is not mine:
            first.asker = None
            first.answer.wait()
            return int(first.answer.value)
        # The end of the monitor ends it on both sides: one that lives on has had any number of monitors that do not.
        mine.over = lambda ended: self._end(key, mine)
        result = -1
        try:
            if monitor.add_observer(mine.over):
                mine.watch = self._watches.watch(link, there.id, self._teller(key, mine, there), self._timeout)
                if mine.is_over:
                    self._end(key, mine)
                elif mine.watch is not None:
                    result = 0
        finally:
            # In this order: nobody finds it undecided once it is out.
            mine.answer.set(result)
            if result == -1:
                self._forget(key, mine)
        return result

    def _teller(
        self, key: _Key, mine: _Monitored, there: RemoteCoro
    ) -> Callable[[Notice | None, NetworkError | None], None]:
        link, _, monitor = key

        def on_notice(notice: Notice | None, error: NetworkError | None) -> None:
            self._forget(key, mine)
            if not monitor.is_alive():
                return
            # Each was asked for, and none may be lost: it does not wait for room in a full mailbox.
            kept = there.kept
            if notice is None and kept is not None:
                # It may have been over before its process was lost; and how that ended is being found out.
                kept.add_callback(lambda: self._tell_kept(monitor, there, kept))
            elif notice is None:
                monitor.put_past_limit(MonitorException(there, "lost", None, error))
            else:
                unread = self._unread.of(link.info.incarnation)
                monitor.put_past_limit(RemoteNotice(there, notice, unread))

        return on_notice

    def _forget(self, key: _Key, mine: _Monitored) -> None:
        if self._monitored.get(key) is mine:
            self._monitored.pop(key, None)
        if mine.over is not None:
            key[2].remove_observer(mine.over)

    def _end(self, key: _Key, mine: _Monitored) -> None:
        """Have no notice come; while it is being set up, whoever does that looks at this when it is done."""
        mine.is_over = True
        if mine.watch is not None:
            link, target, _ = key
            self._watches.release(link, target, mine.watch)
            self._forget(key, mine)

    # Monitors elsewhere.

    def ask(self, monitor: RemoteCoro, observed: Coro) -> int:
        """Have ``monitor``, a coroutine elsewhere, be sent the notice of the end of ``observed``; 0 or -1."""
        link = monitor.reach()
        if link is None or not observed.is_alive():
            return -1
        header = {"monitor": monitor.id, "observed": refs.to_json(observed), "number": next(self._numbers)}
        is_answered = False
        try:
            answer = self._calls.request(link, NOTIFY, header, (), self._timeout).header
            is_answered = True
        except GreencoroError:
            return -1
        finally:
            if not is_answered:
                # Late as it may come about there, it is undone.
                self._calls.undo(link, UNDO_NOTIFY, header)
        return 0 if answer.get("result") == 0 else -1

    def serve(self, request: Request) -> None:
        """A peer wants a coroutine here to be told of an end, wherever that is."""
        monitor, observed = self._both(request)
        result = -1
        if monitor is not None and isinstance(observed, RemoteCoro):
            link = observed.reach_for(request.link.info.incarnation)
            if link is not None and has_too_many(link):
                raise BusyResource(f"{link.info} is watched by too many here already")
            if link is not None and not self._unread.of(link.info.incarnation).has_room(_WORDS_BYTES):
                raise BusyResource(f"too many notices of {link.info} are not read yet")
            result = self.add(monitor, observed, _asker(request))
        elif monitor is not None and observed is not monitor:
            result = monitor.monitor(observed)
        request.reply({"result": result})

    def undo(self, request: Request) -> None:
        """A peer got no answer to that; unless somebody else relies on it, it is undone."""
        monitor, observed = self._both(request)
        if monitor is None or not isinstance(observed, RemoteCoro):
            return
        link = observed.reach_for(request.link.info.incarnation)
        if link is not None:
            key = link, observed.id, monitor
            mine = self._monitored.get(key)
            if mine is not None and mine.asker == _asker(request):
                self._end(key, mine)

    def _both(self, request: Request) -> tuple[Coro | None, Coro]:
        target = request.header.get("monitor")
        observed = self._resolve(refs.from_json(request.header.get("observed")))
        if not isinstance(target, int) or not isinstance(observed, Coro):
            raise RemoteProtocolError("a request for a notice with wrong fields")
        return self._find(request.link, target), observed


def _size_of(notice: Notice) -> int:
    """About the memory it takes, in bytes; a character of a text takes four where one of them needs that."""
    texts = notice.error_type, notice.error_text, notice.traceback_text
    return len(notice.payload) + 4 * sum(map(len, texts))


def _in_words(notice: Notice) -> Notice:
    """The notice without what takes room."""
    if notice.outcome == FINISHED:
        why = "too many notices of its process were not read yet"
        return Notice(notice.watch, FINISHED, "BusyResource", why, "", b"")
    kind, text = notice.error_type[:_WORDS_CHARACTERS], notice.error_text[:_WORDS_CHARACTERS]
    return Notice(notice.watch, notice.outcome, kind, text, "", b"")


def _asker(request: Request) -> object:
    return request.peer.incarnation, request.header.get("number")
