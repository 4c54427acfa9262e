"""The private scheduler: the shell, in the client's process, that carries out what `scheduler_state` decides."""

from __future__ import annotations

import logging
import secrets
import sys
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from greencoro.compute import scheduler_vocabulary as vocabulary
from greencoro.compute.placement import Candidate
from greencoro.compute.scheduler_state import SchedulerState
from greencoro.compute.status import StatusCodes
from greencoro.distributed import runtime as runtimes
from greencoro.distributed.link import PeerInfo
from greencoro.distributed.location import Location
from greencoro.errors import (
    AuthenticationError,
    BusyResource,
    ConfigError,
    GreencoroError,
    IncompatibleVersion,
    NetworkError,
)
from greencoro.hub import exit as process_exit
from greencoro.hub import native, userhub
from greencoro.hub.completion import Completion
from greencoro.hub.execution import sleep

if TYPE_CHECKING:
    from greencoro.compute.computation import Computation

__all__ = ["Scheduler", "current_scheduler"]

_log = logging.getLogger(__name__)

#: Longest wait for a node's or server's answer to what it can do at once, in seconds.
_ANSWER_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0
#: Before a node is asked again that answers but does not know our secret or our protocol: somebody has to see to that.
_REFUSED_PAUSE_SECONDS = 30.0
#: How soon a node that is in use is asked again.
_RETRY_SECONDS = 0.5
#: How long a node may take to say how a server ended whose connection broke.
_EXPLANATION_SECONDS = 2.0
_SAY_EVERY_SECONDS = 5.0

Nodes = Iterable[Location | str] | Location | str

_current: Scheduler | None = None
#: Set when the scheduler that some thread is making is there, or could not be made.
_making: Completion | None = None
_current_lock = native.Lock()


def current_scheduler() -> Scheduler | None:
    """This process's scheduler, where there is one."""
    return _current


class _Sought:
    """A place where a node is looked for.

    Attributes:
        problem (str): Why there is none to be used; empty where there is one.

        hint (str): What a person can do about it.

        dropped (Completion): Set when it is not looked for any more.
    """

    __slots__ = ("dropped", "hint", "problem")

    def __init__(self) -> None:
        self.problem = "not answered yet"
        self.hint = ""
        self.dropped = Completion()

    def failed(self, error: GreencoroError) -> None:
        """It could not be reached, or not be used."""
        self.problem = str(error)
        if isinstance(error, AuthenticationError):
            self.hint = "both sides need the same secret: copy the secret file of one machine to the other"
        elif isinstance(error, NetworkError) and not isinstance(error, IncompatibleVersion):
            self.hint = "start one with `greencoro node`"
        else:
            self.hint = ""  # the error says all


class Scheduler(StatusCodes):
    """Finds nodes, reserves their servers for one computation after another, keeps track of them.

    One for a process: a second call returns the first one's object, which then uses the new ``nodes`` as well. Usable
    as a context manager, which closes it.

    Args:
        nodes (iterable): Node daemons to use, as `Location` or ``"host:port"``; without a port it is 51350. One alone
            may be given as it is. None given, and none known before: one on this machine.

        runtime_options: Parameters of `Runtime`, for the one that is started where the process has none.

    Raises:
        ConfigError: Options for a runtime, but there is one already.
    """

    def __new__(cls, *, nodes: Nodes = (), **runtime_options: Any) -> Scheduler:
        global _current, _making
        while True:
            with _current_lock:
                current, others = _current, _making
                if current is None and others is None:
                    mine = _making = Completion()
                    break
            if others is not None:
                others.wait()
            elif current is not None:
                _refuse(runtime_options)
                return current
        try:
            scheduler = super().__new__(cls)
            scheduler._begin(runtime_options)
            with _current_lock:
                _current = scheduler
        finally:
            with _current_lock:
                _making = None
            mine.set()
        return scheduler

    def __init__(self, *, nodes: Nodes = (), **runtime_options: Any) -> None:
        wanted = [nodes] if isinstance(nodes, str | Location) else list(nodes)
        if not wanted and not self._sought:
            wanted = [Location("127.0.0.1", runtimes.DEFAULT_PORT)]
        for node in wanted:
            self.add_node(node)

    def _begin(self, runtime_options: dict[str, Any]) -> None:
        self._owns_runtime = runtimes.current_runtime() is None
        _refuse(runtime_options)
        # Its nodes are those it is told of.
        runtime = runtimes.current_runtime() or runtimes.Runtime(**{"discover_peers": False, **runtime_options})
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
        self._sought: dict[Location, _Sought] = {}
        self._closed = Completion()
        runtime.handle("scheduler.server_started", self._on_server_started)
        runtime.handle("scheduler.server_draining", self._on_server_draining)
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
        for sought in list(self._sought.values()):
            sought.dropped.set()
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
        sought = _Sought()
        if self._sought.setdefault(location, sought) is sought:
            self._spawn(self._keep, location, sought)

    def remove_node(self, node: Location) -> None:
        """Look for a node daemon there no more; one that is in use stays so until it is lost."""
        sought = self._sought.pop(node, None)
        if sought is not None:
            sought.dropped.set()

    # What a computation asks for; any thread.

    def submit(self, computation: Computation) -> tuple[int, str]:
        """Queue a computation for its turn; its number, and the token that servers want to see with every request."""
        token = secrets.token_hex(16)
        with self._lock:
            self._numbers += 1
            number = self._numbers
            self._computations[number] = computation
            self._tokens[number] = token
        self._feed(vocabulary.Submitted(number))
        return number, token

    def give_up(self, computation: int) -> None:
        """Have everything given back that a computation has."""
        self._feed(vocabulary.CloseRequested(computation))

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
        tried = [(location, sought) for location, sought in list(self._sought.items()) if sought.problem]
        if tried:
            each = ", ".join(f"{location} ({sought.problem})" for location, sought in tried)
            hints = dict.fromkeys(sought.hint for _, sought in tried if sought.hint)
            problems.insert(0, "; ".join([f"tried {each}", *hints]))
        return "; ".join(problems) or "every server is gone"

    # Events and instructions.

    def _feed(self, event: vocabulary.Event) -> None:
        with self._lock:
            # Within the lock, so that they are carried out in the order in which they were decided.
            userhub.post(self._carry_out, self._state.handle(event))

    def _carry_out(self, instructions: list[vocabulary.Instruction]) -> None:
        for instruction in instructions:
            _CARRY_OUT[type(instruction)](self, instruction)

    def _spawn(self, function: Callable[..., None], *args: Any) -> None:
        self.runtime.spawn(function, *args).set_daemon()

    def _begin_computation(self, order: vocabulary.Begun) -> None:
        self._computations[order.computation]._has_begun()
        self._spawn(self._say_what_is_waited_for, order.computation)

    def _end_computation(self, order: vocabulary.Ended) -> None:
        with self._lock:
            self._servers = {server: peer for server, peer in self._servers.items() if self._state.node_of(server)}
        self._tokens.pop(order.computation)
        self._computations.pop(order.computation)._has_ended()

    def _tell(self, order: vocabulary.Tell) -> None:
        self._computations[order.computation]._tell(order.status)

    def _offer(self, order: vocabulary.ServerReady) -> None:
        self._computations[order.computation]._server_ready(order.server)

    def _server_gone(self, order: vocabulary.ServerGone) -> None:
        peer = self._servers.pop(order.server)
        self._computations[order.computation]._server_gone(order.server, peer.location, order.explanation)

    def _reserve(self, order: vocabulary.Reserve) -> None:
        self._spawn(self._ask_for_servers, order)

    def _ask_for_servers(self, order: vocabulary.Reserve) -> None:
        header = {
            "token": self._tokens[order.computation],
            "name": f"{self.runtime.name}, computation {order.computation}",
        }
        try:
            self.runtime.request(self._nodes[order.node][0], "node.reserve", header, timeout=_ANSWER_SECONDS)
        except (GreencoroError, KeyError) as error:
            if not isinstance(error, BusyResource | KeyError):
                _log.warning("a node could not be reserved: %s", error)
            self._feed(vocabulary.Refused(order.node))
        else:
            self._feed(vocabulary.Granted(order.node))

    def _retry_later(self, order: vocabulary.RetryLater) -> None:
        userhub.call_later(_RETRY_SECONDS, self._feed, vocabulary.Retry(order.node))

    def _release(self, order: vocabulary.Release) -> None:
        self._spawn(self._give_back, order)

    def _give_back(self, order: vocabulary.Release) -> None:
        header = {"token": self._tokens[order.computation]}
        try:
            self.runtime.request(self._nodes[order.node][0], "node.release", header, timeout=_ANSWER_SECONDS)
        except (GreencoroError, KeyError) as error:
            _log.warning("a node did not say that its servers have ended: %s", error)
        self._feed(vocabulary.Released(order.node))

    def _set_up(self, order: vocabulary.SetUp) -> None:
        self._spawn(self._send_components, order)

    def _send_components(self, order: vocabulary.SetUp) -> None:
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
            self._feed(vocabulary.SetUpFailed(order.server, str(error)))
        else:
            self._feed(vocabulary.SetUpDone(order.server))

    def _say_what_is_waited_for(self, computation: int) -> None:
        """While the computation has its turn and no server: after a few seconds, then whenever it is something else."""
        said = ""
        while not self._closed.wait(_SAY_EVERY_SECONDS):
            if self.look(lambda state: state.current) != computation:
                return
            if self.look(lambda state: state.ready_locations()):
                continue
            why = self.why_no_server()
            if why == said:
                continue
            said = why
            if sys.stderr is not None and sys.stderr.isatty():
                print(f"greencoro: no servers yet: {why}", file=sys.stderr, flush=True)
            else:
                _log.warning("no servers yet: %s", why)

    # Nodes.

    def _keep(self, location: Location, sought: _Sought) -> None:
        """Connect to the node at ``location``, and again whenever it is lost."""
        pause = _FIRST_PAUSE_SECONDS
        while not sought.dropped.done:
            try:
                peer = self.runtime.connect(location)
                answer = self.runtime.request(peer, "node.attach", {}, timeout=_ANSWER_SECONDS).header
            except GreencoroError as error:
                sought.failed(error)
                if isinstance(error, AuthenticationError | IncompatibleVersion):
                    pause = _REFUSED_PAUSE_SECONDS
                else:
                    pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            else:
                pause = _FIRST_PAUSE_SECONDS
                sought.problem = ""
                lost = Completion()
                node = peer.incarnation.hex()
                self._nodes[node] = peer, lost
                self._feed(vocabulary.NodeUp(node, answer["address"]))
                if peer.incarnation not in (known.incarnation for known in self.runtime.peer_infos()):
                    lost.set("it ended")  # before it was watched for
                lost.wait()
                sought.problem, sought.hint = "it was lost", ""
                self._feed(vocabulary.NodeLost(node, lost.value))
                del self._nodes[node]
            sought.dropped.wait(pause)

    def _on_peer(self, event: Any) -> None:
        if event.online:
            return
        identity = event.peer.incarnation.hex()
        if identity in self._nodes:
            self._nodes[identity][1].set(event.reason)
        elif identity in self._servers:
            self._feed(vocabulary.ServerSilent(identity))
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
            try:
                self.runtime.post(self._nodes[node][0], "node.replace", header)
            except BusyResource as error:
                _log.warning("a server that cannot be reached is not replaced: %s", error)
        self._feed(vocabulary.ServerLost(server, f"cannot be reached any more: {reason}"))

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
            self._feed(vocabulary.ServerStarted(request.peer.incarnation.hex(), server, location))

    def _on_server_draining(self, request: Any) -> None:
        told = request.header
        if self._is_of_current(told["token"]) and told["incarnation"] in self._servers:
            self._feed(vocabulary.ServerSilent(told["incarnation"]))

    def _on_server_died(self, request: Any) -> None:
        told = request.header
        server = told["incarnation"]
        if self._is_of_current(told["token"]) and server in self._servers:
            self._feed(vocabulary.ServerSilent(server))
            # What the server sent before it died may still be under way on its own connection.
            self._wait_for_last_words(server)
            self._feed(vocabulary.ServerLost(server, told["explanation"]))

    def _wait_for_last_words(self, server: str) -> None:
        peer = self._servers[server]
        deadline = native.monotonic() + _EXPLANATION_SECONDS
        while native.monotonic() < deadline:
            if all(known.incarnation != peer.incarnation for known in self.runtime.peer_infos()):
                return
            sleep(0.005)


def _refuse(runtime_options: dict[str, Any]) -> None:
    """Refuse options for a runtime where there is one already."""
    runtime = runtimes.current_runtime()
    if runtime_options and runtime is not None:
        raise ConfigError(
            f"this process has a Runtime already ({runtime}), so options for another cannot be used: "
            f"{', '.join(runtime_options)}"
        )


_CARRY_OUT: dict[type, Callable[[Scheduler, Any], None]] = {
    vocabulary.Begun: Scheduler._begin_computation,
    vocabulary.Ended: Scheduler._end_computation,
    vocabulary.Reserve: Scheduler._reserve,
    vocabulary.RetryLater: Scheduler._retry_later,
    vocabulary.Release: Scheduler._release,
    vocabulary.SetUp: Scheduler._set_up,
    vocabulary.ServerReady: Scheduler._offer,
    vocabulary.ServerGone: Scheduler._server_gone,
    vocabulary.Tell: Scheduler._tell,
}
