"""How many jobs that do nothing a second run on two servers, results included?

A job returns its argument; the client checks every result. Two ways are measured, since systems differ in what they are
good at. "One at a time": a server has one job at any moment, as jobs that compute should (`map_results`; dispycos:
`rtask`). "Many": several coroutines of the client submit and servers run whatever comes (`run`; dispycos: `io_rtask`).
Starting the servers is not measured here, see start_up.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
from collections.abc import Callable
from typing import Any

from benchmarks import dask_setup, greencoro_setup, pycos_setup, ray_setup, side
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
    with greencoro_setup.servers(SERVERS, [noop]) as computation:
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


def greencoro_executor_map(jobs: int) -> Sample:
    from greencoro.compute.executor import Executor

    def run(computation: Any, jobs: int) -> list[int]:
        with Executor(computation) as executor:
            return list(executor.map(noop, range(jobs)))

    return _greencoro(jobs, run)


def greencoro_executor_submit(jobs: int) -> Sample:
    from greencoro.compute.executor import Executor

    def run(computation: Any, jobs: int) -> list[int]:
        with Executor(computation) as executor:
            return [future.result() for future in [executor.submit(noop, number) for number in range(jobs)]]

    return _greencoro(jobs, run)


# pycos


def pycos_noop(number, task=None):  # type: ignore[no-untyped-def]  # travels as source, where annotations have no meaning
    yield
    return number


def _pycos(jobs: int, method: str, submitters: int) -> Sample:
    with pycos_setup.servers(SERVERS, [pycos_noop]) as client:
        pycos_setup.run_jobs(client, method, submitters, pycos_noop, range(jobs // 10))
        with measured(jobs) as measurement:
            results = pycos_setup.run_jobs(client, method, submitters, pycos_noop, range(jobs))
        assert sorted(results) == list(range(jobs))
    return measurement.rate()


def pycos_one_at_a_time(jobs: int) -> Sample:
    return _pycos(jobs, "rtask", SERVERS)


def pycos_many(jobs: int) -> Sample:
    return _pycos(jobs, "io_rtask", PYCOS_SUBMITTERS)


# the others


def dask(jobs: int) -> Sample:
    with dask_setup.servers(SERVERS) as client:

        def run(jobs: int) -> Any:
            # Not pure: otherwise what has been computed for an argument is not computed again.
            return client.gather(client.map(noop, range(jobs), pure=False))

        run(jobs // 10)
        with measured(jobs) as measurement:
            results = run(jobs)
        assert results == list(range(jobs))
    return measurement.rate()


def ray(jobs: int) -> Sample:
    with ray_setup.servers(SERVERS) as ray:
        remote = ray.remote(noop)

        def run(jobs: int) -> Any:
            return ray.get([remote.remote(number) for number in range(jobs)])

        run(jobs // 10)
        with measured(jobs) as measurement:
            results = run(jobs)
        assert results == list(range(jobs))
    return measurement.rate()


def process_pool(jobs: int) -> Sample:
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(SERVERS, context) as pool:
        assert len(list(pool.map(noop, range(jobs // 10)))) == jobs // 10
        with measured(jobs) as measurement:
            results = list(pool.map(noop, range(jobs)))
        assert results == list(range(jobs))
    return measurement.rate()


QUESTION = Question(
    name="jobs",
    text=f"how many jobs that do nothing a second run on {SERVERS} servers, results included?",
    unit="jobs/s",
    better="more",
    sides=(
        Side(
            "greencoro one at a time",
            greencoro_one_at_a_time,
            Counts(20_000, 3000, 100),
            "LocalCluster(servers=2), map_results, encrypted",
        ),
        Side(
            "pycos one at a time",
            pycos_one_at_a_time,
            Counts(20_000, 1500, 50),
            f"{pycos_setup.SERVERS_SETUP}; rtask from {SERVERS} submitting tasks (with 1, 8 or 32 it was slower)",
            package="pycos",
        ),
        Side(
            "greencoro many",
            greencoro_many,
            Counts(20_000, 3000, 100),
            f"LocalCluster(servers=2), run from {SUBMITTERS} submitting coroutines (with 16 it was slower), encrypted",
        ),
        Side(
            "pycos many",
            pycos_many,
            Counts(20_000, 2000, 50),
            f"{pycos_setup.SERVERS_SETUP}; "
            f"io_rtask from {PYCOS_SUBMITTERS} submitting tasks (with 2 it was slower, with 32 no faster)",
            package="pycos",
        ),
        Side(
            "greencoro Executor.map",
            greencoro_executor_map,
            Counts(20_000, 3000, 100),
            "LocalCluster(servers=2), Executor, map with chunksize 1, encrypted",
        ),
        Side(
            "greencoro Executor.submit",
            greencoro_executor_submit,
            Counts(20_000, 3000, 100),
            "LocalCluster(servers=2), Executor, submit of all, then the results in order, encrypted",
        ),
        Side("Dask", dask, Counts(20_000, 1000, 50), f"map, gather; {dask_setup.SETUP}", package=dask_setup.PACKAGE),
        Side(
            "Ray",
            ray,
            Counts(20_000, 3000, 50),
            f"remote tasks, all submitted, then got; {ray_setup.SETUP}",
            package=ray_setup.PACKAGE,
        ),
        Side(
            "ProcessPoolExecutor",
            process_pool,
            Counts(20_000, 3000, 100),
            "two processes over pipes, map with chunksize 1; one machine only, nothing is shipped",
        ),
    ),
    targets=(
        Target("greencoro one at a time", "Ray", "at least", 15),
        Target("greencoro one at a time", "Dask"),
        Target("greencoro one at a time", "pycos one at a time"),
        Target("greencoro many", "Ray", "at least", 15),
        Target("greencoro many", "pycos many"),
        Target("greencoro Executor.map", "Ray", "at least", 15),
        Target("greencoro Executor.map", "ProcessPoolExecutor"),
        Target("greencoro Executor.submit", "ProcessPoolExecutor"),
        Target("greencoro one at a time", "ProcessPoolExecutor"),
    ),
    rounds=Counts(full=3, quick=1, tiny=1),
    # 20,000 jobs of the slowest, on a busy machine.
    timeout_seconds=240.0,
)

if __name__ == "__main__":
    side.main(QUESTION)
