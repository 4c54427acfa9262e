"""What a status coroutine is told of real nodes and servers, wherever it is, and which nodes filters accept."""

import json
import textwrap

import pytest

from greencoro import Computation, Coro, NodeAvailInfo, NodeFilter, NoMatchingServer, Runtime, Status
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster

#: Pulses so short that a test can wait for five of them.
PULSES = ("--min_pulse_interval", "0.1", "--max_pulse_interval", "60")

PROLOGUE = """
    import json, os, sys, time
    import greencoro.compute as compute
    compute.MinPulseInterval, compute.MaxPulseInterval = 0.2, 2.0
    from greencoro import *

    def tell(**what):
        print(json.dumps(what), flush=True)
"""


def script(programs, text, name="client.py"):
    return programs.script(textwrap.dedent(PROLOGUE) + textwrap.dedent(text), name)


class Listener:
    """A coroutine that keeps what it hears."""

    def __init__(self):
        self.heard = []
        self.coro = Coro(self._listen)
        self.coro.set_daemon()

    def _listen(self, coro=None):
        while True:
            self.heard.append(coro.receive())

    def names(self):
        return [message.name for message in list(self.heard) if isinstance(message, Status)]


@pytest.fixture
def listener():
    made = Listener()
    yield made
    made.coro.terminate()


def test_node_that_a_filter_rejects_is_ignored_and_jobs_say_why(cluster, listener):
    filters = [NodeFilter(platform="^none")]
    with Computation(status_coro=listener.coro, timeout=1, node_filters=[*filters, NodeFilter(cpus=1)]) as computation:
        # The platform counts where it is known what is free at the node.
        poll_until(lambda: {"NodeIgnore", "NodeInitialized"} & set(listener.names()))
    with (
        Computation(status_coro=listener.coro, timeout=1, node_filters=[lambda facts: False]) as computation,
        pytest.raises(NoMatchingServer, match=r"node 127\.0\.0\.1 is not used: filter 1: .*returned False"),
    ):
        computation.run(abs, 1)
    last = [message for message in listener.heard if getattr(message, "status", 0) == Status.NodeIgnore][-1]
    assert last.info == "127.0.0.1"


def test_filter_is_asked_with_what_the_node_is(cluster):
    seen = []
    with Computation(node_filters=[lambda facts: seen.append(facts)]) as computation:
        assert computation.wait_for_servers(2) == 2
    [facts] = seen
    assert (facts.address, facts.servers) == ("127.0.0.1", 2)
    assert facts.platform


def test_what_is_free_at_a_node_is_told_once_in_a_pulse_interval(programs):
    _, location = programs.node("-c", "1", *PULSES)
    client = script(
        programs,
        f"""
        def listen(coro=None):
            seen = []
            while len(seen) < 4:
                message = coro.receive()
                if isinstance(message, NodeAvailInfo):
                    seen.append((time.monotonic(), message))
            return seen

        listener = Coro(listen)
        with Scheduler(nodes="{location}", node="127.0.0.1"):
            with Computation(status_coro=listener, pulse_interval=0.4) as computation:
                seen = listener.value(20)
        tell(took=seen[-1][0] - seen[0][0], infos=[[info.cpu, info.memory, info.disk, info.addr] for _, info in seen])
        """,
    )
    told = json.loads(client.line())
    # Three intervals; each may be a little longer, and what is late does not make the next one early.
    assert told["took"] >= 0.4
    for cpu, memory, disk, address in told["infos"]:
        assert 0 <= cpu <= 100
        assert memory > 0
        assert disk > 0
        assert address == "127.0.0.1"
    assert client.wait() == 0, client.errors()


def test_status_coroutine_of_another_process_is_told_all_in_order(programs, cluster, listener):
    with Runtime(
        node="127.0.0.1", discover_peers=False, name="listening", secret_key=cluster.scheduler.runtime.secret.key
    ) as here:
        heard = []

        def listen(coro=None):
            while True:
                heard.append(coro.receive())

        coro = here.spawn(listen)
        assert coro.register("status of the cluster") == 0
        client = script(
            programs,
            f"""
            compute.MinPulseInterval, compute.MaxPulseInterval = 10.0, 100.0  # what the cluster's own node takes

            def double(n):
                return 2 * n

            with LocalCluster(servers=1) as cluster:
                there = Location("{here.location.addr}", {here.location.port})
                status = Coro.locate("status of the cluster", there, 10)
                with Computation(status_coro=status) as computation:
                    jobs = [computation.run(double, n) for n in range(20)]
                    tell(values=[job.value(10) for job in jobs])
            """,
        )
        assert json.loads(client.line()) == {"values": [2 * n for n in range(20)]}
        assert client.wait() == 0, client.errors()
        poll_until(lambda: [each for each in heard if getattr(each, "status", 0) == Status.ComputationClosed])
        coro.terminate()
    told = [each for each in heard if not isinstance(each, NodeAvailInfo)]
    created = [each.info.args[0] for each in told if getattr(each, "status", 0) == Status.CoroCreated]
    assert created == list(range(20))
    ended = [each.value for each in told if not isinstance(each, Status)]
    assert sorted(ended) == [2 * n for n in range(20)]
    assert told[0].status == Status.ComputationScheduled
