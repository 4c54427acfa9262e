"""A node daemon and its servers, as whoever holds their lease sees them: a runtime that speaks the daemon's words."""

import os

import psutil
import pytest

from greencoro.compute.cpu_count import cpu_count
from greencoro.compute.job_words import IsAssigned, SetUp
from greencoro.compute.node_words import (
    LeaseEnded,
    Refusal,
    Replace,
    ReserveAnswer,
    ServerDied,
    ServerStarted,
    lease_token,
)
from greencoro.errors import ComputationClosed, PeerLost, RemoteProtocolError
from tests.cluster.holder import Holder
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster

GRANTED = ReserveAnswer()
TOKEN, OTHER = lease_token(bytes(16), 1), lease_token(bytes(16), 2)


@pytest.fixture
def holders():
    made = []

    def make(location):
        made.append(Holder(location))
        return made[-1]

    yield make
    for holder in made:
        holder.runtime.finish()


def test_a_node_says_what_it_is_and_who_has_it(programs, holders):
    _, location = programs.node("-c", "1", "-n", "green")
    holder = holders(location)
    facts = holder.facts()
    assert (facts.address, facts.name, facts.servers, facts.in_use_by) == ("127.0.0.1", "green", 1, None)
    assert facts.cpus == cpu_count()
    holder.reserve(TOKEN)
    assert holder.facts().in_use_by == "a test"


def test_server_of_a_lease_serves_its_token_until_the_release(programs, holders):
    _, location = programs.node("-c", "1")
    holder = holders(location)
    assert holder.reserve(TOKEN, attempt=5) == GRANTED
    started = holder.hears(ServerStarted)
    assert (started.token, started.attempt) == (TOKEN, 5)
    assert psutil.pid_exists(started.pid)
    peer = holder.runtime.connect(started.location)
    assert peer.incarnation.hex() == started.incarnation
    assert peer.name == started.name
    set_up = {**SetUp(TOKEN, "00" * 16, output=False).to_header(), "packages": []}
    for token in (OTHER, "0" * 64, ""):
        with pytest.raises(ComputationClosed):
            holder.runtime.request(peer, "server.set_up", {**set_up, "token": token}, timeout=20)
    holder.runtime.request(peer, IsAssigned.operation, IsAssigned(TOKEN).to_header(), timeout=20)
    holder.runtime.request(peer, "server.set_up", set_up, timeout=20)
    holder.release(TOKEN)
    assert not psutil.pid_exists(started.pid)
    assert [type(word) for word in holder.told] == [ServerStarted]


def test_J9_lease_that_has_ended_is_not_given_again(programs, holders):
    _, location = programs.node("-c", "1")
    holder = holders(location)
    assert holder.reserve(TOKEN) == GRANTED
    holder.hears(ServerStarted)
    holder.release(TOKEN)
    assert holder.reserve(TOKEN).refusal is Refusal.EXPIRED
    assert holder.reserve(OTHER, attempt=2) == GRANTED
    assert holder.hears(ServerStarted, number=2).attempt == 2


def test_death_of_a_server_and_the_fresh_one_are_told(programs, holders):
    _, location = programs.node("-c", "1")
    holder = holders(location)
    holder.reserve(TOKEN)
    started = holder.hears(ServerStarted)
    os.kill(started.pid, 9)
    died = holder.hears(ServerDied)
    assert (died.token, died.attempt, died.incarnation) == (TOKEN, 1, started.incarnation)
    assert died.explanation.startswith("was killed by SIGKILL")
    fresh = holder.hears(ServerStarted, number=2)
    assert fresh.incarnation != started.incarnation
    header = Replace(TOKEN, fresh.incarnation).to_header()
    holder.runtime.post(holder.node, Replace.operation, header)
    assert holder.hears(ServerDied, number=2).incarnation == fresh.incarnation


def test_close_on_standard_input_ends_the_lease_and_says_so(programs, holders):
    ours, theirs = os.openpty()
    try:
        _, location = programs.node("-c", "1", stdin=theirs)
        holder = holders(location)
        holder.reserve(TOKEN)
        started = holder.hears(ServerStarted)
        os.write(ours, b"close\n")
        assert holder.hears(LeaseEnded) == LeaseEnded(TOKEN, 1, "was closed by whoever runs its node")
        poll_until(lambda: not psutil.pid_exists(started.pid), 20)
        poll_until(lambda: holder.reserve(OTHER).refusal is not Refusal.BUSY, 20)
        assert not [word for word in holder.told if isinstance(word, ServerDied)]
    finally:
        os.close(ours)
        os.close(theirs)


def test_T1_loss_of_a_holder_ends_its_lease_and_not_that_of_the_next(programs, holders):
    """Link after link of one runtime: the loss of each ends what came by it, whatever came by the next one."""
    _, location = programs.node("-c", "1", GREENCORO_TICK_SECONDS="0.5")
    holder = holders(location)
    for attempt in range(1, 5):
        token = lease_token(bytes(16), attempt)
        poll_until(lambda token=token, attempt=attempt: holder.tries(token, attempt) == GRANTED, 20)
        started = holder.hears(ServerStarted, number=attempt)
        assert started.attempt == attempt
        if attempt < 4:
            table = holder.runtime.peer_table
            link = table.links[holder.node.incarnation]
            # The node waits a few ticks for the connection to be gone on with.
            holder.runtime.reactor.post(table.lose, link, PeerLost("nothing was heard"))
            poll_until(lambda pid=started.pid: not psutil.pid_exists(pid), 20)
    assert holder.facts().in_use_by == "a test"


def test_requests_that_say_nothing_sensible_are_refused_and_end_nothing(programs, holders):
    _, location = programs.node("-c", "1")
    holder = holders(location)
    assert holder.reserve(TOKEN) == GRANTED
    started = holder.hears(ServerStarted)
    for operation, header in [
        ("node.reserve", {}),
        ("node.reserve", {"token": "1" * 32, "attempt": 1, "name": "thief"}),
        ("node.reserve", {"token": "1" * 64, "attempt": "x", "name": "thief"}),
        ("node.release", {"token": 7}),
        ("node.release", {"token": "\u0661" * 64}),
        ("node.replace", {"token": TOKEN, "incarnation": None}),
    ]:
        with pytest.raises(RemoteProtocolError):
            holder.runtime.request(holder.node, operation, header, timeout=20)
    thief = holders(location)
    assert thief.reserve(OTHER).refusal is Refusal.BUSY
    thief.release(OTHER)
    thief.runtime.post(thief.node, "node.replace", Replace(OTHER, started.incarnation).to_header())
    assert thief.facts().in_use_by == "a test"
    assert psutil.pid_exists(started.pid)
