"""How jobs get to where they run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from greencoro.compute.installed import installed
from greencoro.compute.job_words import SetUp
from greencoro.compute.posting import post
from greencoro.compute.requirements import Requirement, normalized
from greencoro.compute.server_news import ServerNews
from greencoro.compute.server_pool import Server
from greencoro.compute.shipping import Prepared, Shipping
from greencoro.compute.submission import Submission
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.runtime import Runtime
from greencoro.errors import BusyResource, PackagingError, PeerLost
from greencoro.hub import native
from greencoro.hub.coroutine import Coro

__all__ = ["JobTransport", "NetworkTransport"]

_log = logging.getLogger(__name__)

#: More than what travels beside the arguments of a job.
_HEADER_BYTES = 16 * 1024


class JobTransport(Protocol):
    """The way of one computation's jobs to its servers."""

    def set_up(self, server: Server, timeout: float) -> None:
        """Install the components at a server; whatever it raises is why the server cannot be used."""

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
            PackagingError: Its arguments are larger than a message may be.

            DeadlineExceeded: No answer came in time; the job is terminated, or not started.

            PeerLost, PeerUnreachable: The server is gone, or was before.

            BusyResource: There was no room on the way to it.

            GreencoroError: The server did not take it.
        """

    def queue(self, submission: Submission) -> None:
        """Have the server run the job when those before it in its lane are over; whatever comes is the outcome.

        Raises:
            PackagingError, PeerLost, BusyResource: As `start`.
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
        # At its port its daemon may have been met before.
        found = self._runtime.connect(server.location, incarnation=bytes.fromhex(server.id))
        self._news.hear(server)
        asked = SetUp(server.token, self._key.hex(), self._output, self._requirements)
        self._shipping.set_up(self._runtime, found, asked, timeout)
        self._news.ready(server)

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
        header = self._header(submission, peer)
        timeout = max(0.0, deadline - native.monotonic())
        reply = runtime.request(peer, "server.run", header, [submission.call.arguments], timeout).header
        return runtime.reference(peer, reply["id"], reply["name"], submission, self._key)  # type: ignore[arg-type]

    def queue(self, submission: Submission) -> None:
        """See `JobTransport`."""
        header = self._header(submission, submission.peer)
        post(self._runtime, submission.peer, "server.queue", header, [submission.call.arguments])

    def withdraw(self, submission: Submission) -> None:
        """See `JobTransport`."""
        header = {"token": submission.server.token, "watch": submission.id}
        try:
            post(self._runtime, submission.peer, "server.withdraw", header)
        except PeerLost:
            return  # its jobs are over with it
        except BusyResource as error:
            _log.warning("%s goes on, though nobody waits for it: %s", submission.name, error)

    def _header(self, submission: Submission, peer: PeerInfo) -> dict[str, Any]:
        call, token = submission.call, submission.server.token
        limit, size = self._runtime.settings.max_message_bytes, len(call.arguments)
        if size + _HEADER_BYTES > limit:
            raise PackagingError(f"the arguments of {call.name} take {size} bytes; max_message_bytes is {limit}")
        header = {
            "token": token,
            "packages": self._shipping.send(self._runtime, peer, token, call.packages),
            "entry": call.entry,
            "name": call.name,
            "watch": submission.id,
        }
        if submission.lane is not None:
            header["lane"] = submission.lane
        if call.time_limit is not None:
            header["time_limit"] = call.time_limit
        return header
