"""What a status coroutine is told of real nodes and servers, wherever it is, and which nodes filters accept."""

import json
import textwrap

import pytest

import greencoro.compute
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
    with (
        Computation(status_coro=listener.coro, timeout=1, node_filters=[lambda facts: False]) as computation,
        pytest.raises(NoMatchingServer, match=r"node 127\.0\.0\.1 is not used: filter 1: .*returned False"),
    ):
        computation.run(abs, 1)
    last = [message for message in listener.heard if getattr(message, "status", 0) == Status.NodeIgnore][-1]
    assert last.info == "127.0.0.1"


GREATER = 2**60


@pytest.mark.parametrize(
    ("filters", "refusal"),
    [
        ([NodeFilter(cpus=3)], "3 servers wanted, it has 2"),
        ([NodeFilter(memory=GREATER)], "bytes of memory wanted"),
        ([NodeFilter(disk=GREATER)], "bytes of disk wanted"),
        ([NodeFilter(platform="^unpossible")], "platform '.unpossible' wanted"),
        ([NodeFilter(tags={"room": "b"})], "tag 'room' should be 'b', it has none"),
        # As the manual keeps out one node: the first that is meant for it decides.
        ([NodeFilter(ip_addr="127.*", cpus=999), NodeFilter()], "filter 1: 999 servers wanted"),
        ([NodeFilter(ip_addr="10.", cpus=1), NodeFilter(cpus=999)], "filter 2: 999 servers wanted"),
    ],
)
def test_a_node_that_does_not_hold_what_a_filter_wants_is_ignored(cluster, listener, filters, refusal):
    with (
        Computation(status_coro=listener.coro, timeout=1, node_filters=filters) as computation,
        pytest.raises(NoMatchingServer, match=rf"node 127\.0\.0\.1 is not used: .*{refusal}"),
    ):
        computation.run(abs, 1)
    poll_until(lambda: "ComputationClosed" in listener.names())
    assert listener.names() == ["ComputationScheduled", "NodeDiscovered", "NodeIgnore", "ComputationClosed"]


@pytest.mark.parametrize(
    "filters",
    [
        [NodeFilter(ip_addr="10.", cpus=999), NodeFilter(platform=".")],
        [NodeFilter(cpus=2, memory=1, disk=1), NodeFilter(cpus=999)],
    ],
)
def test_a_node_that_holds_what_the_first_filter_for_it_wants_is_used(cluster, filters):
    with Computation(node_filters=filters) as computation:
        assert computation.run(abs, -1).value(10) == 1


def test_nodes_are_told_apart_by_their_tags(programs):
    locations = [programs.node("-c", "1", "--tag", f"room={room}")[1] for room in "ab"]
    client = script(
        programs,
        f"""
        compute.MinPulseInterval, compute.MaxPulseInterval = 10.0, 100.0  # what the nodes take
        with Scheduler(nodes={locations}, node="127.0.0.1") as scheduler:
            with Computation(node_filters=[NodeFilter(tags={{"room": "b"}})]) as computation:
                computation.wait_for_servers(1, 20)
                names = [node["name"] for node in scheduler.status()["nodes"] if node["state"] == "reserved"]
                tell(run=computation.run(abs, -3).value(10), reserved=len(names))
        """,
    )
    assert json.loads(client.line()) == {"run": 3, "reserved": 1}
    assert client.wait() == 0, client.errors()


def test_a_node_that_was_ignored_is_judged_again_with_what_is_free_then(programs):
    _, location = programs.node("-c", "1", *PULSES)
    client = script(
        programs,
        f"""
        seen = []

        def has_room(facts):
            seen.append(facts.avail)
            return len(seen) > 2

        def listen(coro=None):
            names = []
            while "NodeInitialized" not in names:
                message = coro.receive()
                if isinstance(message, Status):
                    names.append(message.name)
            return names

        listener = Coro(listen)
        with Scheduler(nodes="{location}", node="127.0.0.1"):
            filters = [has_room, NodeFilter(cpus=999)]
            with Computation(status_coro=listener, pulse_interval=0.3, node_filters=filters) as computation:
                value = computation.run(abs, -3).value(10)
                tell(value=value, times=len(seen), names=listener.value(10), known=None not in seen)
        """,
    )
    told = json.loads(client.line())
    assert told["value"] == 3
    assert told["times"] == 3
    assert told["known"]
    assert [told["names"].count(name) for name in ("NodeDiscovered", "NodeIgnore")] == [1, 1]
    assert client.wait() == 0, client.errors()


def test_filter_is_asked_with_what_the_node_is(cluster):
    seen = []
    with Computation(node_filters=[lambda facts: seen.append(facts)]) as computation:
        assert computation.wait_for_servers(2) == 2
    [facts] = seen
    assert (facts.address, facts.servers) == ("127.0.0.1", 2)
    assert facts.platform
    # What is free is known before the first pulse.
    assert facts.avail.memory > 0
    assert facts.avail.disk > 0
    assert facts.avail.addr == "127.0.0.1"


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


def test_servers_and_nodes_that_fail_die_and_are_lost_are_told(programs):
    daemon, location = programs.node("-c", "1", *PULSES)
    client = script(
        programs,
        f"""
        def refuse():
            raise LookupError("no")

        class Names:
            def __init__(self):
                self.heard = []
                self.coro = Coro(self.listen)
                self.coro.set_daemon()

            def listen(self, coro=None):
                while True:
                    message = coro.receive()
                    if isinstance(message, Status):
                        self.heard.append(message.name)

            def until(self, name):
                while name not in self.heard:
                    sleep(0.01)
                return self.heard

        with Scheduler(nodes="{location}", node="127.0.0.1"):
            names = Names()
            with Computation(status_coro=names.coro, server_setup=refuse):
                names.until("ServerIgnore")
            tell(names=names.until("ComputationClosed"))

            names = Names()
            with Computation(status_coro=names.coro, pulse_interval=0.4, timeout=3) as computation:
                job = computation.run(time.sleep, 600)
                names.until("CoroCreated")
                names.heard.clear()
                os.kill(computation.run(os.getpid).value(10), 9)
                tell(names=names.until("ServerInitialized"))
                names.heard.clear()
                os.kill({daemon.pid}, 9)
                tell(names=names.until("NodeDisconnected"))
        """,
    )
    ignored = json.loads(client.line())["names"]
    assert ignored == [
        "ComputationScheduled",
        "NodeDiscovered",
        "ServerDiscovered",
        "ServerIgnore",
        "NodeClosed",
        "ComputationClosed",
    ]
    died = [name for name in json.loads(client.line())["names"] if name != "CoroCreated"]
    assert died == ["ServerDisconnected", "ServerDiscovered", "ServerInitialized"]
    lost = json.loads(client.line())["names"]
    assert lost == ["ServerDisconnected", "NodeDisconnected"]
    client.wait()


def test_the_default_of_the_timeout_may_be_assigned(cluster, monkeypatch):
    monkeypatch.setattr(greencoro.compute, "MsgTimeout", 0.5)
    with (
        Computation(node_filters=[lambda facts: False]) as computation,
        pytest.raises(NoMatchingServer, match=r"no server within 0\.5 s"),
    ):
        computation.run(abs, 1)
