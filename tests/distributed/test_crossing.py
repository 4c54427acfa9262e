"""Dials that cross: which connection stays, and what becomes of the other one."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from greencoro.distributed.crossing import Crossings
from greencoro.distributed.handshake_states import Role
from greencoro.distributed.incoming import Incoming
from greencoro.distributed.link import Link
from greencoro.distributed.location import Location
from greencoro.distributed.runtime import PeerEvent, Runtime
from greencoro.errors import NetworkError
from tests.distributed.conftest import World
from tests.distributed.hand_made import HandMade, incarnation_of
from tests.distributed.hand_made_server import hand_made_server
from tests.support.polling import poll_until


class Side:
    """One of two that dial each other.

    Attributes:
        streams (list): What came in, in order.

        reads (bool): Whether it looks at what comes in; if not, that stays open, unread.

        cuts (bool): Whether it resets what comes in.

        done (list): What came of its dial.

        events (list): Who it was told of.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.table = runtime.peer_table
        self.streams: list[Any] = []
        self.reads = True
        self.cuts = False
        self.done: list[tuple[Link | None, NetworkError | None]] = []
        self.events: list[PeerEvent] = []
        runtime.watch_peers(self.events.append)

    def dial(self, other: Side) -> None:
        place = other.runtime.location
        self.runtime.reactor.post(self.table.dial, place, lambda link, error: self.done.append((link, error)))

    def has_put_off(self) -> bool:
        return bool(self.table.crossings._waiting)

    def is_connected_to(self, other: Side) -> bool:
        dial = self.table._dialling._dials.get(other.runtime.location)
        return dial is not None and dial.is_connected

    def role(self, other: Side) -> Role:
        wire = self.table.links[other.runtime.incarnation].wire
        assert wire is not None
        return wire.connection.role


@pytest.fixture
def sides(world: World, monkeypatch: pytest.MonkeyPatch) -> tuple[Side, Side]:
    """First the one whose dial stays where nothing else decides."""
    by_incoming: dict[Incoming, Side] = {}
    let_in = Incoming.let_in

    def came(incoming: Incoming, stream: Any) -> None:
        side = by_incoming[incoming]
        side.streams.append(stream)
        if side.cuts:
            stream.reset()
        elif side.reads:
            let_in(incoming, stream)

    monkeypatch.setattr(Incoming, "let_in", came)
    # No test here is to pass because somebody waited for too long.
    made = sorted((world.runtime(handshake_seconds=60) for _ in range(2)), key=lambda runtime: runtime.incarnation)
    lower, higher = (Side(runtime) for runtime in made)
    by_incoming.update({lower.table.incoming: lower, higher.table.incoming: higher})
    return lower, higher


def cross(lower: Side, higher: Side) -> None:
    """Both have dialled; the lower one knows of both connections, the higher one has not looked at what came in."""
    higher.reads = False
    lower.dial(higher)
    poll_until(lambda: lower.is_connected_to(higher) and higher.streams)
    higher.dial(lower)
    poll_until(lower.has_put_off)


def test_L3_of_two_dials_that_cross_the_one_of_the_lower_incarnation_stays(
    sides: tuple[Side, Side], caplog: pytest.LogCaptureFixture
) -> None:
    lower, higher = sides
    cross(lower, higher)
    assert not lower.done and not higher.done
    higher.reads = True
    higher.runtime.reactor.post(Incoming.let_in, higher.table.incoming, higher.streams.pop())
    poll_until(lambda: lower.done and higher.done)
    for side, other in (sides, sides[::-1]):
        assert side.done == [(side.table.links[other.runtime.incarnation], None)]
        assert len(side.streams) == 1
        poll_until(lambda side=side: side.events)  # type: ignore[misc]
        assert [event.online for event in side.events] == [True]
    assert lower.role(higher) is Role.INITIATOR
    poll_until(lambda: not lower.has_put_off() and not lower.table.incoming._unproven)
    assert "secret" not in caplog.text


def test_L3_where_the_dial_that_was_to_stay_is_cut_off_the_other_one_does(
    sides: tuple[Side, Side], caplog: pytest.LogCaptureFixture
) -> None:
    """A place where too many dial at once cuts some of them off, whoever they are."""
    lower, higher = sides
    cross(lower, higher)
    higher.cuts = True
    higher.runtime.reactor.post(higher.streams[0].reset)
    poll_until(lambda: lower.done and higher.done)
    for side, other in (sides, sides[::-1]):
        assert side.done == [(side.table.links[other.runtime.incarnation], None)]
        poll_until(lambda side=side: side.events)  # type: ignore[misc]
        assert [event.online for event in side.events] == [True]
    assert lower.role(higher) is Role.RESPONDER
    assert len(lower.streams) == 1, "it is the one that was put off, not another try"
    assert "secret" not in caplog.text


def test_B5_one_that_finishes_while_a_connection_is_put_off_ends_it(sides: tuple[Side, Side]) -> None:
    lower, higher = sides
    cross(lower, higher)
    lower.runtime.finish(1.0)
    poll_until(lambda: higher.done)
    assert higher.done[0][0] is None
    assert not lower.has_put_off() and not lower.table.incoming._unproven


def test_one_that_is_given_up_while_it_is_put_off_is_forgotten(sides: tuple[Side, Side]) -> None:
    lower, higher = sides
    cross(lower, higher)
    dial = higher.table._dialling._dials[lower.runtime.location]
    higher.runtime.reactor.post(higher.table._dialling._end, dial, None, None)
    poll_until(lambda: not lower.has_put_off())
    # Its own dial goes on.
    assert lower.is_connected_to(higher)
    higher.reads = True
    higher.runtime.reactor.post(Incoming.let_in, higher.table.incoming, higher.streams.pop())
    poll_until(lambda: lower.done and lower.done[0][0])


def test_S9_of_those_that_are_put_off_and_say_to_be_from_one_place_the_latest_waits(sides: tuple[Side, Side]) -> None:
    """So no more wait than are dialled, whatever is replayed."""
    lower, higher = sides
    cross(lower, higher)
    first = next(iter(lower.table.crossings._waiting))
    # The same dial again, as after a break that only it has noticed.
    dial = higher.table._dialling._dials[lower.runtime.location]
    higher.runtime.reactor.post(higher.table._dialling._connect, dial)
    poll_until(lambda: first.is_closed)
    assert len(lower.table.crossings._waiting) == 1


def test_S9_of_those_that_say_to_be_one_whose_answer_we_wait_for_one_waits_whatever_place_each_names(
    tcp_world: World,
) -> None:
    """Who is dialled and does not let us in could else hold any number of connections beyond the limits."""
    one = tcp_world.runtime(handshake_seconds=60)
    done: list[Any] = []
    with hand_made_server(one) as server:
        while server.incarnation < one.incarnation:
            server.identity = Ed25519PrivateKey.generate()
            server.incarnation = incarnation_of(server.identity.public_key())
        place = Location("127.0.0.1", server.port)
        one.reactor.post(one.peer_table.dial, place, lambda link, error: done.append(link))
        answered = server.accept()
        poll_until(lambda: one.peer_table._dialling.has_reached(server.incarnation))
        came = [HandMade(one, port=1000 + number, incarnation=server.incarnation, listens=False) for number in range(8)]
        try:
            poll_until(lambda: sum(is_reset(each.sock) for each in came) == 7)
            assert len(one.peer_table.crossings._waiting) == 1 and not done
            # The one that is left is heard once the dial is over.
            answered.close()
            poll_until(lambda: not one.peer_table.crossings._waiting)
        finally:
            for each in (answered, *came):
                each.close()


def is_reset(sock: socket.socket) -> bool:
    """Did the other side cut it off?"""
    sock.settimeout(0.01)
    try:
        return not sock.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return False
    except ConnectionError:
        return True


# Without sockets.


class FakeWire:
    def __init__(self) -> None:
        self.held = False
        self.said: list[str] = []

    def reset(self) -> None:
        self.said.append("reset")

    def flush(self) -> None:
        assert not self.held
        self.said.append("flush")


def of(crossing: set[str]) -> Any:
    """What crosses those from one place is one dial."""
    return lambda wire, hello: hello.location if hello.location in crossing else None


def put_off(crossings: Crossings, place: str) -> Any:
    wire: Any = FakeWire()
    hello: Any = SimpleNamespace(location=place)
    crossings.put_off(wire, hello)
    return wire


def test_one_waits_until_no_dial_crosses_it_any_more_and_goes_on_then() -> None:
    crossing, taken = {"a", "b"}, []
    crossings = Crossings(of(crossing), lambda wire, hello: taken.append(wire))
    one, other = put_off(crossings, "a"), put_off(crossings, "b")
    crossings.look()
    assert one.held and other.held and not taken and not one.said
    crossing.remove("a")
    crossings.look()
    crossings.look()
    assert taken == [one] and not one.held and one.said == ["flush"]
    assert other.held and not other.said


def test_one_that_proved_itself_while_it_waited_is_taken_up_by_nobody_else() -> None:
    taken: list[Any] = []
    crossing = {"a"}
    crossings = Crossings(of(crossing), lambda wire, hello: taken.append(wire))
    one, stranger = put_off(crossings, "a"), FakeWire()
    crossings.forget(one)
    crossing.clear()
    crossings.forget(stranger)  # type: ignore[arg-type]
    crossings.look()
    assert not one.held and not taken and not one.said
