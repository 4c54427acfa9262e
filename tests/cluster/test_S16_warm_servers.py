"""A server is closed before it serves anybody (S16): who was there early reaches no more than who comes late."""

import pytest

from greencoro import Computation, Scheduler
from greencoro.compute.node_report import NodeReport
from greencoro.compute.node_words import Command, Operate
from tests.cluster.holder import Holder
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster


def wait_for_word(name, coro=None):
    assert coro.register(name) == 0
    return coro.receive()


def warm_server(holder):
    """Where a server waits that nobody has reserved yet; None before it is ready."""
    report = NodeReport.from_header(holder.ask(Operate(Command.STATUS)))
    [server] = report.servers
    return None if server.is_leased else server.location


@pytest.fixture
def node(programs):
    """A node's location, in a process that has a scheduler which has not reserved it yet."""
    _, location = programs.node("-c", "1")
    with Scheduler(nodes=[location], node="127.0.0.1"):
        yield location


@pytest.fixture
def stranger(node):
    """Somebody with the secret and without any token."""
    made = Holder(node)
    yield made
    made.runtime.finish()


def test_S16_who_connects_to_a_server_before_it_is_set_up_cannot_find_end_or_join_its_jobs(stranger):
    server = poll_until(lambda: warm_server(stranger), 30)
    # A link that the server has accepted, and on which something was said.
    peer = stranger.runtime.connect(server)
    assert stranger.runtime.names.network.locate("coro", "mine", server, 0.5) is None
    link = stranger.runtime.peer_table.links[peer.incarnation]
    with Computation(timeout=30) as computation:
        job = computation.run(wait_for_word, "mine")
        assert job.location == server

        def attempt(coro=None):
            there = stranger.runtime.reference(peer, job._reference.id, job.name)
            there.terminate()
            return coro.monitor(there), there.deliver("from a stranger", timeout=5)

        assert stranger.runtime.spawn(attempt).value(30) == (-1, 0)
        assert stranger.runtime.names.network.locate("coro", "mine", server, 0.5) is None
        # Still the same link.
        assert stranger.runtime.peer_table.links[peer.incarnation] is link
        assert job.deliver("from its client", timeout=10) == 1
        assert job.value(10) == "from its client"
