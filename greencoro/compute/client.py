"""What connects one computation with its scheduler: the shell that carries out what `client_state` decides."""

from __future__ import annotations

import logging
import secrets
import sys
from collections.abc import Callable
from typing import Any

from greencoro.compute import client_state as decisions
from greencoro.compute import client_words
from greencoro.compute.client_state import ClientState, Phase
from greencoro.compute.job_transport import JobTransport, NetworkTransport
from greencoro.compute.scheduler_link import SchedulerLink, find_scheduler
from greencoro.compute.server_pool import Server, ServerPool
from greencoro.compute.shipping import Shipping
from greencoro.compute.status_feed import StatusFeed
from greencoro.distributed.runtime import Runtime
from greencoro.errors import ComputationClosed, ComputeError, LocalProtocolError
from greencoro.hub import native, userhub
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import sleep

__all__ = ["EXPLANATION_SECONDS", "Client"]

_log = logging.getLogger(__name__)

_TOKEN_BYTES = 16
#: After this long it is said what `schedule` waits for.
_SAY_AFTER_SECONDS = 3.0
#: How often it is said why there are no servers, where that is something else each time.
_SAY_EVERY_SECONDS = 5.0
#: How long what a dead server sent may take to be here.
_LAST_WORDS_SECONDS = 2.0
#: What a scheduler is given to find out how a server ended, beside the computation's timeout for its answer.
EXPLANATION_SECONDS = 4.0


class Client:
    """One computation: its turn, its servers.

    Args:
        shipping: Its code.

        timeout (float): Longest wait for a server's or scheduler's answer, in seconds.

        on_servers: Called when servers are ready or gone, on the user hub, as are the others.

        on_gone: Called with a server of which nothing more will come.

        on_end: Called with a reason, or with "", when the computation is over.

    Attributes:
        link (SchedulerLink), transport (JobTransport), feed (StatusFeed): Once it is scheduled.

        lock: For `pool`. Held for a few lines, with no call out of this layer, and never by the reactor.
    """

    link: SchedulerLink
    transport: JobTransport
    feed: StatusFeed

    def __init__(
        self,
        shipping: Shipping,
        timeout: float,
        on_servers: Callable[[], None],
        on_gone: Callable[[Server], None],
        on_end: Callable[[str], None],
    ) -> None:
        token = secrets.token_bytes(_TOKEN_BYTES)
        self._token = token.hex()
        self._shipping = shipping
        self._timeout = timeout
        self._on_servers = on_servers
        self._on_gone = on_gone
        self._on_end = on_end
        self.lock = native.Lock()
        self._state = ClientState(token)
        #: Set when the computation's turn has come, or will not come.
        self._turn = Completion()
        #: Set, to why, when it is over.
        self.over = Completion()

    @property
    def phase(self) -> Phase:
        """What the computation is at."""
        return self._state.phase

    @property
    def pool(self) -> ServerPool:
        """Its servers."""
        return self._state.pool

    @property
    def runtime(self) -> Runtime:
        """What reaches the servers."""
        return self.link.runtime

    def ready(self) -> list[Server]:
        """The servers that take jobs."""
        with self.lock:
            return list(self.pool.ready())

    # What the user asks for.

    def schedule(self, status_coro: Coro | None) -> None:
        """Wait for the computation's turn; `Computation.schedule` says what is raised."""
        link = find_scheduler()
        try:
            self._decide(self._state.ask)
        except LocalProtocolError:
            raise ComputeError("a computation is scheduled once: make another") from None
        self.link = link
        self.transport = NetworkTransport(link.runtime, self._shipping)
        self.feed = StatusFeed(status_coro, link.runtime.spawn)
        link.runtime.watch_peers(self._on_peer)
        try:
            ask = client_words.Ask(self._token, link.runtime.name)
            number = link.submit(ask, lambda notice: self._decide(self._state.hear, notice), self._timeout)
        except BaseException:
            link.runtime.unwatch_peers(self._on_peer)
            self._decide(self._state.refused)
            raise
        self._decide(self._state.submitted, number)
        try:
            self._wait_for_turn()
        except BaseException:
            self._decide(self._state.close)
            raise
        if self.over.done:
            raise ComputationClosed(self.over.value or "the computation was closed before its turn came")

    def _wait_for_turn(self) -> None:
        """Until this is the scheduler's current computation; after a few seconds it is said what is waited for."""
        if self._turn.wait(_SAY_AFTER_SECONDS):
            return
        _say("a computation waits for its turn: another one of this process is open, close() that first")
        self._turn.wait()

    def close(self, timeout: float) -> bool:
        """Give everything back; is it over within ``timeout`` seconds? Where it is not scheduled, it needs not be."""
        if self.phase is Phase.NEW:
            return True
        self._decide(self._state.close)
        return self.over.wait(timeout)

    # Decisions, and what follows from them on the user hub.

    def _decide(self, decide: Callable[..., list[decisions.Instruction]], *about: Any) -> None:
        with self.lock:
            # Within the lock, so that they are carried out in the order in which they were decided.
            userhub.post(self._carry_out, decide(*about))

    def _carry_out(self, instructions: list[decisions.Instruction]) -> None:
        for instruction in instructions:
            _CARRY_OUT[type(instruction)](self, instruction)

    def _spawn(self, function: Callable[..., None], *args: Any) -> None:
        self.runtime.spawn(function, *args).set_daemon()

    def _say(self, order: decisions.Say) -> None:
        self.link.tell(order.request)

    def _tell(self, order: decisions.Tell) -> None:
        self.feed.tell(order.status)

    def _begin(self, order: decisions.Begin) -> None:
        self._turn.set()
        self._spawn(self._say_what_is_waited_for)

    def _say_what_is_waited_for(self) -> None:
        """While the computation has its turn and no server: after a few seconds, then whenever it is something else."""
        said = ""
        while not self.over.wait(_SAY_EVERY_SECONDS) and self.phase is Phase.CURRENT:
            why = "" if self.ready() else self.link.why_no_server()
            if why and why != said:
                said = why
                _say(f"no servers yet: {why}")

    def _end(self, order: decisions.End) -> None:
        self.runtime.unwatch_peers(self._on_peer)
        self.over.set(order.reason)
        self._turn.set()  # where it never came
        self._on_end(order.reason)
        self._on_servers()

    # Servers.

    def _set_up(self, order: decisions.SetUp) -> None:
        self._spawn(self._send_components, order.server)

    def _send_components(self, server: Server) -> None:
        if self.pool.get(server.id) is not server:
            return  # closed, or lost, meanwhile
        try:
            self.transport.set_up(server, self._timeout)
        except Exception as error:
            # Whatever is wrong with this server or with a component: this server is not used, and the error is shown.
            _log.warning("server %s could not be set up: %s", server.location, error)
            self._decide(self._state.set_up_failed, server, str(error))
        else:
            self._decide(self._state.set_up_done, server)

    def _server_ready(self, order: decisions.Ready) -> None:
        self._on_servers()

    def _hear_out(self, order: decisions.HearOut) -> None:
        self._spawn(self._wait_for_last_words, order)

    def _wait_for_last_words(self, order: decisions.HearOut) -> None:
        """What the server sent before it died may still be under way on its own connection."""
        incarnation = bytes.fromhex(order.server.id)
        deadline = native.monotonic() + _LAST_WORDS_SECONDS
        while any(peer.incarnation == incarnation for peer in self.runtime.peer_infos()):
            if native.monotonic() > deadline:
                break
            sleep(0.005)
        self._decide(self._state.gone, order.server, order.explanation, order.closed)

    def _on_peer(self, event: Any) -> None:
        if not event.online:
            self._decide(self._state.unreachable, event.peer.incarnation.hex(), event.reason)

    def _await_explanation(self, order: decisions.AwaitExplanation) -> None:
        explanation = f"cannot be reached any more, and its node does not say why: {order.reason}"
        limit = EXPLANATION_SECONDS + self._timeout
        userhub.call_later(limit, self._decide, self._state.gone, order.server, explanation, False)

    def _server_gone(self, order: decisions.Gone) -> None:
        self.transport.forget(order.server)
        self._on_gone(order.server)
        self._on_servers()


def _say(line: str) -> None:
    """Tell the person at the terminal; where there is none, the log."""
    if sys.stderr is not None and sys.stderr.isatty():
        print(f"greencoro: {line}", file=sys.stderr, flush=True)
    else:
        _log.warning("%s", line)


_CARRY_OUT: dict[type, Callable[[Client, Any], None]] = {
    decisions.Say: Client._say,
    decisions.Tell: Client._tell,
    decisions.Begin: Client._begin,
    decisions.SetUp: Client._set_up,
    decisions.Ready: Client._server_ready,
    decisions.HearOut: Client._hear_out,
    decisions.AwaitExplanation: Client._await_explanation,
    decisions.Gone: Client._server_gone,
    decisions.End: Client._end,
}
