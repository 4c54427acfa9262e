"""Who is expected where a place is dialled: each who waits for a dial gets whom it wants, or learns that it is not."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from greencoro.config import Settings
from greencoro.distributed.dial import Dial
from greencoro.distributed.dialling import Dialling
from greencoro.distributed.link import Link, LinkState
from greencoro.distributed.location import Location
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.runtime import Runtime
from greencoro.errors import AuthenticationError, NetworkError, PeerLost, PeerUnreachable
from tests.distributed.conftest import World
from tests.distributed.hand_made import HandMade
from tests.support.polling import poll_until

PLACE, ELSEWHERE = Location("10.0.0.1", 7), Location("10.0.0.2", 7)
TRUE, OTHER, THIRD = b"t" * 16, b"o" * 16, b"3" * 16
OWN = b"m" * 16


class Scene:
    """A dialling without a network: the test says who answers.

    Attributes:
        dropped (list): Whose connections were dropped that had come in.

        later (list): What is to be called later.

        given_up (list): Places that are not connected to any more.

        leave (dict): For each who waits, what gives that up.
    """

    def __init__(self) -> None:
        self.dropped: list[bytes] = []
        self.later: list[Any] = []
        self.given_up: list[Location] = []
        self.peers = SimpleNamespace(
            online=list,
            links={},
            incoming=SimpleNamespace(has_any=False, has_one_of=lambda dial: False, drop=self.dropped.append),
            is_well=lambda place: None,
            report=lambda line, place, error: None,
            crossings=SimpleNamespace(look=lambda: None),
            resumption=SimpleNamespace(awaits=lambda incarnation: False),
        )
        reactor = SimpleNamespace(call_later=lambda seconds, *called: self.later.append(called))
        transport = SimpleNamespace(dial=lambda place, seconds, on_done: lambda: self.given_up.append(place))
        own, admission = SimpleNamespace(incarnation=OWN), SimpleNamespace(judge=lambda *_: None)
        parts: Any = (self.peers, reactor, transport, own, Settings(), admission, None)
        self.dialling = Dialling(*parts)
        self.outcomes: dict[str, Any] = {}
        self.leave: dict[str, Callable[[], None]] = {}

    def dial(self, who: str, wanted: bytes | None = None, hint: bytes | None = None, once: bool = False) -> Dial:
        def on_done(link: Link | None, error: NetworkError | None) -> None:
            assert who not in self.outcomes
            self.outcomes[who] = type(error) if link is None else link.info.incarnation

        self.leave[who] = self.dialling.dial(PLACE, on_done, wanted or hint, wanted is not None, once)
        return self.dialling._dials[PLACE]

    def comes(self, incarnation: bytes, place: Location = PLACE) -> None:
        """By a connection of its own."""
        self.dialling.came(link_to(incarnation, place))

    def answers(self, dial: Dial, incarnation: bytes, is_up: bool = True) -> SimpleNamespace:
        """Who is dialled proves itself; where a link to it is up already, there is nothing to wait for."""
        wire = SimpleNamespace(is_closed=False, owner=dial, abort=lambda: setattr(wire, "is_closed", True))
        dial.wire = cast(Any, wire)
        if is_up:
            self.peers.links[incarnation] = link_to(incarnation, PLACE)
        self.dialling.established(dial, cast(Any, wire), cast(Any, SimpleNamespace(incarnation=incarnation)))
        return wire


def link_to(incarnation: bytes, place: Location) -> Any:
    return SimpleNamespace(info=PeerInfo(place, "it", incarnation), state=LinkState.UP, wire=object())


@pytest.mark.parametrize("expecting_first", [False, True])
def test_who_expects_another_than_answers_is_told_so_and_who_expects_nobody_gets_it(expecting_first: bool) -> None:
    scene = Scene()
    asked = [("any", None), ("expecting", TRUE)]
    for who, wanted in reversed(asked) if expecting_first else asked:
        dial = scene.dial(who, wanted)
    scene.answers(dial, OTHER)
    assert scene.outcomes == {"any": OTHER, "expecting": PeerLost}


def test_who_expects_the_one_that_answers_gets_it_though_the_dial_was_begun_for_another() -> None:
    scene = Scene()
    scene.dial("one before", OTHER)
    scene.answers(scene.dial("true", TRUE), TRUE)
    assert scene.outcomes == {"one before": PeerLost, "true": TRUE}


def test_one_whom_nobody_expects_is_no_peer_for_it() -> None:
    scene = Scene()
    scene.dial("one", TRUE)
    wire = scene.answers(scene.dial("other", OTHER), THIRD, is_up=False)
    assert wire.is_closed
    assert scene.outcomes == {"one": PeerLost, "other": PeerLost}


def test_S16_who_only_says_to_be_at_the_place_is_not_taken_for_the_one_that_is_expected_there() -> None:
    scene = Scene()
    dial = scene.dial("expecting", TRUE)
    scene.dial("any")
    scene.comes(OTHER)
    assert scene.outcomes == {"any": OTHER}
    scene.answers(dial, TRUE)
    assert scene.outcomes == {"any": OTHER, "expecting": TRUE}


def test_who_is_expected_is_reached_wherever_it_comes_from() -> None:
    scene = Scene()
    scene.dial("any")
    scene.dial("expecting", TRUE)
    scene.comes(TRUE, ELSEWHERE)
    assert scene.outcomes == {"expecting": TRUE}
    scene.comes(TRUE)
    assert scene.outcomes == {"expecting": TRUE, "any": TRUE}
    assert not scene.dialling._dials


def test_who_was_said_to_be_at_the_place_is_reached_wherever_it_comes_from() -> None:
    scene = Scene()
    scene.dial("hinted", None, THIRD)
    scene.comes(TRUE, ELSEWHERE)
    assert not scene.outcomes
    scene.comes(THIRD, ELSEWHERE)
    assert scene.outcomes == {"hinted": THIRD}


def test_who_answered_and_then_came_by_its_own_dial_is_the_one_that_is_there() -> None:
    scene = Scene()
    dial = scene.dial("any")
    scene.dial("expecting", TRUE)
    # It is being judged.
    wire = SimpleNamespace(is_closed=False, owner=None, connection=SimpleNamespace(established=True))
    dial.wire, dial.incarnation = cast(Any, wire), OTHER
    scene.comes(OTHER)
    assert scene.outcomes == {"any": OTHER, "expecting": PeerLost}


def test_somebody_who_comes_in_is_waited_for_only_where_it_would_do() -> None:
    scene = Scene()
    dial = scene.dial("expecting", TRUE, TRUE)
    assert not dial.aims_at(PeerInfo(PLACE, "it", OTHER)) and dial.aims_at(PeerInfo(PLACE, "it", TRUE))
    scene.dial("hinted", None, THIRD)
    assert dial.aims_at(PeerInfo(PLACE, "it", OTHER)) and not dial.aims_at(PeerInfo(ELSEWHERE, "it", OTHER))


# Those who leave, or want one connection.


def test_a_dial_that_nobody_waits_for_any_more_is_over_and_whoever_left_hears_nothing() -> None:
    scene = Scene()
    scene.dial("one")
    dial = scene.dial("other")
    scene.leave["one"]()
    assert scene.dialling._dials and not scene.given_up
    scene.leave["other"]()
    assert not scene.dialling._dials and scene.given_up == [PLACE]
    scene.dialling._after_end(dial, PeerLost("the connection broke"))
    assert not scene.outcomes and not scene.later


def test_who_leaves_late_ends_no_other_dial_to_that_place() -> None:
    scene = Scene()
    scene.answers(scene.dial("one"), TRUE)
    scene.peers.links.clear()
    scene.dial("other")
    scene.leave["one"]()
    assert scene.dialling._dials and scene.outcomes == {"one": TRUE}


def test_a_connection_that_ends_early_is_tried_again_only_where_somebody_wants_more_than_one() -> None:
    scene = Scene()
    dial = scene.dial("once", TRUE, once=True)
    scene.dialling._after_end(dial, PeerLost("the connection broke"))
    assert scene.outcomes.pop("once") is PeerUnreachable and not scene.later
    dial = scene.dial("once", TRUE, once=True)
    scene.dial("persistent")
    scene.dialling._after_end(dial, PeerLost("the connection broke"))
    assert not scene.outcomes and scene.later == [(scene.dialling._begin, dial)]
    scene.leave["persistent"]()
    assert scene.dialling._dials and not scene.outcomes


# Dials that cross.


@pytest.mark.parametrize(("incarnation", "dropped"), [(TRUE, [TRUE]), (THIRD, [])], ids=["higher", "lower"])
def test_what_a_higher_one_has_dialled_itself_is_dropped_once_it_has_answered(
    incarnation: bytes, dropped: list[bytes]
) -> None:
    scene = Scene()
    dial = scene.dial("any")
    wire = scene.answers(dial, incarnation, is_up=False)
    assert scene.dropped == dropped and wire.held


@pytest.mark.parametrize("why", ["somebody comes in", "somebody came", "nobody did", "late"])
def test_who_is_turned_away_while_somebody_comes_in_tries_again_for_a_while(why: str) -> None:
    """By a forwarded port nobody can tell whether that one has cut us off because it dials us itself."""
    scene = Scene()
    dial = scene.dial("any")
    scene.peers.incoming.has_any = why in ("somebody comes in", "late")
    if why == "somebody came":
        scene.comes(THIRD, ELSEWHERE)
    if why == "late":
        dial.began -= 60
    scene.dialling._after_end(dial, AuthenticationError("it seems to have another secret"))
    if why in ("nobody did", "late"):
        assert scene.outcomes == {"any": AuthenticationError} and not scene.later
    else:
        assert not scene.outcomes and scene.later == [(scene.dialling._begin, dial)]


# Over the network.


def connecting(outcomes: dict[str, Any], who: str, here: Runtime, place: Location, wanted: bytes) -> threading.Thread:
    def connect() -> None:
        try:
            outcomes[who] = here.connect(place, 30, incarnation=wanted).incarnation
        except NetworkError as error:
            outcomes[who] = type(error)

    thread = threading.Thread(target=connect)
    thread.start()
    return thread


def waiting(here: Runtime, place: Location) -> int:
    dial = here.peer_table._dialling._dials.get(place)
    return 0 if dial is None or not dial.is_connected else len(dial.waiting)


def test_S16_an_insider_that_says_to_be_at_a_dialled_place_is_not_returned_by_connect(tcp_world: World) -> None:
    """As where a client reaches a server, whose address and incarnation anybody may know, to give it a token."""
    here, there = tcp_world.runtime(), tcp_world.runtime(accepting=False)
    outcomes: dict[str, Any] = {}
    thread = connecting(outcomes, "client", here, there.location, there.incarnation)
    poll_until(lambda: waiting(here, there.location))
    insider = HandMade(here, "insider", there.location.port)
    poll_until(lambda: insider.incarnation in here.peer_table.links)
    insider.close()
    poll_until(lambda: insider.incarnation not in here.peer_table.links)
    assert not outcomes
    there.accept(True)
    thread.join()
    assert outcomes == {"client": there.incarnation}


def test_a_new_runtime_at_an_old_ones_place_is_reached_while_the_old_one_is_tried_for(tcp_world: World) -> None:
    here, there = tcp_world.runtime(), tcp_world.runtime(accepting=False)
    outcomes: dict[str, Any] = {}
    threads = [connecting(outcomes, "old", here, there.location, os.urandom(16))]
    poll_until(lambda: waiting(here, there.location) == 1)
    threads.append(connecting(outcomes, "new", here, there.location, there.incarnation))
    poll_until(lambda: waiting(here, there.location) == 2)
    there.accept(True)
    for thread in threads:
        thread.join()
    assert outcomes == {"old": PeerLost, "new": there.incarnation}
