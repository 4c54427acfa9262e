"""What connects one computation with its scheduler: the shell that carries out what `client_state` decides."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import Any

from greencoro.compute import client_vocabulary as decisions
from greencoro.compute import client_words
from greencoro.compute.client_phase import Phase
from greencoro.compute.client_state import ClientState
from greencoro.compute.explain_door import open_door
from greencoro.compute.filters import NodeFacts, decide
from greencoro.compute.hooks import Hooks
from greencoro.compute.inline import current_inline_server
from greencoro.compute.job_transport import JobTransport, NetworkTransport
from greencoro.compute.job_words import reach_key
from greencoro.compute.pulse_clock import SILENT_PULSES
from greencoro.compute.pulses import Pulses
from greencoro.compute.scheduler_link import SchedulerLink, find_scheduler
from greencoro.compute.server_pool import Server, ServerPool
from greencoro.compute.shipping import Shipping
from greencoro.compute.status_feed import StatusFeed
from greencoro.compute.terminal import say
from greencoro.compute.terms import Terms
from greencoro.distributed.location import Location
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.runtime import Runtime
from greencoro.errors import ComputationClosed, ComputeError, LocalProtocolError
from greencoro.hub import forks, native, userhub
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.telling import tell

__all__ = ["EXPLANATION_SECONDS", "Client"]

_log = logging.getLogger(__name__)

_TOKEN_BYTES = 16
#: After this long it is said what `schedule` waits for.
_SAY_AFTER_SECONDS = 3.0
#: How often it is said that jobs wait for servers; without jobs, where the reason is another one each time.
_SAY_EVERY_SECONDS = 5.0
#: How long what a dead server sent may take to be here; that its connection ends behind it proves that all is.
_LAST_WORDS_SECONDS = 5.0
#: What a scheduler is given to find out how a server ended, beside the computation's timeout for its answer.
EXPLANATION_SECONDS = 4.0


class Client:
    """One computation: its turn, its servers.

    Args:
        shipping: Its code.

        terms: On which it is scheduled.

        on_servers: Called when servers are ready or gone, on the user hub, as are the others.

        on_gone: Called with a server of which nothing more will come.

        on_end: Called when nothing will be heard of its jobs any more; `ended` says why.

        shortage: How many jobs wait because there is no server for them, and why there is none; in a coroutine.

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
        terms: Terms,
        on_servers: Callable[[], None],
        on_gone: Callable[[Server], None],
        on_end: Callable[[], None],
        shortage: Callable[[], tuple[int, str]],
    ) -> None:
        token = secrets.token_bytes(_TOKEN_BYTES)
        self._token = token.hex()
        self._shipping = shipping
        #: What is run around its jobs.
        self.hooks = Hooks(terms.hooks, shipping)
        self.terms = terms
        self._on_servers = on_servers
        self._on_gone = on_gone
        self._on_end = on_end
        self._shortage = shortage
        self.lock = native.Lock()
        self._state = ClientState(token)
        #: Set when the computation's turn has come, or will not come.
        self._turn = Completion()
        #: Why jobs were ended with it; None while they are not. The user hub's.
        self.ended: decisions.EndJobs | None = None
        #: Set, to why, when it is over.
        self.over = Completion()
        #: Those to the servers, while the computation has its turn; the user hub's.
        self._pulses: Pulses | None = None
        #: By id: servers whose last words may be under way, and what ends the wait for these. The user hub's.
        self._last_words: dict[str, tuple[decisions.HearOut, Any]] = {}

    @property
    def phase(self) -> Phase:
        """What the computation is at."""
        return self._state.phase

    @property
    def reason(self) -> str:
        """Why it is over, where nobody here has asked for that."""
        return self._state.reason

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
        forks.refuse()
        with self.lock:
            return list(self.pool.ready())

    # What the user asks for.

    def schedule(
        self, status_coro: Coro | None, location: Location | None = None, timeout: float | None = None
    ) -> None:
        """Wait for the computation's turn; `Computation.schedule` says what is raised."""
        forks.refuse()
        timeout = self.terms.timeout if timeout is None else timeout
        inline = current_inline_server() if location is None else None
        link: SchedulerLink = inline or find_scheduler(location, timeout)
        try:
            self._decide(self._state.ask)
        except LocalProtocolError:
            raise ComputeError("a computation is scheduled once: make another") from None
        self.link = link
        self.transport = inline or NetworkTransport(
            link.runtime,
            self._shipping,
            reach_key(self._token),
            self.terms.forward_output,
            self.terms.requirements,
        )
        self.feed = StatusFeed(status_coro, link.runtime.spawn)
        link.runtime.watch_peers(self._on_peer)
        try:
            terms = self.terms
            ask = client_words.Ask(
                self._token, link.runtime.name, terms.pulse_interval, terms.zombie_period, terms.ping_interval
            )
            number = link.submit(ask, lambda notice: self._decide(self._state.hear, notice), timeout)
        except BaseException:
            link.runtime.unwatch_peers(self._on_peer)
            self._decide(self._state.refused)
            raise
        self._decide(self._state.submitted, number)
        open_door()
        try:
            self._wait_for_turn()
        except BaseException:
            self._decide(self._state.close)
            raise
        if self.over.done:
            raise ComputationClosed(self.over.value or "the computation was closed before its turn came")

    def _wait_for_turn(self) -> None:
        """Until this is the scheduler's current computation; after a few seconds it is said what is waited for.

        And again whenever that has changed, as when another one before it is over.
        """
        said, pause = "", _SAY_AFTER_SECONDS
        while not self._turn.wait(pause):
            pause = _SAY_EVERY_SECONDS
            why = self.link.why_no_turn()
            if why != said:
                said = why
                say(f"a computation waits for {why}")

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
        self.feed.tell(order.message)

    def _begin(self, order: decisions.Begin) -> None:
        # Each server answers for itself: one may be stopped while its node is well.
        self._pulses = Pulses(self.runtime, self.terms.pulse_interval, self._on_silent)
        self._turn.set()
        self._spawn(self._say_what_is_waited_for)

    def _say_what_is_waited_for(self) -> None:
        """While the computation has its turn: every few seconds that jobs wait, or what it has no servers for."""
        said = ""
        while not self.over.wait(_SAY_EVERY_SECONDS) and self.phase is Phase.CURRENT:
            jobs, why = self._shortage()
            if jobs:
                said = why
                say(f"{jobs} job{' waits' if jobs == 1 else 's wait'} for capacity: {why}")
                continue
            why = "" if self.ready() else self.link.why_no_server()
            if why and why != said:
                said = why
                say(f"a computation has no servers: {why}")

    def _end_jobs(self, order: decisions.EndJobs) -> None:
        self.ended = self.ended or order
        if self._pulses is not None:
            self._pulses.stop()
        self._on_end()
        self.hooks.computation_over(order.reason)
        self._on_servers()

    def _end(self, order: decisions.End) -> None:
        self.runtime.unwatch_peers(self._on_peer)
        for _, timer in self._last_words.values():
            timer.close()
        self._last_words.clear()
        self._shipping.free_all()
        self.over.set(order.reason)
        self._turn.set()  # where it never came
        self._on_servers()

    # Nodes.

    def _judge(self, order: decisions.Judge) -> None:
        # A coroutine, for filters are functions of the user's.
        self._spawn(self._ask_filters, order)

    def _ask_filters(self, order: decisions.Judge) -> None:
        facts = order.facts
        avail = None if facts.free is None else facts.free.at(facts.address)
        seen = NodeFacts(facts.address, facts.name, facts.servers, facts.platform, facts.tags, avail)
        accepted, reason = decide(self.terms.node_filters, seen)
        if not accepted:
            _log.info("node %s is not used: %s", facts.address, reason)
        self._decide(self._state.judged, order.node, accepted, reason)

    # Servers.

    def _set_up(self, order: decisions.SetUp) -> None:
        self._spawn(self._send_components, order.server)

    def _send_components(self, server: Server) -> None:
        if self.pool.get(server.id) is not server:
            return  # closed, or lost, meanwhile
        try:
            self.transport.set_up(server, self.terms.timeout)
            self.hooks.set_up(self.transport, server)
        except Exception as error:
            if self.phase is not Phase.CURRENT:
                return  # closed meanwhile
            # Whatever is wrong with this server or with a component: this server is not used, and the error is shown.
            tell(_log, logging.WARNING, f"server {server.location} could not be set up: {error}")
            self._decide(self._state.set_up_failed, server, str(error))
        else:
            self._decide(self._state.set_up_done, server)

    def _server_ready(self, order: decisions.Ready) -> None:
        server = order.server
        peer = PeerInfo(server.location, server.name, bytes.fromhex(server.id))
        # What is lost already is told by other means, and what runs in this process is on no connection.
        if self._pulses is not None and self.runtime.last_heard(peer) is not None:
            self._pulses.watch(server.id, peer, "greencoro.ping", {})
        self._on_servers()

    def _on_silent(self, server: str) -> None:
        seconds = SILENT_PULSES * self.terms.pulse_interval
        reason = f"it was silent for {seconds:g} s, {SILENT_PULSES} pulse intervals"
        self._decide(self._state.unreachable, server, reason)

    def _hear_out(self, order: decisions.HearOut) -> None:
        # What the server sent before it died may still be under way on its own connection. No coroutine waits, for the
        # end of the runtime would end it, and nobody would hear that the computation is over.
        server = order.server.id
        self._last_words[server] = order, userhub.call_later(_LAST_WORDS_SECONDS, self._heard_out, server)
        incarnation = bytes.fromhex(server)
        # From here on `_on_peer` hears of the connection's end.
        if not any(peer.incarnation == incarnation for peer in self.runtime.peer_infos()):
            self._heard_out(server)

    def _heard_out(self, server: str) -> None:
        waits = self._last_words.pop(server, None)
        if waits is not None:
            order, timer = waits
            timer.close()
            self._decide(self._state.gone, order.server, order.explanation, order.closed)

    def _on_peer(self, event: Any) -> None:
        if not event.online:
            server = event.peer.incarnation.hex()
            self._decide(self._state.unreachable, server, event.reason)
            self._heard_out(server)

    def _await_explanation(self, order: decisions.AwaitExplanation) -> None:
        explanation = f"cannot be reached any more, and its node does not say why: {order.reason}"
        limit = EXPLANATION_SECONDS + self.terms.timeout
        userhub.call_later(limit, self._decide, self._state.gone, order.server, explanation, False)

    def _server_gone(self, order: decisions.Gone) -> None:
        if self._pulses is not None:
            self._pulses.forget(order.server.id)
        self.transport.forget(order.server)
        self.hooks.server_gone(order.server)
        self._on_gone(order.server)
        self._on_servers()


_CARRY_OUT: dict[type, Callable[[Client, Any], None]] = {
    decisions.Say: Client._say,
    decisions.Tell: Client._tell,
    decisions.Begin: Client._begin,
    decisions.Judge: Client._judge,
    decisions.SetUp: Client._set_up,
    decisions.Ready: Client._server_ready,
    decisions.HearOut: Client._hear_out,
    decisions.AwaitExplanation: Client._await_explanation,
    decisions.Gone: Client._server_gone,
    decisions.EndJobs: Client._end_jobs,
    decisions.End: Client._end,
}
