"""How many jobs that do nothing a second run on two servers, results included?

A job returns its argument; the client checks every result. Two ways are measured, since systems differ in what they are
good at. "One at a time": a server has one job at any moment, as jobs that compute should (`map_results`; dispycos:
`rtask`). "Many": several coroutines of the client submit and servers run whatever comes (`run`; dispycos: `io_rtask`).
Starting the servers is not measured here, see start_up.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import subprocess
from collections.abc import Callable
from typing import Any

from benchmarks import pycos_setup, side
from benchmarks.measure import measured
from benchmarks.question import Counts, Question, Sample, Side, Target

SERVERS = 2

#: Coroutines that submit. Each waits for the server's answer to a job before it submits the next.
SUBMITTERS = 64

#: Tasks that submit to pycos: with 32 it was no faster.
PYCOS_SUBMITTERS = 16


def noop(number: int) -> int:
    return number


# greencoro


def _greencoro(jobs: int, run: Callable[[Any, int], list[int]]) -> Sample:
    from greencoro.compute.cluster import LocalCluster
    from greencoro.compute.computation import Computation

    with LocalCluster(servers=SERVERS) as cluster, Computation([noop]) as computation:
        cluster.wait_for_servers(SERVERS)
        run(computation, jobs // 10)
        with measured(jobs) as measurement:
            results = run(computation, jobs)
        assert results == list(range(jobs))
    return measurement.rate()


def greencoro_one_at_a_time(jobs: int) -> Sample:
    from greencoro.compute.jobs import RemoteCoroScheduler

    return _greencoro(jobs, lambda computation, jobs: RemoteCoroScheduler(computation).map_results(noop, range(jobs)))


def greencoro_many(jobs: int) -> Sample:
    from greencoro.hub.coroutine import Coro

    def submit(computation: Any, numbers: range) -> list[int]:
        return [coro.value() for coro in [computation.run(noop, number) for number in numbers]]

    def run(computation: Any, jobs: int) -> list[int]:
        submitters = [Coro(submit, computation, range(first, jobs, SUBMITTERS)) for first in range(SUBMITTERS)]
        return sorted(result for submitter in submitters for result in submitter.value())

    return _greencoro(jobs, run)


# pycos


def pycos_noop(number, task=None):  # type: ignore[no-untyped-def]  # travels as source, where annotations have no meaning
    yield
    return number


def pycos_pause(task=None):  # type: ignore[no-untyped-def]  # as above
    yield task.sleep(0.05)


def _pycos(jobs: int, method: str, submitters: int) -> Sample:
    first_port = pycos_setup.ports_for(SERVERS)
    node = subprocess.Popen(pycos_setup.node_command(first_port, SERVERS), stdin=subprocess.DEVNULL)
    try:
        pycos = pycos_setup.quiet()
        client = pycos_setup.start_scheduler(first_port).Client([pycos_noop, pycos_pause])
        start = getattr(client, method)

        def prepare(task: Any = None) -> Any:
            yield from pycos_setup.reach_node(first_port, task)
            assert (yield client.schedule()) == 0
            seen: set[str] = set()
            while len(seen) < SERVERS:
                # All at once, each busy for a moment, so that they come to different servers as soon as these run.
                pauses = []
                for _ in range(SERVERS):
                    pauses.append((yield client.rtask(pycos_pause)))
                for pause in pauses:
                    yield pause()
                    seen.add(str(pause.location))

        def submit(numbers: range, task: Any = None) -> Any:
            under_way = []
            for number in numbers:
                under_way.append((yield start(pycos_noop, number)))
            results = []
            for remote in under_way:
                results.append((yield remote()))
            return results

        def run(jobs: int, task: Any = None) -> Any:
            tasks = [pycos.Task(submit, range(first, jobs, submitters)) for first in range(submitters)]
            results = []
            for each in tasks:
                results += yield each.finish()
            return sorted(results)

        def close(task: Any = None) -> Any:
            yield client.close()

        pycos.Task(prepare).value()
        pycos.Task(run, jobs // 10).value()
        with measured(jobs) as measurement:
            results = pycos.Task(run, jobs).value()
        assert results == list(range(jobs))
        pycos.Task(close).value()
    finally:
        node.terminate()
        node.wait(10)
    return measurement.rate()


def pycos_one_at_a_time(jobs: int) -> Sample:
    return _pycos(jobs, "rtask", SERVERS)


def pycos_many(jobs: int) -> Sample:
    return _pycos(jobs, "io_rtask", PYCOS_SUBMITTERS)


# the standard library


def process_pool(jobs: int) -> Sample:
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(SERVERS, context) as pool:
        assert len(list(pool.map(noop, range(jobs // 10)))) == jobs // 10
        with measured(jobs) as measurement:
            results = list(pool.map(noop, range(jobs)))
        assert results == list(range(jobs))
    return measurement.rate()


_DISPYCOS = "dispycosnode with 2 servers, private scheduler, no discovery, all on 127.0.0.1, not encrypted"

QUESTION = Question(
    name="jobs",
    text=f"how many jobs that do nothing a second run on {SERVERS} servers, results included?",
    unit="jobs/s",
    better="more",
    sides=(
        Side(
            "greencoro one at a time",
            greencoro_one_at_a_time,
            Counts(10_000, 3000, 100),
            "LocalCluster(servers=2), map_results, encrypted",
        ),
        Side(
            "pycos one at a time",
            pycos_one_at_a_time,
            Counts(10_000, 1500, 50),
            f"{_DISPYCOS}; rtask from {SERVERS} submitting tasks (with 1, 8 or 32 it was slower)",
            package="pycos",
        ),
        Side(
            "greencoro many",
            greencoro_many,
            Counts(10_000, 3000, 100),
            f"LocalCluster(servers=2), run from {SUBMITTERS} submitting coroutines (with 16 it was slower), encrypted",
        ),
        Side(
            "pycos many",
            pycos_many,
            Counts(10_000, 2000, 50),
            f"{_DISPYCOS}; io_rtask from {PYCOS_SUBMITTERS} submitting tasks (with 2 it was slower, with 32 no faster)",
            package="pycos",
        ),
        Side(
            "ProcessPoolExecutor",
            process_pool,
            Counts(10_000, 3000, 100),
            "two processes over pipes, map with chunksize 1; one machine only, nothing is shipped",
        ),
    ),
    targets=(
        Target("greencoro one at a time", "pycos one at a time"),
        Target("greencoro many", "pycos many"),
        Target("greencoro one at a time", "ProcessPoolExecutor"),
    ),
    unmeasured=("the target of at least 15 x Ray: Ray is no dependency of the tools here, it would be 1 GB more",),
    rounds=Counts(full=3, quick=1, tiny=1),
    timeout_seconds=90.0,
)

if __name__ == "__main__":
    side.main(QUESTION)
