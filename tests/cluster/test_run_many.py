"""One job at each of several servers."""

import os

import pytest

from greencoro import Computation, ComputationClosed, Job, Location, NoMatchingServer

pytestmark = pytest.mark.cluster


def process_id():
    return os.getpid()


def refuse():
    raise RuntimeError("not here")


def test_run_servers_runs_once_at_every_server(computation):
    jobs = computation.run_servers(process_id)
    assert [job.location for job in jobs] == computation.servers()
    assert len({job.value(10) for job in jobs}) == 2


def test_run_nodes_runs_once_at_every_node(computation):
    [job] = computation.run_nodes(process_id)
    assert job.location in computation.servers()
    [address] = computation.nodes()
    assert len(computation.run_node_servers(address, process_id)) == 2


@pytest.mark.parametrize(
    ("where", "expected"),
    [("node", 1), ("server", 2), (Location("10.0.0.1", 1), 2), ("127.0.0.1", 2)],
)
def test_run_each_runs_at_every_node_or_every_server(computation, where, expected):
    jobs = computation.run_each(where, pow, 2, 5)
    assert [job.value(10) for job in jobs] == [32] * expected


def test_run_each_takes_no_other_places(computation):
    with pytest.raises(TypeError, match="the address of a node or a Location"):
        computation.run_each(3, process_id)


def test_job_that_fails_has_started(computation):
    for job in computation.run_servers(refuse):
        with pytest.raises(RuntimeError):
            job.value(10)


def test_reference_to_a_job_that_is_retried_there_cannot_be(computation):
    for run in (computation.run, computation.run_servers, computation.run_nodes):
        with pytest.raises(TypeError, match="process_id is to be retried"):
            run(Job(process_id, retries=1))


def test_nothing_is_run_where_there_is_no_such_node(cluster):
    with Computation(timeout=0.3) as computation:
        computation.wait_for_servers(2)
        with pytest.raises(NoMatchingServer, match=r"no server at 10\.0\.0\.9"):
            computation.run_node_servers("10.0.0.9", process_id)
    with pytest.raises(ComputationClosed):
        computation.run_servers(process_id)


def test_server_that_is_killed_in_mid_call_is_named_and_the_others_run(programs):
    """The stopped server takes the request and does not answer: then it is killed."""
    client = programs.script(
        """
        import os, signal, threading, time
        from greencoro import Computation, LocalCluster, PartialFailure
        from tests.support.stopping import stop

        with LocalCluster(servers=3), Computation(timeout=5) as computation:
            computation.wait_for_servers(3)
            pids = [job.value(10) for job in computation.run_servers(os.getpid)]
            victim = computation.servers()[1]
            stop(pids[1])
            threading.Timer(0.5, os.kill, (pids[1], signal.SIGKILL)).start()
            began = time.monotonic()
            try:
                computation.run_servers(os.getpid)
            except PartialFailure as failure:
                print(time.monotonic() - began < 14)
                print([job.value(10) for job in failure.results] == [pids[0], pids[2]])
                [(place, error)] = failure.failures.items()
                print(place == victim, type(error).__name__, error)
                print(failure)
        """
    )
    assert client.line() == "True"
    assert client.line() == "True"
    line = client.line()
    assert line.startswith("True ServerDied the server process that ran getpid")
    assert "was killed by SIGKILL" in line
    assert client.line().startswith("getpid was started at 2 of 3 places; 127.0.0.1:")
    assert client.wait() == 0


def test_a_node_that_is_lost_in_mid_call_is_named_and_the_others_run(programs):
    """Its stopped server takes the request and does not answer: then its daemon is killed, and it with that."""
    (_, first), (two, second) = (programs.node("-c", "1", "-i", address) for address in ("127.0.0.1", "127.0.0.2"))
    client = programs.script(
        f"""
        import os, signal, threading
        from greencoro import Computation, PartialFailure, Scheduler
        from tests.support.stopping import stop

        with Scheduler(nodes=[{first!r}, {second!r}]), Computation(timeout=5) as computation:
            computation.wait_for_servers(2)
            pids = {{job.location.addr: job.value(10) for job in computation.run_nodes(os.getpid)}}
            stop(pids["127.0.0.2"])
            threading.Timer(0.5, os.kill, ({two.pid}, signal.SIGKILL)).start()
            try:
                computation.run_nodes(os.getpid)
            except PartialFailure as failure:
                print([job.value(10) for job in failure.results] == [pids["127.0.0.1"]])
                [(place, error)] = failure.failures.items()
                print(place, type(error).__name__, error)
            print(computation.nodes())
        """
    )
    assert client.line() == "True"
    assert client.line().startswith("127.0.0.2 ServerDied the server process that ran getpid")
    assert client.line() == "['127.0.0.1']"
    assert client.wait() == 0, client.errors()
