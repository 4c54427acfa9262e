"""A process under attack by hand-made clients, with the secret and without, while an honest peer talks to it.

S9, S10, S11, S18: nobody but the attacker notices, and all that the attack took is given back.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from greencoro.config import Settings
from greencoro.distributed.kinds import Kind
from greencoro.distributed.location import Location
from greencoro.distributed.messages import Bye, Request
from greencoro.distributed.runtime import Runtime
from greencoro.distributed.transfer_words import HAS_KEY
from greencoro.errors import DeadlineExceeded, GreencoroError, NetworkError
from tests.support.member import KEY
from tests.support.members import MemberProcess, Members
from tests.support.polling import poll_until
from tests.support.source import PACKAGE

pytestmark = pytest.mark.cluster

MIB = 1 << 20
EVIL = "evil\n\x1b[31mERROR root logged in\r"


@pytest.fixture
def members(tmp_path: Path) -> Iterator[Members]:
    made = Members(tmp_path)
    yield made
    made.end()


@pytest.fixture
def victim(members: Members) -> MemberProcess:
    made = members.start("victim", tick_seconds=2.0)
    made.call("echo", who="victim/echo")
    return made


@pytest.fixture
def honest(members: Members, victim: MemberProcess) -> Iterator[MemberProcess]:
    """A peer that talks to the victim before and after, and does not lose it meanwhile."""
    made = members.start("honest", tick_seconds=2.0)
    made.call("ping", to="victim/echo", location=victim.location, count=10)
    yield made
    made.call("ping", to="victim/echo", location=victim.location, count=10)
    assert members.told(made, victim) == ["online"]


@pytest.fixture
def attacker() -> Iterator[Runtime]:
    with Runtime("127.0.0.1", discover_peers=False, name="attacker", secret_key=KEY, settings=Settings()) as made:
        # Who is cut off does not wait a while before it comes again.
        made.reactor.post(made.peer_table.redials.close)
        yield made


def complaints(victim: MemberProcess) -> list[str]:
    """Lines that say that something in greencoro itself went wrong."""
    lines = victim.errors().splitlines()
    return [line for line in lines if line.startswith(("ERROR", "CRITICAL", "Traceback")) or "bug" in line]


def is_answered(attacker: Runtime, location: Location) -> bool:
    """Is the attacker still heard? It was cut off where not."""
    try:
        attacker.request(location, "greencoro.ping", {}, timeout=10)
    except NetworkError:
        return False
    return True


def test_S10_S11_whatever_a_peer_sends_as_a_message_it_is_cut_off_or_ignored_and_only_it(
    victim: MemberProcess, honest: MemberProcess, attacker: Runtime
) -> None:
    location = Location.parse(victim.location)
    dice = random.Random(1)
    bodies = [b"", bytes(1), bytes(8), bytes(40), b"\xff" * 8, b"\xff" * 13, b"\xff" * 40, bytes(100_000)]
    bodies += [dice.randbytes(dice.randrange(60)) for _ in range(3)]
    cut_off = 0
    for kind in [0, *Kind, max(Kind) + 1, 255]:
        for body in bodies:
            attacker.connect(location)
            (link,) = attacker.peer_table.online()
            link.send(None, [bytes((kind,)) + body])
            cut_off += not is_answered(attacker, location)
            poll_until(lambda: len(attacker.peer_table.links) <= 1)
    print(f"cut off {cut_off} times")
    assert cut_off > 100
    assert not complaints(victim)


@functools.cache
def words_of_the_package() -> list[str]:
    """Every short string in the network's code: the keys that its requests have are among them."""
    words = set()
    for path in (PACKAGE / "distributed").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
                words.add(node.value)
    return sorted(words)


@pytest.mark.parametrize(
    "value", [None, True, -1, 2**70, 1e308, "", EVIL, [], [[1]], {}, {"addr": 1, "port": "x"}], ids=ascii
)
def test_S10_every_request_with_contents_of_a_wrong_type_ends_in_an_answer_and_disturbs_nobody(
    victim: MemberProcess, honest: MemberProcess, attacker: Runtime, value: object
) -> None:
    location = Location.parse(victim.location)
    operations = [*attacker._calls._handlers, "no such operation", EVIL]
    assert len(operations) > 3
    for operation in operations:
        for header in ({}, dict.fromkeys(words_of_the_package(), value)):
            for parts in ((), (b"", b"\xff" * 100)):
                # An error is an answer as well. A silence is none but where nothing is asked, nor is the loss of the
                # connection.
                seconds = 0.1 if operation == HAS_KEY else 20
                try:
                    attacker.request(location, operation, header, parts, timeout=seconds)
                except DeadlineExceeded:
                    assert operation == HAS_KEY
                except (GreencoroError, TypeError, ValueError, LookupError):
                    pass
                assert is_answered(attacker, location), operation
    assert not complaints(victim)


def test_S18_no_text_of_a_peer_makes_log_lines_of_its_own(
    victim: MemberProcess, honest: MemberProcess, attacker: Runtime
) -> None:
    location = Location.parse(victim.location)
    texts = [Bye(EVIL), Request(0, EVIL, {EVIL: EVIL}, ()), Request(0, "greencoro.siblings", {EVIL: EVIL}, ())]
    for message in texts:
        attacker.connect(location)
        (link,) = attacker.peer_table.online()
        link.send(None, message.encode())
        is_answered(attacker, location)
        poll_until(lambda: len(attacker.peer_table.links) <= 1)
    # Another thread writes the lines.
    poll_until(lambda: victim.errors().count("evil") >= 2)
    log = victim.errors()
    assert "\x1b" not in log and "\r" not in log and "\nERROR" not in log


def test_S9_what_strangers_took_of_memory_and_descriptors_is_given_back(
    victim: MemberProcess, honest: MemberProcess
) -> None:
    address = Location.parse(victim.location)
    process = psutil.Process(victim.process.pid)
    descriptors, memory = process.num_fds(), victim.call("rss", trimmed=True)
    rounds = [b"", b"\xff" * 5000, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00"]
    highest = 0
    for number in range(2000):
        with contextlib.suppress(ConnectionError), socket.create_connection((address.addr, address.port), 10) as sock:
            sock.sendall(rounds[number % 4])
        if number % 100 == 0:
            highest = max(highest, process.num_fds())
    # Those in their handshake, the last ones still to be closed among them.
    assert highest < descriptors + 64
    poll_until(lambda: process.num_fds() <= descriptors, what="descriptors are back")
    grown = victim.call("rss", trimmed=True) - memory
    print(f"at most {highest - descriptors} descriptors more; memory grew by {grown / MIB:.1f} MiB")
    assert grown < 8 * MIB
