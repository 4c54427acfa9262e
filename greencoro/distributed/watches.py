"""Exit notices between processes.

A *watch* is a number that the watching side chose; the other side sends one notice for it when the coroutine is over.
Whoever takes a watch out of the table, the notice or the loss of the link, is the one that reports it: exactly once.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from typing import Any

from greencoro.distributed import outbox
from greencoro.distributed.dispatch import Dispatcher
from greencoro.distributed.fields import Buffer
from greencoro.distributed.link import Link
from greencoro.distributed.location import Location
from greencoro.distributed.messages import Monitor, Notice, Result, Unmonitor
from greencoro.distributed.notices import OnNotice
from greencoro.distributed.per_peer import PerPeer, Tally
from greencoro.distributed.reaching import wait_for_answer
from greencoro.distributed.user_code import TEXT_CHARACTERS, in_words, is_interruption, text_of
from greencoro.errors import (
    BusyResource,
    LocalProtocolError,
    MonitorException,
    NetworkError,
    RemoteError,
    RemoteProtocolError,
)
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.log import escape

__all__ = ["FINISHED", "MAX_WATCHED", "UnsentResult", "Watches", "decode_notice", "has_too_many", "kind_of", "opened"]

_log = logging.getLogger(__name__)

#: A peer may watch at most this many coroutines here at once, for its links among others.
MAX_WATCHED = 100_000

#: Of a notice.
FINISHED, _EXCEPTION, _TERMINATED = 0, 1, 2
#: Longest traceback that travels, likewise; of a longer one the two ends.
_TRACEBACK_CHARACTERS = 100_000

#: What to do about a result that is too large for a message.
_SMALLER = (
    "return less, or several pieces, or write a file; "
    "or set GREENCORO_MAX_MESSAGE_BYTES and GREENCORO_MAX_QUEUE_BYTES at both ends"
)


class UnsentResult(str):
    """The text in place of a result that could not be serialized; `reason` says why."""

    reason: str


class Watches:
    """Both sides of the exit notices of one runtime.

    Args:
        find: The live coroutine that a peer names by its id, if it is at home in this runtime and the peer is let in.
    """

    def __init__(self, dispatcher: Dispatcher, find: Callable[[Link, int], Coro | None]) -> None:
        self._find = find
        self._numbers = itertools.count(1)
        #: (link, watched id) -> the outcome of a coroutine that is watched for whoever asks for its result.
        self.outcomes: dict[tuple[Link, int], Completion] = {}
        # What a peer watches holds the tally that counts it. There is no size to count.
        self._watched = PerPeer(lambda: Tally(MAX_WATCHED, 0))
        dispatcher.register(Monitor, self._on_monitor)
        dispatcher.register(Unmonitor, self._on_unmonitor)
        dispatcher.register(Notice, self._on_notice)

    # The watching side; any thread.

    def open(self, link: Link, on_notice: OnNotice) -> int:
        """A new watch on ``link``; its number is told to the other side in a `Monitor` or a request.

        Raises:
            BusyResource: The other side takes no more.
        """
        if has_too_many(link):
            raise BusyResource(f"too many coroutines of {link.info} are watched here already")
        watch_id = next(self._numbers)
        link.notices.expect(watch_id, on_notice)
        return watch_id

    def close(self, link: Link, watch_id: int) -> bool:
        """Give a watch up; False where its notice (or the loss) was reported already."""
        return link.notices.forget(watch_id)

    def release(self, link: Link, target: int, watch_id: int) -> bool:
        """Give a watch up that the other side may know of, so that it does as well; False as `close`."""
        if not self.close(link, watch_id):
            return False
        # In order with the `Monitor` of the same target.
        link.send(target, Unmonitor(watch_id).encode())
        return True

    def begin(self, link: Link, target: int, on_notice: OnNotice, refused: Callable[[], object]) -> None:
        """Watch the coroutine ``target`` of the peer, without waiting for that to be set up.

        Args:
            refused: Called instead of ``on_notice``, on the reactor, where the coroutine is over or unknown.

        Raises:
            BusyResource: The other side takes no more watches.
        """
        watch_id = self.open(link, on_notice)

        def answered(result: int, error: NetworkError | None) -> None:
            # A loss is told by the watch itself.
            if error is None and result != 0 and self.close(link, watch_id):
                refused()

        number = link.answers.expect(answered)
        link.send(target, Monitor(target, number, watch_id).encode())

    def watch(self, link: Link, target: int, on_notice: OnNotice, timeout: float) -> int | None:
        """Watch the coroutine ``target`` of the peer, and wait until that is set up.

        Returns:
            int | None: The watch, for which ``on_notice`` is called exactly once, unless it is released before. None:
            it is not called, the coroutine is over, unknown, its process did not answer within ``timeout`` seconds, or
            takes no more watches.
        """
        try:
            watch_id = self.open(link, on_notice)
        except BusyResource:
            return None
        answer = Completion()
        number = link.answers.expect(lambda result, error: answer.set(result))
        try:
            if link.send(target, Monitor(target, number, watch_id).encode()):
                wait_for_answer(link, answer, timeout, f"{link.info} to watch a coroutine")
        except BaseException:
            # Whoever asked was terminated, or may not wait: it gets no notice of what it never knew to be watched.
            self.release(link, target, watch_id)
            raise
        finally:
            link.answers.forget(number)
        if answer.value == 0:
            return watch_id
        if answer.done:
            # Where the loss of the link came first, it has been reported and counts.
            return None if self.close(link, watch_id) else watch_id
        # Where the end or the loss came in this moment, it has been reported and counts.
        return None if self.release(link, target, watch_id) else watch_id

    def _on_notice(self, link: Link, notice: Notice) -> None:
        link.notices.came(notice.watch, notice)

    # The watched side.

    def _on_monitor(self, link: Link, request: Monitor) -> None:
        tally = self._watched.of(link.info.incarnation)
        if ("watched", request.watch) in link.on_lost or not tally.has_room(0):
            raise RemoteProtocolError("the peer uses the number of a watch twice, or has too many")
        coro = self._find(link, request.target)
        watched = coro is not None and self._observe(link, request.watch, coro, tally)
        link.send_urgent(Result(request.request, 0 if watched else -1).encode())

    def _on_unmonitor(self, link: Link, request: Unmonitor) -> None:
        # One that is over was answered, and the peer did not know yet.
        served = _taken_out(link, request.watch)
        if served is not None:
            served.end()

    def serve(self, link: Link, watch_id: int, coro: Coro) -> None:
        """Send the notice for ``watch_id`` when ``coro`` is over; at once where it is. User hub's thread.

        How many coroutines a peer may start here says who starts them; these are not counted again.
        """
        if not coro.is_alive() or not self._observe(link, watch_id, coro, None):
            _send_notice(link, watch_id, coro)

    def _observe(self, link: Link, watch_id: int, coro: Coro, tally: Tally | None) -> bool:
        def over(ended: Coro) -> None:
            _forget(link, watch_id)
            _send_notice(link, watch_id, ended)

        # In this order: the end, which may come on the user hub in the middle of this, takes out what it finds.
        link.when_lost(("watched", watch_id), _Served(coro, over, tally))
        if coro.add_observer(over):
            return True
        _forget(link, watch_id)
        return False


class _Served:
    """A coroutine here that a peer watches; whoever takes it out of the link's table calls one of its functions."""

    __slots__ = ("_coro", "_over", "_tally")

    def __init__(self, coro: Coro, over: Callable[[Coro], None], tally: Tally | None) -> None:
        self._coro = coro
        self._over = over
        self._tally = tally
        if tally is not None:
            tally.enter(0)

    def forget(self) -> None:
        """It is over."""
        if self._tally is not None:
            self._tally.leave(0)

    def end(self) -> None:
        """The peer does not want to hear of its end any more."""
        self._coro.remove_observer(self._over)
        self.forget()

    def __call__(self, error: NetworkError) -> None:
        self.end()


def _taken_out(link: Link, watch_id: int) -> _Served | None:
    served = link.on_lost.pop(("watched", watch_id), None)
    return served if isinstance(served, _Served) else None


def _forget(link: Link, watch_id: int) -> None:
    served = _taken_out(link, watch_id)
    if served is not None:
        served.forget()


def has_too_many(link: Link) -> bool:
    """Are there so many watches and links with the peer that it might take no more?

    Fewer than it takes: it may not have heard yet of all that were given up.
    """
    return len(link.notices) + len(link.on_lost) >= MAX_WATCHED * 9 // 10


def _fitting(
    link: Link, whole: Callable[[], list[Buffer]], words: Callable[[BaseException, int], list[Buffer]]
) -> list[Buffer]:
    """A notice that the peer takes: ``whole()``, or ``words(why, room)`` where that cannot be pickled or is too large.

    Args:
        words: Told why, and how many bytes the peer takes; its texts are to be cut to that.
    """
    try:
        buffers = whole()
        link.check_size(sum(map(len, buffers)))
    except BaseException as error:
        if is_interruption(error):
            raise
        return words(error, link.max_message_bytes)
    return buffers


def _send_notice(link: Link, watch_id: int, coro: Coro) -> None:
    """Runs on the user hub: pickling the result runs its own code."""
    end = coro.notice()
    error = end.error

    def told(room: int) -> Notice:
        if end.kind == "terminated":
            return Notice(watch_id, _TERMINATED, "", "", "", b"")
        if error is None:
            return Notice(watch_id, FINISHED, "", "", "", b"")
        # The class, the text and the traceback of an exception travel beside it, for where it is unknown.
        trace = _both_ends(end.traceback_text, room)
        text = text_of(error, _text_limit(room))
        return Notice(watch_id, _EXCEPTION, type(error).__name__[:100], text, trace, b"")

    def whole() -> list[Buffer]:
        notice = told(link.max_message_bytes)
        value = end.value if error is None else error
        if notice.outcome == _TERMINATED:
            # What old programs find there, if anything.
            value = end.args[1][1]
            if value is None:
                return [notice.header()]
        return link.codec.dumps(value, notice.header())

    def words(why: BaseException, room: int) -> list[Buffer]:
        notice = told(room)
        if notice.outcome == FINISHED:
            text, value = (text_of(each, _text_limit(room)) for each in (why, end.value))
            notice = notice._replace(error_type=type(why).__name__[:100], error_text=text, traceback_text=value)
        return [notice.header()]

    # Behind everything the coroutine sent: its monitor gets its messages first.
    buffers = _fitting(link, whole, words)
    link.overdrafts.after(coro.id, lambda: link.send(outbox.BARRIER, buffers))


def _text_limit(room: int) -> int:
    # Two of them are to fit.
    return min(TEXT_CHARACTERS, room // 16)


def _both_ends(text: str, room: int) -> str:
    # A character takes up to four bytes; half of the message is for the other texts.
    limit = min(_TRACEBACK_CHARACTERS, room // 8)
    left_out = len(text) - limit
    if left_out <= 0:
        return text
    half = limit // 2
    return f"{text[:half]}\n... ({left_out} characters left out)\n{text[-half:]}"


def kind_of(notice: Notice) -> str:
    """As `MonitorException.kind`, without decoding the result."""
    return {_EXCEPTION: "exception", _TERMINATED: "terminated"}.get(notice.outcome, "finished")


def decode_notice(coro: Any, notice: Notice, location: Location) -> MonitorException:
    """The notice as its receiver sees it; to be called where the receiver's code runs, for it unpickles.

    Args:
        coro (RemoteCoro): Who is over.
    """
    told = MonitorException(coro, *opened(coro, notice, location))
    if notice.outcome == _TERMINATED and len(notice.payload):
        last, why = coro.codec.opened(notice.payload)
        if why is None:
            told.args = coro, (StopIteration, last)
    return told


def opened(coro: Any, notice: Notice, location: Location) -> tuple[str, Any, BaseException | None, str]:
    """What `decode_notice` puts behind the coroutine."""
    if notice.outcome == _TERMINATED:
        return "terminated", None, None, ""
    if notice.outcome == _EXCEPTION:
        return "exception", None, _decode_error(coro, notice, location), notice.traceback_text
    if not len(notice.payload):
        return "finished", _unsent(notice, _why_unsent(notice)), None, ""
    value, why = coro.codec.opened(notice.payload)
    if why is not None:
        _log.warning("the result of %r cannot be decoded: %s", coro, escape(why))
        value = _unsent(notice, why)
    return "finished", value, None, ""


def _unsent(notice: Notice, why: str) -> UnsentResult:
    value = UnsentResult(notice.traceback_text or f"<a result that could not be transferred: {why}>")
    value.reason = why
    return value


def _why_unsent(notice: Notice) -> str:
    if notice.error_type == LocalProtocolError.__name__:  # as `Link.check_size` has it
        return f"{notice.error_text} ({_SMALLER})"
    return f"{notice.error_type}: {notice.error_text}"


def _decode_error(coro: Any, notice: Notice, location: Location) -> BaseException:
    text = f"{notice.error_type}: {notice.error_text}"
    remote = RemoteError(text, notice.traceback_text, location)
    if not len(notice.payload):
        return remote
    error, why = coro.codec.opened(notice.payload)
    if why is not None:
        return RemoteError(in_words(text, why), notice.traceback_text, location)
    if not isinstance(error, BaseException):
        return remote
    if not isinstance(error, Exception):
        # `SystemExit` or `KeyboardInterrupt` ended that coroutine, and is to end nobody who asks for its result.
        return remote
    error.__cause__ = remote
    return error
