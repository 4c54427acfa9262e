"""Reaching the peers that were named, by location or by name, and saying aloud what is waited for."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any, cast

from greencoro.distributed.discovery import Discovery
from greencoro.distributed.link import Link
from greencoro.distributed.location import Location
from greencoro.distributed.neighbours import Neighbours
from greencoro.distributed.peer_events import PeerEvent, PeerObservers
from greencoro.distributed.search import DEFAULT_PORT, Kept, Named, Search
from greencoro.errors import (
    AuthenticationError,
    DeadlineExceeded,
    GreencoroError,
    IncompatibleVersion,
    NetworkError,
    PeerUnreachable,
    RemoteProtocolError,
)
from greencoro.hub.completion import Completion
from greencoro.hub.telling import tell, tell_unheard
from greencoro.hub.waiting import seconds
from greencoro.hub.waiting_aloud import wait_aloud

__all__ = ["Contacts"]

_log = logging.getLogger(__name__)

#: Of those that were named so many are shown to whoever waits.
_MAX_SHOWN = 5
#: For one `peer`; twice a second.
_MAX_PINGS = 120


class Contacts:
    """Those whom one runtime was told to reach.

    Args:
        runtime: Gives the table of peers, the settings, the reactor and its own location.
    """

    def __init__(self, runtime: Any, neighbours: Neighbours, discovery: Discovery, observers: PeerObservers) -> None:
        self.runtime = runtime
        self.neighbours = neighbours
        self.discovery = discovery
        self._observers = observers
        self._searches: list[Search] = []
        self._kept: list[Kept] = []
        #: What is waited for and ends with this runtime.
        self._awaited: set[Completion] = set()
        self._closed = False

    # Any thread.

    def connect(
        self,
        location: Location,
        timeout: float | None,
        incarnation: bytes | None = None,
        what: str = "a connection to",
    ) -> Link:
        """The link to the runtime at ``location``; `Runtime.connect` says what is raised."""
        timeout = seconds(timeout, "connect")
        table = self.runtime.peer_table
        for link in table.online():
            if link.info.location == location and incarnation in (None, link.info.incarnation):
                return cast(Link, link)
        if self.runtime.is_own(location):
            raise PeerUnreachable(f"{location} is this runtime itself")
        reached = Completion()

        def on_done(link: Link | None, error: NetworkError | None) -> None:
            if error is not None:
                reached.fail(error)
            else:
                reached.set(link)

        limit = self._limit if timeout is None else timeout
        with self._ends_with_us(reached, f"cannot reach {location}"):
            self.runtime.reactor.post(table.dial, location, on_done, incarnation, incarnation is not None)
            if not self.wait(reached, limit, f"{what} {location}", Named(location)):
                raise DeadlineExceeded(f"cannot reach {location}: no answer within {limit:g} s")
            return cast(Link, reached.result())

    @contextlib.contextmanager
    def _ends_with_us(self, awaited: Completion, what: str) -> Iterator[None]:
        """Let ``awaited`` fail where this runtime finishes, or has finished."""
        self._awaited.add(awaited)
        try:
            # In this order: whoever closes looks for what is awaited after it has said so.
            if self._closed:
                awaited.fail(PeerUnreachable(f"{what}: this runtime is finished"))
            yield
        finally:
            self._awaited.discard(awaited)

    @property
    def _limit(self) -> float:
        settings = self.runtime.settings
        limit: float = settings.connect_timeout_seconds + settings.handshake_seconds + 1.0
        return limit

    def peer(self, location: Location, udp_port: int, broadcast: bool, timeout: float | None) -> int:
        """See `Runtime.peer`; ``location`` may have port 0."""
        timeout = seconds(timeout, "peer")
        try:
            link = self._reach(location, udp_port, timeout)
        except (AuthenticationError, IncompatibleVersion, RemoteProtocolError) as error:
            # The reactor logs it; those who set up no logging hear of it too, for only a person can mend it.
            tell_unheard(_log, f"peer({location if location.port else location.addr}) failed: {error}")
            return -1
        except (NetworkError, DeadlineExceeded) as error:
            shown = location if location.port else location.addr
            tell(_log, logging.WARNING, f"peer({shown}) failed: {error}")
            return -1
        if not broadcast:
            return 0
        try:
            self.runtime.request(link.info, "greencoro.relay", {}, timeout=self._limit if timeout is None else timeout)
        except GreencoroError as error:
            line = f"{link.info} is a peer, but did not tell its network of this runtime: {error}"
            tell(_log, logging.WARNING, line)
            return -1
        return 0

    def _reach(self, location: Location, udp_port: int, timeout: float | None) -> Link:
        reached = Completion()
        named = Named(location)
        met: set[bytes] = set()

        def on_link(link: Link) -> None:
            if link.info.incarnation not in met:
                met.add(link.info.incarnation)
                self._introduce(link, location)
            reached.set(link)

        def on_failed(error: NetworkError) -> None:
            named.error = error
            if location.port or not search.addresses:
                reached.fail(error)

        search = Search(self, location, udp_port, on_link, on_failed, _MAX_PINGS)
        if timeout is None:
            timeout = self._limit if location.port else self.runtime.settings.connect_timeout_seconds
        with self._ends_with_us(reached, f"cannot reach {named}"):
            self.runtime.reactor.post(search.start)
            try:
                if not self.wait(reached, timeout, f"a runtime at {named}", named):
                    if location.port:
                        raise DeadlineExceeded(f"cannot reach {location}: no answer within {timeout:g} s")
                    tcp = named.error or f"no answer on TCP port {DEFAULT_PORT}"
                    raise PeerUnreachable(
                        f"{tcp}; nor did a runtime there answer a ping to its UDP port {udp_port}. Where several "
                        f"programs there share that port, one alone hears it: name the TCP port, {named}:PORT"
                    )
                return cast(Link, reached.result())
            finally:
                self.runtime.reactor.post(search.close)

    def _introduce(self, link: Link, location: Location) -> None:
        """Meet those beside a peer, where a whole machine was named, or everybody is welcome."""
        if not location.port or self.neighbours.is_open:
            self.neighbours.introduce(link)

    def locate(self, name: str, timeout: float | None) -> Location | None:
        """The location of the peer called ``name``, waiting for it to come; None where this runtime finishes first."""
        timeout = seconds(timeout, "locate")
        found = Completion()

        def look(event: PeerEvent | None) -> None:
            for link in self.runtime.peer_table.online():
                if link.info.name == name:
                    found.set(link.info.location)

        self._observers.add(look)
        try:
            look(None)
            with self._ends_with_us(found, f"cannot locate {name!r}"):
                self.wait_for_name(found, timeout, f"a peer called {name!r}", "been started with that name")
        finally:
            self._observers.remove(look)
        location: Location | None = found.value
        return location

    def wait(self, outcome: Completion, timeout: float | None, what: str, named: Named) -> bool:
        """Wait to reach ``named``, and say so every few seconds; False where ``timeout`` seconds were over first."""
        return wait_aloud(outcome, timeout, what, lambda: self.situation(named), _log)

    def wait_for_name(
        self, outcome: Completion, timeout: float | None, what: str, lacking: str, at: Named | None = None
    ) -> bool:
        """Wait for who has a name, as `wait`.

        Args:
            lacking (str): What none of those online has done, as in "registered that name".

            at: The only one that is asked; None: all are.
        """

        def situation() -> str:
            return self.situation(None, lacking) if at is None else self._situation_at(at, lacking)

        return wait_aloud(outcome, timeout, what, situation, _log)

    def situation(self, also: Named | None = None, lacking: str = "") -> str:
        """Who was asked, on which address and port, and what to try; for somebody who waits.

        Args:
            also: Who is to be reached beside those of ``peers=``.

            lacking: As for `wait_for_name`.
        """
        runtime, neighbours = self.runtime, self.neighbours
        named = [kept.named for kept in self._kept] + ([] if also is None else [also])
        asked = ", ".join(f"{way.target}:{neighbours.udp_port}" for way in neighbours.told)
        places = f"named: {_some(named)}"
        if asked and runtime.presence.schedulers_only:
            asked += " (schedulers alone)"
        if not asked:
            reason = f"{runtime.location.addr} has no broadcast" if runtime.discovers else "discover_peers is False"
            asked = f"nobody but {f'those {places}' if named else 'named peers'}, for {reason}"
        elif named:
            asked += f", {places}"
        online = len(runtime.peer_table.online())
        state = f"{online} peers are online" if online != 1 else "1 peer is online"
        if online and lacking:
            state += (
                f" and {'has not' if online == 1 else 'none has'} {lacking}: is it spelt so there? Where another one "
                "has it, name that one: peer(), or peers="
            )
        else:
            state += (
                f". Does it run, with the secret {runtime.secret.fingerprint}? Where broadcasts do not get through, "
                "name it: peer(), or peers="
            )
        text = f"asked {asked}, as {runtime.location}; {state}. `greencoro doctor` finds out more"
        return text + self._reasons(named)

    def _situation_at(self, at: Named, lacking: str) -> str:
        if at.online:
            return f"asked {at}, which is online and has not {lacking}: is it spelt so there?"
        runtime = self.runtime
        return (
            f"asked nobody but the one named: {at}, as {runtime.location}. Does it run there, with the secret "
            f"{runtime.secret.fingerprint}? `greencoro doctor --peer {at}` finds out more{self._reasons([at])}"
        )

    def _reasons(self, named: Sequence[Named]) -> str:
        """Why those were not reached, or refused; each reason once."""
        errors = [str(each.error) for each in named if each.error is not None]
        reasons = dict.fromkeys([*errors[:_MAX_SHOWN], *self.runtime.peer_table.refused()])
        return "".join(f"; {reason}" for reason in reasons)

    # The reactor's thread.

    def keep(self, location: Location, udp_port: int, is_told: bool) -> None:
        """Reach one of ``peers=``, and again whenever nobody there is online.

        Args:
            is_told (bool): People are told where that fails at first.
        """
        kept = Kept(self, location, udp_port, is_told)
        self._kept.append(kept)
        kept.seek()

    def on_change(self, link: Link, online: bool) -> None:
        """A peer came or was lost."""
        if online:
            for search in list(self._searches):
                search.came(link)
        else:
            for kept in self._kept:
                kept.lost(link)

    def close(self) -> None:
        """Reach nobody any more; whoever waits to is let go."""
        self._closed = True
        for awaited in tuple(self._awaited):
            awaited.fail(PeerUnreachable("this runtime is finished"))
        for search in list(self._searches):
            search.close()

    @property
    def is_closed(self) -> bool:
        return self._closed

    def begin(self, search: Search) -> None:
        """Tell ``search`` of peers that come."""
        self._searches.append(search)

    def end(self, search: Search) -> None:
        """Do so no more."""
        if search in self._searches:
            self._searches.remove(search)


def _some(named: Sequence[Named]) -> str:
    more = len(named) - _MAX_SHOWN
    return ", ".join(map(str, named[:_MAX_SHOWN])) + (f" and {more} more" if more > 0 else "")
