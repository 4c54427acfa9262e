"""Which share of the time are two servers busy with jobs of 20 ms of CPU time?

A job computes until its thread has used 20 ms of CPU time; the figure is all of that, by the time that the servers had
from the first submission to the last result. What a server has to wait, between two jobs or for a processor, is what
lacks to 1. "in jobs" is the same with the time that the jobs took on the clock; "gap us" is the median of the times
from the end of a job to the begin of the next at the same server.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import multiprocessing
import os
import queue
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import dask_setup, execnet_setup, greencoro_setup, pycos_setup, ray_setup, side
from benchmarks.measure import MICROSECONDS, measured
from benchmarks.question import Counts, Question, Sample, Side, Target

SERVERS = 2

#: CPU time of a job.
SECONDS = 0.02

#: The number of the job, the process in which it ran, when it began and when it was over.
Report = tuple[int, int, float, float]


def compute(number: int, seconds: float = SECONDS) -> Report:
    begin = time.monotonic()
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return number, os.getpid(), begin, time.monotonic()


def _sample(jobs: int, run: Callable[[Sequence[int]], Sequence[Report]]) -> Sample:
    def run_checked(jobs: int) -> Sequence[Report]:
        reports = run(range(jobs))
        assert sorted(number for number, *_ in reports) == list(range(jobs))
        # The two clocks may differ a little.
        assert all(end - begin >= 0.99 * SECONDS for _, _, begin, end in reports)
        return reports

    run_checked(jobs // 10)
    with measured(jobs) as measurement:
        reports = run_checked(jobs)
    by_server = defaultdict(list)
    for _, server, begin, end in reports:
        by_server[server].append((begin, end))
    assert len(by_server) == SERVERS
    gaps = []
    for times in by_server.values():
        times.sort()
        gaps += [later - earlier for (_, earlier), (later, _) in itertools.pairwise(times)]
    available = SERVERS * measurement.seconds
    others = {
        "in jobs": sum(end - begin for _, _, begin, end in reports) / available,
        "gap us": statistics.median(gaps) * MICROSECONDS,
    }
    return measurement.sample(jobs * SECONDS / available, others)


# greencoro


def greencoro(jobs: int) -> Sample:
    from greencoro.compute.jobs import RemoteCoroScheduler

    with greencoro_setup.servers(SERVERS, [compute]) as computation:
        return _sample(jobs, lambda numbers: RemoteCoroScheduler(computation).map_results(compute, numbers))


def greencoro_executor(jobs: int) -> Sample:
    from greencoro.compute.executor import Executor

    with greencoro_setup.servers(SERVERS, [compute]) as computation, Executor(computation) as executor:
        return _sample(jobs, lambda numbers: list(executor.map(compute, numbers)))


# the others


def pycos_compute(number, task=None):  # type: ignore[no-untyped-def]  # travels as source, without annotations
    import os
    import time

    yield
    begin = time.monotonic()
    end = time.thread_time() + 0.02
    while time.thread_time() < end:
        pass
    return number, os.getpid(), begin, time.monotonic()


def pycos(jobs: int) -> Sample:
    with pycos_setup.servers(SERVERS, [pycos_compute]) as client:
        return _sample(jobs, lambda numbers: pycos_setup.run_jobs(client, "rtask", SERVERS, pycos_compute, numbers))


def execnet_compute(channel):  # type: ignore[no-untyped-def]  # as above
    import os
    import time

    for number in channel:
        begin = time.monotonic()
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass
        channel.send((number, os.getpid(), begin, time.monotonic()))


def execnet(jobs: int) -> Sample:
    with execnet_setup.partner(execnet_compute) as one, execnet_setup.partner(execnet_compute) as other:
        answers: queue.Queue[tuple[Any, Report]] = queue.Queue()
        for channel in (one, other):
            channel.setcallback(lambda report, channel=channel: answers.put((channel, report)))

        def run(numbers: Sequence[int]) -> list[Report]:
            reports = []
            # Each has the next job before it is done with the one before.
            waiting = iter(numbers)
            for number, channel in zip(itertools.islice(waiting, 2 * SERVERS), itertools.cycle((one, other))):
                channel.send(number)
            for _ in numbers:
                channel, report = answers.get(timeout=10.0)
                reports.append(report)
                for number in itertools.islice(waiting, 1):
                    channel.send(number)
            return reports

        return _sample(jobs, run)


def dask(jobs: int) -> Sample:
    with dask_setup.servers(SERVERS) as client:
        # Not pure: otherwise what has been computed for an argument is not computed again.
        return _sample(jobs, lambda numbers: client.gather(client.map(compute, numbers, pure=False)))


def ray(jobs: int) -> Sample:
    with ray_setup.servers(SERVERS) as ray:
        remote = ray.remote(compute)
        return _sample(jobs, lambda numbers: ray.get([remote.remote(number) for number in numbers]))


def process_pool(jobs: int) -> Sample:
    with concurrent.futures.ProcessPoolExecutor(SERVERS, multiprocessing.get_context("spawn")) as pool:
        return _sample(jobs, lambda numbers: list(pool.map(compute, numbers)))


# the floor


def _compute_all(numbers: Sequence[int]) -> list[Report]:
    return [compute(number) for number in numbers]


def own_share_each(jobs: int) -> Sample:
    with concurrent.futures.ProcessPoolExecutor(SERVERS, multiprocessing.get_context("spawn")) as pool:

        def run(numbers: Sequence[int]) -> list[Report]:
            shares = [numbers[first::SERVERS] for first in range(SERVERS)]
            return [report for reports in pool.map(_compute_all, shares) for report in reports]

        return _sample(jobs, run)


_COUNTS = Counts(500, 100, 20)

QUESTION = Question(
    name="cpu_jobs",
    text=f"which share of the time are {SERVERS} servers busy with jobs of {SECONDS * 1000:g} ms of CPU time?",
    unit="share of the time",
    better="more",
    sides=(
        Side("greencoro", greencoro, _COUNTS, "LocalCluster(servers=2), map_results, encrypted"),
        Side(
            "greencoro Executor",
            greencoro_executor,
            _COUNTS,
            "LocalCluster(servers=2), Executor, map with chunksize 1, encrypted",
        ),
        Side(
            "pycos",
            pycos,
            _COUNTS,
            f"{pycos_setup.SERVERS_SETUP}; rtask from {SERVERS} submitting numbers",
            package="pycos",
        ),
        Side(
            "execnet",
            execnet,
            _COUNTS,
            f"two gateways, each sent a job ahead; {execnet_setup.SETUP}",
            package="execnet",
        ),
        Side("Dask", dask, _COUNTS, f"map, gather; {dask_setup.SETUP}", package=dask_setup.PACKAGE),
        Side(
            "Ray",
            ray,
            _COUNTS,
            f"remote numbers, all submitted, then got; {ray_setup.SETUP}",
            package=ray_setup.PACKAGE,
        ),
        Side("ProcessPoolExecutor", process_pool, _COUNTS, "two processes over pipes, map with chunksize 1"),
        Side("floor", own_share_each, _COUNTS, "two processes, each with all its jobs at once"),
    ),
    targets=(
        Target("greencoro", None, "at least", 0.98),
        Target("greencoro", None, "at least", 0.98, figure="in jobs"),
        Target("greencoro Executor", None, "at least", 0.98),
        Target("greencoro Executor", None, "at least", 0.98, figure="in jobs"),
        Target("greencoro", "floor"),
        Target("greencoro", "execnet"),
        Target("greencoro", "ProcessPoolExecutor"),
        Target("greencoro", "pycos"),
        Target("greencoro", "Dask"),
        Target("greencoro", "Ray"),
    ),
    rounds=Counts(full=3, quick=1, tiny=1),
)

if __name__ == "__main__":
    side.main(QUESTION)
