"""What a computation has done at every node and server before its jobs run there, and when it is closed.

A node is set up by the first of its servers that has got its components; the others wait for that. Where that server
dies over it, the next one sets the node up. The ends come in the opposite order: servers, then nodes.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Any

from greencoro.compute.hook_functions import HookFunctions
from greencoro.compute.job_transport import JobTransport
from greencoro.compute.server_pool import Server
from greencoro.compute.shipping import Prepared, Shipping
from greencoro.compute.submission import Submission
from greencoro.distributed.user_code import reason
from greencoro.errors import (
    ComputationClosed,
    ComputeError,
    CoroTerminated,
    GreencoroError,
    PeerLost,
    PeerUnreachable,
    RemoteError,
    ServerDied,
    Terminated,
)
from greencoro.hub import native, userhub
from greencoro.hub.completion import Completion
from greencoro.hub.telling import tell

__all__ = ["Hooks"]

_log = logging.getLogger(__name__)

#: What a terminated clean-up is given for its own ``finally`` blocks, in seconds.
_GRACE_SECONDS = 0.5


class Hooks:
    """The hooks of one computation.

    Raises:
        PackagingError: One cannot be shipped.

        TypeError: One is no function, or has parameters to be given.
    """

    def __init__(self, functions: HookFunctions, shipping: Shipping) -> None:
        def prepared(function: Callable[[], Any] | None) -> Prepared | None:
            return None if function is None else shipping.prepare(function, (), {})

        for function in vars(functions).values():
            if function is not None and not callable(function):
                raise TypeError(f"a hook is a function, not {function!r}")
        self._node_setup = prepared(functions.node_setup)
        self._server_setup = prepared(functions.server_setup)
        self._server_cleanup = prepared(functions.server_cleanup)
        self._node_cleanup = prepared(functions.node_cleanup)
        # Held for a few lines.
        self._lock = native.Lock()
        #: By node: how its set-up ended; None where it is to be tried again.
        self._nodes: dict[str, Completion] = {}
        self._under_way: dict[Submission, None] = {}

    def set_up(self, transport: JobTransport, server: Server) -> None:
        """Run what is to be run at a server, and perhaps at its node, before its jobs.

        Raises:
            ComputeError: A hook failed; says which and what it raised.

            ServerDied: The server has died over it.
        """
        if self._node_setup is not None:
            self._set_up_node(self._node_setup, transport, server)
        if self._server_setup is not None:
            _check("server_setup", self._run(transport, server, self._server_setup))

    def _set_up_node(self, hook: Prepared, transport: JobTransport, server: Server) -> None:
        while True:
            with self._lock:
                under_way = self._nodes.get(server.node)
                mine = None
                if under_way is None:
                    mine = self._nodes[server.node] = Completion()
            if mine is None:
                assert under_way is not None
                under_way.wait()
                error = under_way.value
                if error is None:
                    continue  # whoever did it has died over it
                if error is not _DONE:
                    raise ComputeError(f"the node could not be set up: {error}")
                return
            outcome: Any = None
            try:
                _check("node_setup", self._run(transport, server, hook))
                outcome = _DONE
                return
            except ServerDied:
                raise
            except BaseException as error:
                outcome = error
                raise
            finally:
                if outcome is None:
                    with self._lock:
                        del self._nodes[server.node]
                mine.set(outcome)

    def _begin(self, transport: JobTransport, server: Server, hook: Prepared) -> Submission:
        submission = transport.open(server, hook, self._over)
        self._under_way[submission] = None
        if server.is_gone:
            userhub.post(submission.server_gone, server.explanation)
        # Of the end of its server the submission hears by itself, with the others.
        with contextlib.suppress(PeerLost, PeerUnreachable):
            transport.queue(submission)
        return submission

    def _run(self, transport: JobTransport, server: Server, hook: Prepared) -> Submission:
        submission = self._begin(transport, server, hook)
        submission.outcome.wait()
        return submission

    def clean_up(self, transport: JobTransport, servers: Iterable[Server], timeout: float) -> None:
        """Run what is to be run in the end; what takes longer than ``timeout`` seconds, each, is terminated."""
        servers = list(servers)
        if self._server_cleanup is not None:
            self._run_all(transport, servers, self._server_cleanup, timeout)
        if self._node_cleanup is not None:
            one_of_each = {server.node: server for server in servers}
            self._run_all(transport, one_of_each.values(), self._node_cleanup, timeout)

    def _run_all(self, transport: JobTransport, servers: Iterable[Server], hook: Prepared, timeout: float) -> None:
        deadline = native.monotonic() + timeout
        begun = []
        for server in servers:
            try:
                begun.append(self._begin(transport, server, hook))
            except GreencoroError as error:
                tell(_log, logging.WARNING, f"{hook.name} could not be run at {server.location}: {error}")
        for submission in begun:
            if not submission.outcome.wait(max(0.0, deadline - native.monotonic())):
                transport.withdraw(submission)
                submission.outcome.wait(_GRACE_SECONDS)
        for submission in begun:
            where = submission.server.location
            if not submission.outcome.done:
                tell(_log, logging.WARNING, f"{hook.name} does not end at {where}")
                continue
            try:
                submission.result()
            except Exception as error:
                tell(_log, logging.WARNING, f"{hook.name} failed at {where}: {type(error).__name__}: {error}")

    # The user hub.

    def server_gone(self, server: Server) -> None:
        """Nothing more will come of it."""
        for submission in list(self._under_way):
            if submission.server is server:
                submission.server_gone(server.explanation)

    def computation_over(self, reason: str) -> None:
        """Nothing will be heard any more of what is being run."""
        for submission in list(self._under_way):
            submission.computation_closed(reason)

    def _over(self, submission: Submission) -> None:
        self._under_way.pop(submission, None)


_DONE = object()


def _check(kind: str, submission: Submission) -> None:
    """A set-up that is over.

    Raises:
        ComputeError: It failed; says as which hook.

        ServerDied, ComputationClosed: Nothing was heard of it.
    """
    try:
        submission.result()
    except (ServerDied, ComputationClosed, Terminated):
        raise
    except CoroTerminated as error:
        raise ComputeError(f"{kind} {submission.name} was terminated") from error
    except BaseException as error:  # of `SystemExit` it has died as of any other error
        raise ComputeError(f"{kind} {submission.name} raised {_shown(error)}") from error


def _shown(error: BaseException) -> str:
    """Class and text, without the traceback that is in a `RemoteError`."""
    text = error.message if isinstance(error, RemoteError) else reason(error)
    return text.removesuffix(": ")
