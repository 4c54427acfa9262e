"""How jobs get to where they run."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from greencoro.compute.installed import installed
from greencoro.compute.job_words import SetUp
from greencoro.compute.posting import post
from greencoro.compute.requirements import Requirement, normalized
from greencoro.compute.server_news import ServerNews
from greencoro.compute.server_pool import Server
from greencoro.compute.shipping import Prepared, Shipping
from greencoro.compute.submission import Submission
from greencoro.distributed.fields import Header
from greencoro.distributed.refs import Reference
from greencoro.distributed.runtime import Runtime
from greencoro.errors import BusyResource, GreencoroError, PeerLost
from greencoro.hub import native
from greencoro.hub.coroutine import Coro

__all__ = ["JobTransport", "NetworkTransport"]

_log = logging.getLogger(__name__)

T = TypeVar("T")


class JobTransport(Protocol):
    """The way of one computation's jobs to its servers."""

    def set_up(self, server: Server, timeout: float) -> None:
        """Install the components at a server; whatever it raises is why the server cannot be used."""

    def send_ahead(self, server: Server) -> None:
        """Begin to send a server what was scattered, before jobs want it; returns at once."""

    def forget(self, server: Server) -> None:
        """A server is gone."""

    def open(
        self, server: Server, call: Prepared, on_over: Callable[[Submission], None], lane: str | None = None
    ) -> Submission:
        """A job that is about to be sent.

        Raises:
            BusyResource: The server takes no more.
        """

    def start(self, submission: Submission, deadline: float) -> Coro:
        """Have the server start the job, and wait for its answer: a reference.

        Raises:
            PackagingError: It has an argument that was scattered, and is freed.

            DeadlineExceeded: No answer came in time; the job is terminated, or not started.

            PeerLost, PeerUnreachable: The server is gone, or was before.

            BusyResource: There was no room on the way to it.

            GreencoroError: The server did not take it.
        """

    def queue(self, submission: Submission) -> None:
        """Have the server run the job when those before it in its lane are over; whatever comes is the outcome.

        Raises:
            PackagingError, DeadlineExceeded, PeerLost, BusyResource: As `start`.
        """

    def withdraw(self, submission: Submission) -> None:
        """Have a job terminated, or not started."""


class NetworkTransport:
    """To server processes, by requests to their runtimes. A `JobTransport`.

    Args:
        key (bytes): The reach key of the servers (`job_words.reach_key`).

        output (bool): Show here what jobs print.

        requirements: Packages that every server has to have.
    """

    def __init__(
        self,
        runtime: Runtime,
        shipping: Shipping,
        key: bytes,
        output: bool = True,
        requirements: Sequence[Requirement] = (),
    ) -> None:
        self._runtime = runtime
        self._shipping = shipping
        self._key = key
        self._output = output
        here = installed(each.name for each in requirements)
        self._requirements = {str(each): here.get(normalized(each.name), "") for each in requirements}
        self._news = ServerNews(runtime)

    def set_up(self, server: Server, timeout: float) -> None:
        """See `JobTransport`; connects to the server first."""
        peer = server.peer
        # At its port its daemon may have been met before.
        self._runtime.connect(server.location, incarnation=peer.incarnation)
        self._news.hear(server)
        asked = SetUp(server.token, self._key.hex(), self._output, self._requirements)
        # To the one that was leased, whoever was met there.
        self._shipping.set_up(self._runtime, peer, asked, timeout)
        # Files go there without any reference that would show the key.
        self._runtime.link_for(Reference(peer.location, peer.incarnation, 0, "", self._key))
        self._news.ready(server)

    def send_ahead(self, server: Server) -> None:
        """See `JobTransport`."""
        self._runtime.spawn(self._send_ahead, server).set_daemon()

    def _send_ahead(self, server: Server) -> None:
        try:
            self._shipping.send_all_scattered(self._runtime, server.peer, server.token)
        except GreencoroError as error:
            # The first job that wants it there tries again.
            _log.info("%s could not be sent what was scattered: %s", server.location, error)

    def forget(self, server: Server) -> None:
        """See `JobTransport`."""
        self._news.forget(server)
        self._shipping.forget(bytes.fromhex(server.id))

    def open(
        self, server: Server, call: Prepared, on_over: Callable[[Submission], None], lane: str | None = None
    ) -> Submission:
        """See `JobTransport`."""
        return Submission(self._runtime, server, call, on_over, lane)

    def start(self, submission: Submission, deadline: float) -> Coro:
        """See `JobTransport`."""
        runtime, peer = self._runtime, submission.peer
        # Without what it takes to send what is large: every piece of that has a limit of its own.
        timeout = max(0.0, deadline - native.monotonic())

        def send(header: Header, parts: list[bytes]) -> dict[str, Any]:
            return runtime.request(peer, "server.run", header, parts, timeout).header

        reply = self._send(submission, send)
        return runtime.reference(peer, reply["id"], reply["name"], submission.outcome, self._key)

    def queue(self, submission: Submission) -> None:
        """See `JobTransport`."""
        self._send(submission, functools.partial(post, self._runtime, submission.peer, "server.queue"))

    def withdraw(self, submission: Submission) -> None:
        """See `JobTransport`."""
        header = {"token": submission.server.token, "watch": submission.id}
        try:
            post(self._runtime, submission.peer, "server.withdraw", header)
        except PeerLost:
            return  # its jobs are over with it
        except BusyResource as error:
            _log.warning("%s goes on, though nobody waits for it: %s", submission.name, error)

    def _send(self, submission: Submission, send: Callable[[Header, list[bytes]], T]) -> T:
        return self._shipping.send_call(
            self._runtime,
            submission.peer,
            submission.server.token,
            submission.call,
            submission.lane,
            submission.id,
            send,
        )
