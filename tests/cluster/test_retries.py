"""Jobs that are run again when their server is lost, handed back by one that ends, or ended when their time is over."""

import collections
import os
import signal
import time

import pytest

from greencoro import Job, JobTimeLimit, RemoteCoroScheduler, ServerDied
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster


def note(path, word):
    """A line of the job's own in a file that all share."""
    with open(path, "a") as file:
        file.write(f"{word} {os.getpid()}\n")


def words(path):
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def die_until(path, number, times):
    """Ends its server the first so many times that it runs."""
    note(path, number)
    with open(path) as file:
        ran = sum(line.split()[0] == str(number) for line in file)
    if ran <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def compute(path):
    note(path, "computes")
    while True:
        pass


def wait_forever(path):
    note(path, "waits")
    time.sleep(600)


def stay(path):
    """Does not let itself be ended."""
    note(path, "stays")
    while True:
        try:
            while True:
                pass
        except BaseException:
            continue


def test_J2_job_with_retries_runs_again_where_its_server_was_lost_and_has_one_outcome(computation, tmp_path):
    path = tmp_path / "lines"
    scheduler = RemoteCoroScheduler(computation)
    job = Job(die_until, retries=2)
    assert scheduler.execute(job, str(path), 7, 2) == 7
    assert len(words(path)) == 3
    assert len({pid for _, pid in words(path)}) == 3


def test_J2_job_runs_no_more_often_than_it_may(computation, tmp_path):
    once, twice = tmp_path / "once", tmp_path / "twice"
    scheduler = RemoteCoroScheduler(computation)
    with pytest.raises(ServerDied, match="was killed by SIGKILL"):
        scheduler.execute(die_until, str(once), 1, 100)
    with pytest.raises(ServerDied, match="was killed by SIGKILL"):
        scheduler.execute_at(None, Job(die_until, retries=1), str(twice), 1, 100)
    assert (len(words(once)), len(words(twice))) == (1, 2)


def test_J1_J2_each_element_of_a_map_has_its_own_outcome_though_servers_die(computation, tmp_path):
    path = tmp_path / "lines"
    elements = [(str(path), number, int(number % 10 == 3)) for number in range(30)]
    results = RemoteCoroScheduler(computation).map_results(Job(die_until, retries=3), elements)
    assert results == list(range(30))
    runs = collections.Counter(number for number, _ in words(path))
    assert max(runs.values()) <= 4
    # One that died is there once more, and again where the next one killed the server before it had sent the result.
    assert all(runs[str(number)] >= 2 for number in (3, 13, 23))


def test_job_that_cannot_be_run_again_in_time_is_lost_and_says_so(programs, tmp_path):
    program = programs.script(
        """
        import os, signal, time
        from greencoro import Computation, Job, LocalCluster, RemoteCoroScheduler

        def die(daemon):
            os.kill(daemon, signal.SIGKILL)
            time.sleep(600)

        with LocalCluster(servers=1) as cluster, Computation(timeout=2) as computation:
            try:
                RemoteCoroScheduler(computation).execute(Job(die, retries=5), cluster.pid)
            except Exception as error:
                print(type(error).__name__, *error.__notes__)
        """
    )
    assert program.line().startswith("ServerDied It was not run again: no server within 2 s")


@pytest.mark.parametrize("function", [compute, wait_forever])
def test_job_that_runs_longer_than_its_time_limit_is_ended_and_the_server_goes_on(computation, tmp_path, function):
    path = tmp_path / "lines"
    began = time.monotonic()
    job = computation.run(Job(function, time_limit=0.5), str(path))
    with pytest.raises(JobTimeLimit, match=r"ran longer than its time limit of 0\.5 s"):
        job.value(30)
    assert time.monotonic() - began >= 0.5
    [[_, pid]] = words(path)
    assert computation.run_at(job.location, os.getpid).value(10) == int(pid)


def test_time_limit_does_not_count_the_wait_for_the_turn(computation):
    scheduler = RemoteCoroScheduler(computation)
    results = scheduler.map_results(Job(time.sleep, time_limit=2), [0.6] * 10)
    assert results == [None] * 10


def test_job_that_will_not_end_is_ended_with_its_server(computation, tmp_path):
    path = tmp_path / "lines"
    job = computation.run(Job(stay, time_limit=0.5), str(path))
    with pytest.raises((ServerDied, JobTimeLimit)):
        job.value(40)


def test_node_that_ends_hands_back_what_has_not_begun_and_no_job_runs_twice(programs, tmp_path):
    """Z1: the jobs that wait at the node that ends run at the other one; the one that runs is finished."""
    first, there = programs.node("-c", "1")
    _, elsewhere = programs.node("-c", "1")
    path, slow = tmp_path / "lines", 41
    client = programs.script(
        f"""
        import os, time
        from greencoro import Computation, RemoteCoroScheduler, Scheduler

        def note(number):
            with open({str(path)!r}, "a") as file:
                file.write(f"{{number}} {{os.getpid()}}\\n")
            time.sleep(0.3 if number >= {slow} else 0.001)
            return number

        with Scheduler(nodes=["{there}", "{elsewhere}"], node="127.0.0.1"), Computation() as computation:
            computation.wait_for_servers(2)
            print(computation.run_at(computation.servers()[0], os.getpid).value(10), flush=True)
            print(computation.run_at(computation.servers()[1], os.getpid).value(10), flush=True)
            print(RemoteCoroScheduler(computation).map_results(note, range(61)) == list(range(61)))
        """
    )
    pids = {int(client.line()), int(client.line())}
    [server] = first.servers()
    assert server.pid in pids
    at_first = [str(server.pid)]
    poll_until(lambda: [pid for number, pid in words(path) if int(number) >= slow and [pid] == at_first], 30)
    os.kill(first.pid, signal.SIGTERM)
    assert client.line() == "True"
    assert client.wait() == first.wait() == 0
    runs = collections.Counter(number for number, _ in words(path))
    assert len(runs) == 61
    assert set(runs.values()) == {1}
    # It had about half of them in its queue.
    assert len([pid for number, pid in words(path) if int(number) >= slow and [pid] == at_first]) <= 3


TWO_NODES = """
    import time
    from pathlib import Path
    from greencoro import Computation, Job, RemoteCoroScheduler, Scheduler

    def note(path):
        with open(path, "a") as file:
            file.write("began\\n")

    def wait(path, go):
        note(path)
        while not Path(go).exists():
            time.sleep(0.02)
        return 1

    def compute(path, go):
        note(path)
        while not Path(go).exists():
            pass
        return 1

    with Scheduler(nodes={nodes!r}, node="127.0.0.1"), Computation() as computation:
        computation.wait_for_servers({servers})
        outcomes = RemoteCoroScheduler(computation).map_results(
            Job({function}, retries={retries}), [({path!r}, {go!r})] * 4
        )
        for outcome in outcomes:
            print(outcome if outcome == 1 else f"{{type(outcome).__name__}}: {{outcome}}", flush=True)
"""


@pytest.fixture
def mapping(programs, tmp_path):
    """A client that maps four jobs over nodes, one of which has begun at each; they end when a file is there."""

    def start(function, *locations, retries=3):
        path, go = tmp_path / "lines", tmp_path / "go"
        client = programs.script(
            TWO_NODES.format(
                nodes=list(locations),
                servers=len(locations),
                function=function,
                retries=retries,
                path=str(path),
                go=str(go),
            )
        )
        poll_until(lambda: path.exists() and path.read_text().count("began") >= len(locations), 40)
        return client, go

    return start


@pytest.mark.parametrize("function", ["wait", "compute"])
@pytest.mark.parametrize("how", ["release", "drain"])
def test_J1_J2_jobs_that_somebody_else_ends_with_their_servers_are_run_again(programs, mapping, how, function):
    first, there = programs.node("-c", "1", "--drain_seconds", "1")
    _, elsewhere = programs.node("-c", "1")
    client, go = mapping(function, there, elsewhere)
    [server] = first.servers()
    if how == "release":
        assert programs.start("-m", "greencoro", "node", "release", there).wait() == 0
    else:
        os.kill(first.pid, signal.SIGTERM)
    poll_until(lambda: not server.is_running(), 20)
    go.touch()
    assert [client.line() for _ in range(4)] == ["1"] * 4
    assert client.wait() == 0


@pytest.mark.parametrize("function", ["time.sleep(600)", "compute()"])
def test_J7_jobs_of_the_only_node_that_is_released_hear_that_the_computation_was_closed_and_why(
    programs, tmp_path, function
):
    _, there = programs.node("-c", "1")
    path = tmp_path / "began"
    client = programs.script(
        f"""
        import time
        from pathlib import Path
        from greencoro import Computation, Scheduler

        def compute():
            while True:
                pass

        def job():
            Path({str(path)!r}).touch()
            {function}

        with Scheduler(nodes=[{there!r}], node="127.0.0.1"), Computation() as computation:
            try:
                computation.run(job).value(60)
            except Exception as error:
                print(f"{{type(error).__name__}}: {{error}}", flush=True)
        """
    )
    poll_until(path.exists, 40)
    assert programs.start("-m", "greencoro", "node", "release", there).wait() == 0
    kind, _, text = client.line().partition(": ")
    assert kind in ("ComputationClosed", "ServerDied")  # whichever is told first: of the lease, or of its servers
    assert "closed by whoever runs its node" in text
    assert client.wait() == 0
