"""A process to which very many connect, come as peers, and are looked for in vain."""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from greencoro.config import Settings
from greencoro.distributed.location import Location
from greencoro.distributed.runtime import Runtime
from tests.support.member import KEY
from tests.support.members import MemberProcess, Members
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster

#: What strangers say: nothing, something that is no preamble.
WORDS = itertools.cycle([b"", b"\xff" * 100, b"GET / HTTP/1.1\r\n\r\n"])


@pytest.fixture
def members(tmp_path: Path) -> Iterator[Members]:
    made = Members(tmp_path)
    yield made
    made.end()


def connect(location: Location, times: int) -> None:
    for _ in range(times):
        # The other side may cut this one off before it has said all.
        with (
            contextlib.suppress(ConnectionError),
            socket.create_connection((location.addr, location.port), 20) as sock,
        ):
            sock.sendall(next(WORDS))


def be_peers(location: Location, times: int) -> None:
    for number in range(times):
        with Runtime("127.0.0.1", discover_peers=False, announce=False, secret_key=KEY, settings=Settings()) as runtime:
            runtime.connect(location)
            # Asked for by name on their way, too.
            assert runtime.locate(f"nobody {number}", 0) is None


def come_and_go(victim: MemberProcess, connects: int, peers: int, names: int) -> None:
    location = Location.parse(victim.location)
    connect(location, connects)
    be_peers(location, peers)
    assert victim.call("look_for", count=names, at_once=100, within=600) == 0
    poll_until(lambda: victim.call("peers") == ["friend"], 60)


@pytest.mark.parametrize(
    ("connects", "peers", "names"),
    [
        pytest.param(1_000, 100, 10_000, marks=pytest.mark.short),
        pytest.param(10_000, 1_000, 100_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
def test_Z5_after_very_many_have_come_and_gone_all_is_as_before(
    members: Members, connects: int, peers: int, names: int
) -> None:
    victim = members.start("victim")
    # Who is asked for each name.
    members.start("friend", peers=[victim])
    poll_until(lambda: victim.call("peers") == ["friend"], 30)
    # What is made at the first time, and kept for the next, is no leak.
    come_and_go(victim, connects, peers, names)
    before = victim.call("usage")
    come_and_go(victim, connects, peers, names)

    def grown() -> dict[str, int]:
        return {what: count for what, count in victim.call("usage").items() if count > 1.05 * before[what]}

    # Those that came last are still being closed.
    with contextlib.suppress(AssertionError):
        poll_until(lambda: not grown(), 30, interval=0.2)
    after = victim.call("usage")
    print(f"{before} before, {after} after")
    assert not grown(), f"{before} before, {after} after"
