"""The private scheduler: the shell, in the client's process, that carries out what `scheduler_state` decides."""

from __future__ import annotations

import logging
import secrets
import sys
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from greencoro.compute.placement import Candidate
from greencoro.compute.scheduler_state import SchedulerState
from greencoro.compute.scheduler_vocabulary import (
    Begun,
    CloseRequested,
    Ended,
    Event,
    Granted,
    Instruction,
    NodeLost,
    NodeUp,
    Refused,
    Release,
    Released,
    Reserve,
    Retry,
    RetryLater,
    ServerGone,
    ServerLost,
    ServerReady,
    ServerSilent,
    ServerStarted,
    SetUp,
    SetUpDone,
    SetUpFailed,
    Submitted,
    Tell,
)
from greencoro.compute.status import StatusCodes
from greencoro.distributed import runtime as runtimes
from greencoro.distributed.link import PeerInfo
from greencoro.distributed.location import Location
from greencoro.errors import BusyResource, ConfigError, GreencoroError
from greencoro.hub import exit as process_exit
from greencoro.hub import native, userhub
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import sleep

if TYPE_CHECKING:
    from greencoro.compute.computation import Computation

__all__ = ["Scheduler", "current_scheduler"]

_log = logging.getLogger(__name__)

#: Longest wait for a node's or server's answer to what it can do at once, in seconds.
_ANSWER_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0
#: How soon a node that is in use is asked again.
_RETRY_SECONDS = 0.5
#: How long a node may take to say how a server ended whose connection broke.
_EXPLANATION_SECONDS = 2.0
_SAY_EVERY_SECONDS = 5.0

_current: Scheduler | None = None
_current_lock = native.Lock()


def current_scheduler() -> Scheduler | None:
    """This process's scheduler, where there is one."""
    return _current


class Scheduler(StatusCodes):
    """Finds nodes, reserves their servers for one computation after another, keeps track of them.

    One for a process: a second call returns the first one's object, which then uses the new ``nodes`` as well. Usable
    as a context manager, which closes it.

    Args:
        nodes (iterable): Node daemons to use, as `Location` or ``"host:port"``; without a port it is 51350. None given:
            one on this machine.

        runtime_options: Parameters of `Runtime`, for the one that is started where the process has none.

    Raises:
        ConfigError: Options for a runtime, but there is one already.
    """

    def __new__(cls, nodes: Iterable[Location | str] = (), **runtime_options: Any) -> Scheduler:
        with _current_lock:
            return _current if _current is not None else super().__new__(cls)

    def __init__(self, nodes: Iterable[Location | str] = (), **runtime_options: Any) -> None:
        global _current
        nodes = list(nodes)
        if runtime_options and (self is _current or runtimes._default is not None):
            raise ConfigError(
                f"this process has a Runtime already ({runtimes._default}), so options for another cannot be used: "
                f"{', '.join(runtime_options)}"
            )
        if self is not _current:
            self._owns_runtime = runtimes._default is None
            self._begin(runtimes.Runtime(**runtime_options) if runtime_options else runtimes.runtime())
            with _current_lock:
                _current = self
            if not nodes:
                nodes = [Location("127.0.0.1", runtimes.DEFAULT_PORT)]
        for node in nodes:
            self.add_node(node)

    def _begin(self, runtime: runtimes.Runtime) -> None:
        self.runtime = runtime
        self._state = SchedulerState(runtime.location)
        # Held for a few lines and never by the reactor.
        self._lock = native.Lock()
        self._numbers = 0
        self._computations: dict[int, Computation] = {}
        self._tokens: dict[int, str] = {}
        #: Node daemons by id (incarnation as hex), and what to set when one is lost.
        self._nodes: dict[str, tuple[PeerInfo, Completion]] = {}
        self._servers: dict[str, PeerInfo] = {}
        #: Where nodes are looked for -> what came of it last.
        self._sought: dict[Location, str] = {}
        self._closed = Completion()
        runtime.handle("scheduler.server_started", self._on_server_started)
        runtime.handle("scheduler.server_died", self._on_server_died)
        runtime.watch_peers(self._on_peer)
        process_exit.at_exit(20, self.close)

    def __enter__(self) -> Scheduler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the computations and stop, with the runtime where this has started it; a second call does nothing."""
        global _current
        with _current_lock:
            if _current is not self:
                return
            _current = None
        process_exit.cancel_at_exit(self.close)
        for computation in list(self._computations.values()):
            computation.close()
        self._closed.set()
        for _, lost in list(self._nodes.values()):
            lost.set("it is not used any more")
        self.runtime.unwatch_peers(self._on_peer)
        if self._owns_runtime:
            self.runtime.finish()

    def add_node(self, node: Location | str) -> None:
        """Use the node daemon there too, as soon as one answers."""
        location = node if isinstance(node, Location) else Location.parse(node)
        if not location.port:
            location = Location(location.addr, runtimes.DEFAULT_PORT)
        if location in self._sought:
            return
        self._sought[location] = "not answered yet"
        self._spawn(self._keep, location)

    def remove_node(self, node: Location) -> None:
        """Look for a node daemon there no more; one that is in use stays so until it is lost."""
        self._sought.pop(node, None)

    # What a computation asks for; any thread.

    def submit(self, computation: Computation) -> tuple[int, str]:
        """Queue a computation for its turn; its number, and the token that servers want to see with every request."""
        token = secrets.token_hex(16)
        with self._lock:
            self._numbers += 1
            number = self._numbers
            self._computations[number] = computation
            self._tokens[number] = token
        self._feed(Submitted(number))
        return number, token

    def give_up(self, computation: int) -> None:
        """Have everything given back that a computation has."""
        self._feed(CloseRequested(computation))

    def assign(self, choose: Callable[[SchedulerState, Iterable[Candidate]], str | None]) -> str | None:
        """Count a job for the server that ``choose`` picks, and return its id."""
        with self._lock:
            server = choose(self._state, self._state.candidates())
            if server is not None:
                self._state.job_started(server)
            return server

    def job_over(self, server: str) -> None:
        """Count a job less."""
        with self._lock:
            self._state.job_over(server)

    def look(self, question: Callable[[SchedulerState], Any]) -> Any:
        """What the state answers."""
        with self._lock:
            return question(self._state)

    def peer_of(self, server: str) -> PeerInfo | None:
        """Who a server is; None where it is gone."""
        return self._servers.get(server)

    def why_no_server(self) -> str:
        """What was tried and came to nothing, for people."""
        with self._lock:
            problems = self._state.problems()
        tried = [f"{location} ({problem})" for location, problem in self._sought.items() if problem]
        if tried:
            problems.insert(0, f"tried {', '.join(tried)}; start one with `greencoro node`")
        return "; ".join(problems) or "every server is gone"

    # Events and instructions.

    def _feed(self, event: Event) -> None:
        with self._lock:
            # Within the lock, so that they are carried out in the order in which they were decided.
            userhub.post(self._carry_out, self._state.handle(event))

    def _carry_out(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            _CARRY_OUT[type(instruction)](self, instruction)

    def _spawn(self, function: Callable[..., None], *args: Any) -> None:
        self.runtime.spawn(function, *args).set_daemon()

    def _begin_computation(self, order: Begun) -> None:
        self._computations[order.computation]._has_begun()
        self._spawn(self._say_what_is_waited_for, order.computation)

    def _end_computation(self, order: Ended) -> None:
        with self._lock:
            self._servers = {server: peer for server, peer in self._servers.items() if self._state.node_of(server)}
        self._tokens.pop(order.computation)
        self._computations.pop(order.computation)._has_ended()

    def _tell(self, order: Tell) -> None:
        self._computations[order.computation]._tell(order.status)

    def _offer(self, order: ServerReady) -> None:
        self._computations[order.computation]._server_ready(order.server)

    def _server_gone(self, order: ServerGone) -> None:
        peer = self._servers.pop(order.server)
        self._computations[order.computation]._server_gone(order.server, peer.location, order.explanation)

    def _reserve(self, order: Reserve) -> None:
        self._spawn(self._ask_for_servers, order)

    def _ask_for_servers(self, order: Reserve) -> None:
        header = {
            "token": self._tokens[order.computation],
            "name": f"{self.runtime.name}, computation {order.computation}",
        }
        try:
            self.runtime.request(self._nodes[order.node][0], "node.reserve", header, timeout=_ANSWER_SECONDS)
        except (GreencoroError, KeyError) as error:
            if not isinstance(error, BusyResource | KeyError):
                _log.warning("a node could not be reserved: %s", error)
            self._feed(Refused(order.node))
        else:
            self._feed(Granted(order.node))

    def _retry_later(self, order: RetryLater) -> None:
        userhub.call_later(_RETRY_SECONDS, self._feed, Retry(order.node))

    def _release(self, order: Release) -> None:
        self._spawn(self._give_back, order)

    def _give_back(self, order: Release) -> None:
        header = {"token": self._tokens[order.computation]}
        try:
            self.runtime.request(self._nodes[order.node][0], "node.release", header, timeout=_ANSWER_SECONDS)
        except (GreencoroError, KeyError) as error:
            _log.warning("a node did not say that its servers have ended: %s", error)
        self._feed(Released(order.node))

    def _set_up(self, order: SetUp) -> None:
        self._spawn(self._send_components, order)

    def _send_components(self, order: SetUp) -> None:
        computation = self._computations.get(order.computation)
        peer = self._servers.get(order.server)
        if computation is None or peer is None:
            return  # closed, or lost, meanwhile
        try:
            found = self.runtime.connect(peer.location)
            if found.incarnation != peer.incarnation:
                raise BusyResource(f"another process answers at {peer.location}")
            computation._set_up(order.server, found)
        except Exception as error:
            # Whatever is wrong with this server or with a component: this server is not used, and the error is shown.
            _log.warning("server %s could not be set up: %s", peer.location, error)
            self._feed(SetUpFailed(order.server, str(error)))
        else:
            self._feed(SetUpDone(order.server))

    def _say_what_is_waited_for(self, computation: int) -> None:
        """Every few seconds, while the computation has its turn and no server."""
        while not self._closed.wait(_SAY_EVERY_SECONDS):
            if self.look(lambda state: state.current) != computation:
                return
            if self.look(lambda state: state.ready_locations()):
                continue
            why = self.why_no_server()
            if sys.stderr is not None and sys.stderr.isatty():
                print(f"greencoro: no servers yet: {why}", file=sys.stderr, flush=True)
            else:
                _log.warning("no servers yet: %s", why)

    # Nodes.

    def _keep(self, location: Location) -> None:
        """Connect to the node at ``location``, and again whenever it is lost."""
        pause = _FIRST_PAUSE_SECONDS
        while location in self._sought and not self._closed.done:
            try:
                peer = self.runtime.connect(location)
                answer = self.runtime.request(peer, "node.attach", {}, timeout=_ANSWER_SECONDS).header
            except GreencoroError as error:
                self._sought[location] = str(error)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            else:
                pause = _FIRST_PAUSE_SECONDS
                self._sought[location] = ""
                lost = Completion()
                node = peer.incarnation.hex()
                self._nodes[node] = peer, lost
                self._feed(NodeUp(node, answer["address"]))
                if peer.incarnation not in (known.incarnation for known in self.runtime.peer_infos()):
                    lost.set("it ended")  # before it was watched for
                lost.wait()
                self._sought[location] = "it was lost"
                self._feed(NodeLost(node, lost.value))
                del self._nodes[node]
            self._closed.wait(pause)

    def _on_peer(self, event: Any) -> None:
        if event.online:
            return
        identity = event.peer.incarnation.hex()
        if identity in self._nodes:
            self._nodes[identity][1].set(event.reason)
        elif identity in self._servers:
            self._feed(ServerSilent(identity))
            self._spawn(self._explain_loss, identity, event.reason)

    def _explain_loss(self, server: str, reason: str) -> None:
        sleep(_EXPLANATION_SECONDS)
        if server not in self._servers:
            return  # its node has explained
        with self._lock:
            node = self._state.node_of(server)
            current = self._state.current
        if node in self._nodes and current is not None:
            # It may hang, or hold the interpreter lock: nobody can use it any more.
            header = {"token": self._tokens[current], "incarnation": server}
            self.runtime.post(self._nodes[node][0], "node.replace", header)
        self._feed(ServerLost(server, f"cannot be reached any more: {reason}"))

    def _is_of_current(self, token: str) -> bool:
        current = self.look(lambda state: state.current)
        # Between the end of a computation and its being forgotten there is no token.
        return current is not None and secrets.compare_digest(self._tokens[current], token)

    def _on_server_started(self, request: Any) -> None:
        told = request.header
        if self._is_of_current(told["token"]):
            location = Location(told["host"], told["port"])
            server = told["incarnation"]
            self._servers[server] = PeerInfo(location, told["name"], bytes.fromhex(server))
            self._feed(ServerStarted(request.peer.incarnation.hex(), server, location))

    def _on_server_died(self, request: Any) -> None:
        told = request.header
        server = told["incarnation"]
        if self._is_of_current(told["token"]) and server in self._servers:
            self._feed(ServerSilent(server))
            # What the server sent before it died may still be under way on its own connection.
            self._wait_for_last_words(server)
            self._feed(ServerLost(server, told["explanation"]))

    def _wait_for_last_words(self, server: str) -> None:
        peer = self._servers[server]
        deadline = native.monotonic() + _EXPLANATION_SECONDS
        while native.monotonic() < deadline:
            if all(known.incarnation != peer.incarnation for known in self.runtime.peer_infos()):
                return
            sleep(0.005)


_CARRY_OUT: dict[type, Callable[[Scheduler, Any], None]] = {
    Begun: Scheduler._begin_computation,
    Ended: Scheduler._end_computation,
    Reserve: Scheduler._reserve,
    RetryLater: Scheduler._retry_later,
    Release: Scheduler._release,
    SetUp: Scheduler._set_up,
    ServerReady: Scheduler._offer,
    ServerGone: Scheduler._server_gone,
    Tell: Scheduler._tell,
}
