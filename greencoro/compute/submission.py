"""One attempt of a job as its client sees it, from being sent to a server to what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greencoro.compute.job import HandedBack, Outcome
from greencoro.compute.server_pool import Server
from greencoro.compute.shipping import Prepared
from greencoro.distributed.outcomes import Watch
from greencoro.distributed.proxies import RemoteCoro
from greencoro.distributed.runtime import Runtime
from greencoro.errors import ComputationClosed, MonitorException, NetworkError, ServerDied
from greencoro.hub import userhub
from greencoro.hub.completion import Completion

__all__ = ["Submission"]


class Submission:
    """A job at one server.

    The runtime's own watch says at once that a server is lost, but not why. So a loss becomes the outcome only together
    with the explanation that the server's node gives, or its scheduler for want of one: see `server_gone`.

    Args:
        on_over: Called with it, on the user hub, when there is an outcome.

    Attributes:
        id (int): The watch's number; 0 where the server was lost before there could be one.

        peer (PeerInfo): The server, for the network.

        server (Server): The server.

        call (Prepared): What it runs.

        lane (str | None): Of those with the same one, the server runs one after another.

        coro: The reference, once there is one.

        outcome (Completion): Set to the `MonitorException`, or to what the runtime has in its place, undecoded.

    Raises:
        BusyResource: The server has so many jobs of this client already that it takes no more.
    """

    __slots__ = ("_on_over", "_runtime", "_watch", "call", "coro", "id", "lane", "outcome", "peer", "server")

    def __init__(
        self,
        runtime: Runtime,
        server: Server,
        call: Prepared,
        on_over: Callable[[Submission], None],
        lane: str | None = None,
    ) -> None:
        self._runtime = runtime
        self.peer = server.peer
        try:
            self._watch = runtime.open_watch(self.peer)
        except NetworkError:
            self._watch = Watch()  # which is never set
        self._on_over = on_over
        self.id = self._watch.id
        self.server = server
        self.call = call
        self.lane = lane
        self.coro: Any = None
        self.outcome = Completion()
        self._watch.add_callback(self._notice_came)

    @property
    def name(self) -> str:
        """Of the job's function."""
        return self.call.name

    def _notice_came(self) -> None:
        # On the reactor, where nothing of ours may be locked or told.
        userhub.post(self._take_notice)

    def _take_notice(self) -> None:
        notice = self._watch.value
        if not self._is_loss(notice):
            self._finish(notice)

    def _is_loss(self, notice: Any) -> bool:
        """Is it the runtime's news of a lost connection, or of a job that was ended with its server?"""
        if notice.kind == "terminated":
            return self.server.is_closed
        return isinstance(notice, MonitorException) and notice.kind == "lost"

    def notice(self) -> MonitorException:
        """The outcome, decoded, of this job; in a coroutine or thread, because decoding runs the user's code."""
        notice = self.outcome.value
        if not isinstance(notice, MonitorException):
            notice = notice.decode(self._reference())
        return MonitorException(self.coro, notice.kind, notice.value, notice.error, notice.traceback_text)

    def result(self) -> Any:
        """The result of a job that is over.

        Raises:
            CoroTerminated, RemoteError, BaseException: As `RemoteCoro.value`.
        """
        return self._reference().value(0)

    def _reference(self) -> RemoteCoro:
        """The reference, or what stands for one."""
        coro: RemoteCoro | None = self.coro
        return coro or self._runtime.reference(self.peer, 0, self.name, self.outcome)

    def ended(self) -> Outcome:
        """What the job came to, once it is over; nothing is decoded for that."""
        return Outcome.LOST if self.is_handed_back else Outcome(self.outcome.value.kind)

    @property
    def is_server_lost(self) -> bool:
        """Is what came of it that its server is gone?"""
        notice = self.outcome.value
        return isinstance(notice, MonitorException) and isinstance(notice.error, ServerDied)

    @property
    def is_handed_back(self) -> bool:
        """Did the server say that it has not begun, and will not?"""
        notice = self.outcome.value
        return getattr(notice, "error_type", "") == HandedBack.__name__

    @property
    def loss(self) -> str:
        """Why nothing came of it, for people, where its server is lost or has handed it back."""
        return "its server has handed it back" if self.is_handed_back else str(self.outcome.value.error)

    def wait_until_silent(self, timeout: float) -> bool:
        """Is it certain, within ``timeout`` seconds, that nothing comes of it at its server any more?

        The server has been told to end it, and has answered that or cannot be reached; that may be, though its node
        has said that the server is gone.
        """
        return self.id == 0 or self._watch.wait(timeout)

    def server_gone(self, explanation: str) -> None:
        """Its server is gone, and this is how; where its outcome came before, that stands. User hub's thread."""
        if not self._take_what_came():
            self.fail(ServerDied(f"the server process that ran {self.name} ({self.server.location}) {explanation}"))

    def computation_closed(self, reason: str = "") -> None:
        """Its computation was closed before it was over; where its outcome came before, that stands. User hub."""
        if not self._take_what_came():
            why = f": {reason}" if reason else ""
            self.fail(ComputationClosed(f"the computation was closed before {self.name} was over{why}"))

    def _take_what_came(self) -> bool:
        came = self._watch.value
        if came is None or self._is_loss(came):
            return False
        self._finish(came)
        return True

    def fail(self, error: BaseException) -> None:
        """Nothing is to be heard of it any more, because of this. User hub's thread."""
        self._finish(MonitorException(self.coro, "lost", None, error))

    def _finish(self, notice: Any) -> None:
        if self.outcome.set(notice):
            # Whoever keeps the submission is among what it is given: not kept, there is no cycle for the collector.
            on_over, self._on_over = self._on_over, _told
            on_over(self)


def _told(submission: Submission) -> None:
    """In place of who was told already."""
