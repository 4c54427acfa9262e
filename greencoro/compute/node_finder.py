"""What looks for node daemons and keeps an eye on those that are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greencoro.compute.node_words import Attach, NodeFacts
from greencoro.distributed.location import Location
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.runtime import Runtime
from greencoro.errors import AuthenticationError, GreencoroError, IncompatibleVersion, NetworkError
from greencoro.hub import forks, userhub
from greencoro.hub.completion import Completion

__all__ = ["NodeFinder"]

#: Longest wait for a node's answer to what it can do at once, in seconds.
_ANSWER_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0
#: Before a node is asked again that answers but does not know our secret or our protocol: somebody has to see to that.
_REFUSED_PAUSE_SECONDS = 30.0


class _Sought:
    """A place where a node is looked for.

    Attributes:
        name (str): Of the node, where that is known before the place.

        is_guess (bool): Nobody has said that there is one.

        problem (str): Why there is none to be used; empty where there is one.

        hint (str): What a person can do about it.

        dropped (Completion): Set when it is not looked for any more.
    """

    __slots__ = ("dropped", "hint", "is_guess", "name", "problem")

    def __init__(self, name: str = "", is_guess: bool = False) -> None:
        self.name = name
        self.is_guess = is_guess
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


class NodeFinder:
    """Node daemons at given places, and those that become peers in other ways.

    Each is told of once, under however many names it was given.

    Args:
        on_up: Called, in a coroutine, with a daemon that answers.

        on_lost: Called, in a coroutine, with one that cannot be reached any more, and why.
    """

    def __init__(
        self,
        runtime: Runtime,
        on_up: Callable[[PeerInfo, NodeFacts], None],
        on_lost: Callable[[PeerInfo, str], None],
    ) -> None:
        self._runtime = runtime
        self._on_up = on_up
        self._on_lost = on_lost
        self._sought: dict[Location, _Sought] = {}
        #: By incarnation: those that are peers, and what is the matter with them.
        self._found: dict[bytes, _Sought] = {}
        #: By incarnation: set, to why, when the daemon is lost.
        self._losses: dict[bytes, Completion] = {}
        runtime.watch_peers(self._on_peer)
        for peer in runtime.peer_infos():
            userhub.post(self._find, peer)

    @property
    def places(self) -> list[Location]:
        """Where nodes are looked for."""
        return list(self._sought)

    def add(self, location: Location, is_guess: bool = False) -> None:
        """Look for a node daemon there; where that is but a guess, it is no problem while there are others."""
        forks.refuse()
        sought = _Sought(is_guess=is_guess)
        if self._sought.setdefault(location, sought) is sought:
            self._runtime.spawn(self._keep, location, sought).set_daemon()

    def remove(self, location: Location) -> None:
        """Look for a node daemon there no more; one that is in use stays so until it is lost."""
        forks.refuse()
        sought = self._sought.pop(location, None)
        if sought is not None:
            sought.dropped.set()

    def give_up(self, incarnation: bytes, reason: str) -> None:
        """A daemon does not answer, whatever its connection is at: it is lost until it answers again."""
        lost = self._losses.get(incarnation)
        if lost is not None:
            lost.set(reason)

    def close(self) -> None:
        """Look for none any more, and give up those there are."""
        for location in self.places:
            self.remove(location)
        for found in list(self._found.values()):
            found.dropped.set()
        for lost in list(self._losses.values()):
            lost.set("it is not used any more")
        self._runtime.unwatch_peers(self._on_peer)

    def problems(self) -> list[str]:
        """Why there are no nodes at places where they are looked for, for people."""
        tried = [
            (str(location), sought)
            for location, sought in list(self._sought.items())
            if sought.problem and not (sought.is_guess and self._losses)
        ]
        tried += [(found.name, found) for found in list(self._found.values()) if found.problem]
        if not tried:
            return []
        each = ", ".join(f"{name} ({sought.problem})" for name, sought in tried)
        hints = dict.fromkeys(sought.hint for _, sought in tried if sought.hint)
        return [f"tried {each}", *hints, "`greencoro doctor` finds out more"]

    def _keep(self, location: Location, sought: _Sought) -> None:
        """Connect to the node at ``location``, and again whenever it is lost."""
        pause = _FIRST_PAUSE_SECONDS
        while not sought.dropped.done:
            try:
                peer = self._runtime.connect(location)
                facts = self._attach(peer)
            except GreencoroError as error:
                sought.failed(error)
                if isinstance(error, AuthenticationError | IncompatibleVersion):
                    pause = _REFUSED_PAUSE_SECONDS
                else:
                    pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            else:
                pause = _FIRST_PAUSE_SECONDS
                sought.problem = ""
                self._use(peer, facts)
                sought.problem, sought.hint = "it was lost", ""
            sought.dropped.wait(pause)

    def _attach(self, peer: PeerInfo) -> NodeFacts:
        answer = self._runtime.request(peer, Attach.operation, Attach().to_header(), timeout=_ANSWER_SECONDS)
        return NodeFacts.from_header(answer.header)

    def _find(self, peer: PeerInfo) -> None:
        """A peer is online."""
        if peer.role == "node" and peer.incarnation not in self._found:
            found = self._found[peer.incarnation] = _Sought(str(peer))
            self._runtime.spawn(self._keep_found, peer, found).set_daemon()

    def _keep_found(self, peer: PeerInfo, found: _Sought) -> None:
        """Use a daemon as long as it is a peer; whoever brought it here sees to that it comes again."""
        pause = _FIRST_PAUSE_SECONDS
        while not found.dropped.done and self._is_online(peer):
            try:
                facts = self._attach(peer)
            except GreencoroError as error:
                found.failed(error)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            else:
                pause = _FIRST_PAUSE_SECONDS
                found.problem = ""
                self._use(peer, facts)
            found.dropped.wait(pause)
        del self._found[peer.incarnation]
        if self._is_online(peer) and not found.dropped.done:
            self._find(peer)  # it came again meanwhile

    def _is_online(self, peer: PeerInfo) -> bool:
        return any(online.incarnation == peer.incarnation for online in self._runtime.peer_infos())

    def _use(self, peer: PeerInfo, facts: NodeFacts) -> None:
        """Until a daemon is lost; whoever finds it first tells of it."""
        known = self._losses.get(peer.incarnation)
        if known is not None:
            known.wait()  # another place is another name of it
            return
        lost = self._losses[peer.incarnation] = Completion()
        self._on_up(peer, facts)
        if not self._is_online(peer):
            lost.set("it ended")  # before it was watched for
        lost.wait()
        del self._losses[peer.incarnation]
        self._on_lost(peer, lost.value)

    def _on_peer(self, event: Any) -> None:
        if event.online:
            self._find(event.peer)
        else:
            self.give_up(event.peer.incarnation, event.reason)
