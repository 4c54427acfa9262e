"""Connections that go on in place of one that its side still takes for well, or that come too late for that."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from greencoro.distributed.link import Link
from greencoro.distributed.link_states import LinkState
from greencoro.distributed.messages import Gone
from greencoro.distributed.resumption import Resumption
from greencoro.distributed.wire import Wire
from tests.distributed.conftest import World, reference
from tests.distributed.forwarder import Forwarder
from tests.distributed.test_resumption import Deaf, Scene, collect
from tests.support.polling import poll_until


@pytest.mark.parametrize("is_at_once", [True, False])
def test_M3_of_two_connections_that_ask_to_go_on_the_first_does_and_the_other_is_dropped(
    tcp_world: World, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, is_at_once: bool
) -> None:
    scene = Scene(tcp_world)
    near, far = scene.one, scene.other
    near_link, far_link = scene.links
    between = Forwarder(far.location)
    request.addfinalizer(between.close)
    far.peer_table.redials._reach = lambda *asked: None
    waiting: list[tuple[Wire, Callable[[], None]]] = []
    # As where the user hub has left something of the connection to the reactor: that comes first.
    monkeypatch.setattr(Wire, "give_way", lambda wire, on_over: waiting.append((wire, on_over)))
    broken = near_link.wire
    assert broken is not None and far_link.wire is not None
    far.reactor.post(functools.partial(setattr, far_link.wire.stream, "_receiver", Deaf()))

    def cut() -> None:
        broken.on_end(ConnectionResetError(104, "reset"))
        near.peer_table.dial(between.location, lambda link, error: None)

    near.reactor.post(cut)
    poll_until(lambda: len(waiting) == 2)
    first, second = (on_over.args[-1] for _, on_over in waiting)  # type: ignore[attr-defined]
    turns = [functools.partial(wire._gave_way, on_over) for wire, on_over in waiting]
    if is_at_once:
        far.reactor.post(lambda: [turn() for turn in turns])
    else:
        far.reactor.post(turns[0])
        poll_until(lambda: near_link.state is LinkState.UP and second.is_closed)
        far.reactor.post(turns[1])
    done: list[LinkState] = []
    far.reactor.post(lambda: done.append(far_link.state))
    poll_until(lambda: done and second.is_closed and near_link.state is LinkState.UP)
    assert done == [LinkState.UP]
    there, back = far.spawn(collect, 60), near.spawn(collect, 1)
    for number in range(60):
        assert reference(near, there).send(number) == 0
    assert reference(far, back).send("back") == 0
    assert there.value(30) == list(range(60)) and back.value(30) == ["back"]
    assert far_link.wire is first and not scene.events


def test_M4_who_asks_to_go_on_and_is_held_up_on_the_way_harms_nothing_that_went_on_since(
    tcp_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tcp_world)
    near, far = scene.links
    scene.other.peer_table.redials._reach = lambda *asked: None
    held: list[Wire] = []
    resume = Resumption.resume

    def hold_first(resumption: Resumption, link: Link, wire: Wire) -> None:
        if link is far and not held:
            held.append(wire)
            # That its other end is over is held up as well.
            wire.stream._receiver = Deaf()  # type: ignore[attr-defined]
        else:
            resume(resumption, link, wire)

    monkeypatch.setattr(Resumption, "resume", hold_first)
    scene.cut()
    poll_until(lambda: held)

    def give_up() -> None:
        for dial in scene.one.peer_table._dialling._dials.values():
            assert dial.wire is not None
            dial.wire.on_end(ConnectionResetError(104, "reset"))

    scene.at_reactor(give_up)
    scene.await_up()
    there = scene.one.spawn(collect, 1)
    assert reference(scene.other, there).send("since") == 0
    assert there.value(30) == ["since"]
    session, well = far.session, far.wire
    assert session is not None

    def acknowledge() -> None:
        assert near.wire is not None
        near.wire.connection._say_received()
        near.wire.flush()

    scene.at_reactor(acknowledge)
    poll_until(lambda: held[0].connection.asks_too_late(session))
    assert not held[0].is_closed
    scene.other.reactor.post(resume, scene.other.peer_table.resumption, far, held[0])
    poll_until(lambda: held[0].is_closed)
    assert far.wire is well and far.state is LinkState.UP
    assert not scene.events


def test_M3_a_message_that_is_counted_and_cannot_be_dealt_with_is_a_gap_that_is_told_of(tcp_world: World) -> None:
    scene = Scene(tcp_world)
    link = scene.links[0]
    assert link.wire is not None

    class Replaced:
        connection = link.wire.connection

    stale: Any = Replaced()
    scene.at_reactor(lambda: scene.one.peer_table.on_message(stale, Gone(1)))
    poll_until(lambda: any(not event.online for event in scene.events))
    assert link.is_lost
