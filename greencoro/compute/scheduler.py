"""The private scheduler: the shell, in the client's process, that carries out what `scheduler_state` decides."""

from __future__ import annotations

import dataclasses
import hmac
import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from greencoro.compute import client_words, node_words, scheduler_report
from greencoro.compute import scheduler_vocabulary as vocabulary
from greencoro.compute.node_client import NodeClient
from greencoro.compute.node_finder import NodeFinder
from greencoro.compute.node_news import hear_nodes
from greencoro.compute.node_words import NodeFacts, lease_token
from greencoro.compute.scheduler_state import SchedulerState
from greencoro.compute.status import StatusCodes
from greencoro.compute.terms import checked_zombie_period
from greencoro.compute.turn import Turn
from greencoro.compute.unpickling import check_serializer
from greencoro.distributed import runtime as runtimes
from greencoro.distributed.addresses import listening_addresses
from greencoro.distributed.location import Location
from greencoro.distributed.peer_info import PeerInfo
from greencoro.errors import ConfigError
from greencoro.hub import exit as process_exit
from greencoro.hub import forks, native, userhub
from greencoro.hub.completion import Completion
from greencoro.hub.telling import tell

__all__ = ["Scheduler", "current_scheduler"]

_log = logging.getLogger(__name__)

#: How soon a node that is in use is asked again.
_RETRY_SECONDS = 0.5
#: How long a node may take to say how a server ended whose connection broke.
_EXPLANATION_SECONDS = 2.0
#: Beyond the nodes' own limit for ending their servers.
_CLOSE_SECONDS = 15.0

T = TypeVar("T")
Nodes = Iterable[Location | str] | Location | str

_current: Scheduler | None = None
#: Set when the scheduler that some thread is making is there, or could not be made.
_making: Completion | None = None
_current_lock = native.Lock()


def current_scheduler() -> Scheduler | None:
    """This process's scheduler, where there is one."""
    return _current


class _Client:
    """Whose computation it is, until that is over."""

    __slots__ = ("ended", "listener", "name", "request")

    def __init__(self, request: client_words.Ask, listener: Callable[[client_words.Notice], None], name: str) -> None:
        self.request = request
        self.listener = listener
        self.name = name
        self.ended = Completion()

    def lease(self, attempt: int) -> str:
        """The token of a lease."""
        return lease_token(bytes.fromhex(self.request.token), attempt)


class Scheduler(StatusCodes):
    """Finds nodes, reserves their servers for one computation after another, keeps track of them.

    One for a process: a second call returns the first one's object, which then uses the new ``nodes`` as well. Usable
    as a context manager, which closes it.

    Node daemons that are peers of the process's `Runtime` are used too. Without ``nodes`` the one that is started here
    finds those on its networks. One that the process has already finds all that discover peers themselves, and the
    others only where it was made with the role "scheduler".

    Args:
        nodes (iterable): Node daemons to use, as `Location` or ``"host:port"``; without a port it is 51350. One alone
            may be given as it is. None given, and none known before: one on this machine, at any of its addresses,
            beside those on the network.

        zombie_period (float | None): Of computations that ask for none: after so many seconds without a job a node may
            close them; 0: never. None: as before; at first never.

        runtime_options: Parameters of `Runtime`, for the one that is started where the process has none.

    Raises:
        ConfigError: Options for a runtime, but there is one already; or it has another serializer than pickle.

        TypeError, ValueError: ``zombie_period`` is no number of seconds from 0 on.
    """

    _finder: NodeFinder
    _zombie_period: float

    def __new__(cls, *, nodes: Nodes = (), zombie_period: float | None = None, **runtime_options: Any) -> Scheduler:
        global _current, _making
        if zombie_period is not None:
            checked_zombie_period(zombie_period)
        if not isinstance(nodes, Iterable | Location):
            raise TypeError(f"Scheduler takes nodes as Locations or texts, one or several, not {nodes!r}")
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
            looks_around = isinstance(nodes, list | tuple) and not nodes
            scheduler._begin({"discover_peers": looks_around, "role": "scheduler"}, runtime_options)
            with _current_lock:
                _current = scheduler
        finally:
            with _current_lock:
                _making = None
            mine.set()
        return scheduler

    def __init__(self, *, nodes: Nodes = (), zombie_period: float | None = None, **runtime_options: Any) -> None:
        if zombie_period is not None:
            self._zombie_period = checked_zombie_period(zombie_period)
        wanted = [nodes] if isinstance(nodes, str | Location) else list(nodes)
        if not wanted and not self._finder.places:
            # A node that knows another secret answers no question on the network: only its port says that it is there.
            for address in listening_addresses():
                self._finder.add(Location(address, runtimes.DEFAULT_PORT), is_guess=True)
        for node in wanted:
            self.add_node(node)

    def _begin(self, defaults: dict[str, Any], runtime_options: dict[str, Any]) -> None:
        self._owns_runtime = runtimes.current_runtime() is None
        _refuse(runtime_options)
        runtime = runtimes.current_runtime() or runtimes.Runtime(**{**defaults, **runtime_options})
        self.runtime = runtime
        self._zombie_period = 0.0
        self._state = SchedulerState(runtime.location)
        # Held for a few lines and never by the reactor.
        self._lock = native.Lock()
        self._numbers = 0
        self._clients: dict[int, _Client] = {}
        #: Of the current computation; the user hub's.
        self._turn: Turn | None = None
        self._nodes = NodeClient(runtime, self._feed)
        self._finder = NodeFinder(runtime, self._node_up, self._node_lost)
        hear_nodes(runtime, self._has_lease, self._feed)
        process_exit.at_exit(20, self.close)

    def __enter__(self) -> Scheduler:
        return self

    def __exit__(self, *of_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the computations and stop, with the runtime where this has started it; a second call does nothing."""
        global _current
        if forks.is_child():
            return
        with _current_lock:
            if _current is not self:
                return
            _current = None
        process_exit.cancel_at_exit(self.close)
        deadline = native.monotonic() + _CLOSE_SECONDS
        clients = dict(self._clients)
        for number in clients:
            self.tell(client_words.Close(number))
        if not all(client.ended.wait(deadline - native.monotonic()) for client in clients.values()):
            late = f"not every node has said within {_CLOSE_SECONDS:g} s that its servers have ended"
            tell(_log, logging.WARNING, late)
        self._finder.close()
        if self._owns_runtime:
            self.runtime.finish()

    def add_node(self, node: Location | str) -> None:
        """Use the node daemon there too, as soon as one answers."""
        location = Location.of(node, "add_node()")
        if not location.port:
            location = Location(location.addr, runtimes.DEFAULT_PORT)
        self._finder.add(location)

    def remove_node(self, node: Location) -> None:
        """Look for a node daemon there no more; one that is in use stays so until it is lost."""
        self._finder.remove(node)

    # What clients ask for; any thread.

    def submit(self, ask: client_words.Ask, listener: Callable[[client_words.Notice], None]) -> int:
        """Queue a computation for its turn; its number. ``listener`` gets its notices, in order, on the user hub."""
        if not ask.zombie_period:
            ask = dataclasses.replace(ask, zombie_period=self._zombie_period)
        with self._lock:
            self._numbers += 1
            number = self._numbers
            self._clients[number] = _Client(ask, listener, f"{ask.name}, computation {number}")
        self._feed(vocabulary.Submitted(number, pulses=bool(ask.pulse_interval)))
        return number

    def tell(self, request: client_words.Request) -> None:
        """Take in what a client asks for one of its computations."""
        self._feed(request)

    def look(self, question: Callable[[SchedulerState], T]) -> T:
        """What the state answers."""
        forks.refuse()
        with self._lock:
            return question(self._state)

    def status(self) -> dict[str, Any]:
        """What it is at, as JSON: computations in the order of their turns, and nodes with their servers."""
        told = self.look(scheduler_report.report)
        running = [] if told["current"] is None else [told["current"]]
        names = {number: client.name for number, client in list(self._clients.items())}
        computations = [
            {"computation": number, "name": names.get(number, ""), "has_turn": number in running}
            for number in [*running, *told["waiting"]]
        ]
        return {"location": told["location"], "computations": computations, "nodes": told["nodes"]}

    def print_status(self) -> None:
        """Print what `status` returns, for people."""
        for line in scheduler_report.lines(self.status()):
            print(line)

    def __repr__(self) -> str:
        if _current is not self:
            return "<Scheduler: closed>"
        return f"<Scheduler at {self.runtime.location}: {self.look(scheduler_report.summary)}>"

    def why_no_server(self) -> str:
        """What was tried and came to nothing, for people."""
        problems = [*self._finder.problems(), *self.look(scheduler_report.problems)]
        return "; ".join(problems) or "no node has another one to give"

    # Events and instructions.

    def _feed(self, event: vocabulary.Event) -> None:
        with self._lock:
            # Within the lock, so that they are carried out in the order in which they were decided.
            userhub.post(self._carry_out, self._state.handle(event))

    def _carry_out(self, instructions: list[vocabulary.Instruction]) -> None:
        for instruction in instructions:
            _CARRY_OUT[type(instruction)](self, instruction)

    def _tell(self, order: vocabulary.Tell) -> None:
        notice = order.notice
        client = self._clients[notice.computation]
        if isinstance(notice, client_words.Begun):
            self._turn = Turn(self.runtime, notice.computation, client.request, self._feed, self._node_silent)
        elif isinstance(notice, client_words.NodeChanged):
            self._stop_pulses(notice.node)
        elif isinstance(notice, client_words.Ended):
            del self._clients[notice.computation]
            self._end_turn(notice.computation)
            client.ended.set()
        client.listener(notice)

    def _stop_pulses(self, node: str) -> None:
        if self._turn is not None:
            self._turn.forget(node)

    def _end_turn(self, computation: int) -> None:
        if self._turn is not None and self._turn.computation == computation:
            self._turn.end()
            self._turn = None

    def _watch(self, order: vocabulary.Watch) -> None:
        peer = self._nodes.peers.get(order.node)
        if self._turn is not None and peer is not None:
            token = self._clients[order.computation].lease(order.attempt)
            self._turn.watch(order.node, order.attempt, peer, token)

    # What nodes are asked. The client is looked up here, and not by the coroutine that may come after its end.

    def _look(self, order: vocabulary.Look) -> None:
        self._nodes.look(order.node, order.facts)

    def _look_later(self, order: vocabulary.LookLater) -> None:
        client = self._clients[order.computation]
        seconds_between = max(client.request.pulse_interval, _RETRY_SECONDS)
        userhub.call_later(seconds_between, self._look_again, order)

    def _look_again(self, order: vocabulary.LookLater) -> None:
        if self._turn is not None and self._turn.computation == order.computation:
            self._look(order)

    def _reserve(self, order: vocabulary.Reserve) -> None:
        client = self._clients[order.computation]
        word = node_words.Reserve(
            client.lease(order.attempt),
            order.attempt,
            client.name,
            client.request.pulse_interval,
            client.request.zombie_period,
        )
        self._nodes.reserve(order.node, order.attempt, word)

    def _retry_later(self, order: vocabulary.RetryLater) -> None:
        userhub.call_later(_RETRY_SECONDS, self._feed, vocabulary.Retry(order.node, order.attempt))

    def _release(self, order: vocabulary.Release) -> None:
        self._stop_pulses(order.node)
        word = node_words.Release(self._clients[order.computation].lease(order.attempt))
        self._nodes.release(order.node, order.attempt, word)

    def _replace(self, order: vocabulary.Replace) -> None:
        word = node_words.Replace(self._clients[order.computation].lease(order.attempt), order.server)
        self._nodes.replace(order.node, word)

    def _await_explanation(self, order: vocabulary.AwaitExplanation) -> None:
        event = vocabulary.Unexplained(order.server, order.reason)
        userhub.call_later(_EXPLANATION_SECONDS, self._feed, event)

    # What becomes of nodes.

    def _node_up(self, peer: PeerInfo, facts: NodeFacts) -> None:
        node = peer.incarnation.hex()
        self._nodes.peers[node] = peer
        self._feed(vocabulary.NodeUp(node, facts))

    def _node_lost(self, peer: PeerInfo, reason: str) -> None:
        node = peer.incarnation.hex()
        del self._nodes.peers[node]
        self._feed(vocabulary.NodeLost(node, reason))

    def _node_silent(self, node: str, reason: str) -> None:
        self._feed(vocabulary.NodeLost(node, reason, for_good=True))
        self._finder.give_up(bytes.fromhex(node), reason)

    def _has_lease(self, node: str, attempt: int, token: str) -> bool:
        """Does the token belong to what the node is reserved for?"""
        lease = self.look(lambda state: state.lease_of(node))
        client = None if lease is None or lease[1] != attempt else self._clients.get(lease[0])
        return client is not None and hmac.compare_digest(client.lease(attempt), token)


def _refuse(runtime_options: dict[str, Any]) -> None:
    """Refuse options for a runtime where there is one already, and any runtime that cannot be a scheduler's."""
    runtime = runtimes.current_runtime()
    if runtime_options and runtime is not None:
        raise ConfigError(
            f"this process has a Runtime already ({runtime}), so options for another cannot be used: "
            f"{', '.join(runtime_options)}"
        )
    check_serializer(runtime_options.get("serializer", "pickle") if runtime is None else runtime.serializer)


_CARRY_OUT: dict[type, Callable[[Scheduler, Any], None]] = {
    vocabulary.Look: Scheduler._look,
    vocabulary.LookLater: Scheduler._look_later,
    vocabulary.Reserve: Scheduler._reserve,
    vocabulary.Watch: Scheduler._watch,
    vocabulary.RetryLater: Scheduler._retry_later,
    vocabulary.Release: Scheduler._release,
    vocabulary.Replace: Scheduler._replace,
    vocabulary.AwaitExplanation: Scheduler._await_explanation,
    vocabulary.Tell: Scheduler._tell,
}
