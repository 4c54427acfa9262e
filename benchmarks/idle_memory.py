"""How much memory does a server take that waits for jobs?

Two servers are started, each has run a job that does nothing, and then nothing happens for some seconds. The figure is
the mean of the servers' resident memory (RSS), which counts a page that several processes share in each of them. "PSS
MB" is the mean of the servers' shares: such a page is divided by those who have it. "others PSS MB" is what all other
processes that were started take, for both servers together: a daemon, a scheduler; not the program that started them.
"CPU us/op" is the CPU time of all processes for a second in which nothing happens, and for both servers.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import psutil

from benchmarks import dask_setup, execnet_setup, greencoro_setup, pycos_setup, ray_setup, side
from benchmarks.measure import measured
from benchmarks.question import Counts, Question, Sample, Side, Target

SERVERS = 2

_MEGABYTE = 1e6


def _sample(seconds: int, servers: Sequence[int]) -> Sample:
    """Measure after so many seconds.

    Args:
        servers: Their processes.
    """
    assert len(set(servers)) == SERVERS
    with measured(seconds) as measurement:
        time.sleep(seconds)
    own = [psutil.Process(pid).memory_full_info() for pid in servers]
    everybody = psutil.Process().children(recursive=True)
    assert set(servers) <= {process.pid for process in everybody}
    others = 0
    for process in everybody:
        with contextlib.suppress(psutil.NoSuchProcess):
            others += process.memory_full_info().pss if process.pid not in servers else 0
    return measurement.sample(
        sum(each.rss for each in own) / SERVERS / _MEGABYTE,
        {"PSS MB": sum(each.pss for each in own) / SERVERS / _MEGABYTE, "others PSS MB": others / _MEGABYTE},
    )


def _seen(run_job: Callable[[int], Sequence[int]]) -> list[int]:
    """The servers of jobs that say where they are, run so many at once, until all servers had one."""
    seen: set[int] = set()
    deadline = time.monotonic() + 20.0
    while len(seen) < SERVERS:
        assert time.monotonic() < deadline, f"only {len(seen)} servers had a job"
        seen.update(run_job(2 * SERVERS))
    return sorted(seen)


def where(number: int) -> int:
    """The process; after a moment, so that jobs that are submitted together come to different servers."""
    import os
    import time

    time.sleep(0.05)
    return os.getpid()


def greencoro(seconds: int) -> Sample:
    with greencoro_setup.servers(SERVERS) as computation:
        return _sample(seconds, [coro.value() for coro in computation.run_servers(os.getpid)])


def pycos_where(number, task=None):  # type: ignore[no-untyped-def]  # travels as source, where annotations have no meaning
    import os

    yield task.sleep(0.05)
    return os.getpid()


def pycos(seconds: int) -> Sample:
    with pycos_setup.servers(SERVERS, [pycos_where]) as client:

        def run_jobs(jobs: int) -> list[int]:
            return pycos_setup.run_jobs(client, "rtask", SERVERS, pycos_where, range(jobs))

        return _sample(seconds, _seen(run_jobs))


def execnet(seconds: int) -> Sample:
    source = "import os; channel.send(os.getpid())"
    with execnet_setup.gateway() as one, execnet_setup.gateway() as other:
        return _sample(seconds, [there.remote_exec(source).receive(10.0) for there in (one, other)])


def dask(seconds: int) -> Sample:
    with dask_setup.servers(SERVERS) as client:
        return _sample(seconds, _seen(lambda jobs: client.gather(client.map(where, range(jobs), pure=False))))


def ray(seconds: int) -> Sample:
    with ray_setup.servers(SERVERS) as ray:
        remote = ray.remote(where)
        return _sample(seconds, _seen(lambda jobs: ray.get([remote.remote(number) for number in range(jobs)])))


def process_pool(seconds: int) -> Sample:
    with concurrent.futures.ProcessPoolExecutor(SERVERS, multiprocessing.get_context("spawn")) as pool:
        return _sample(seconds, _seen(lambda jobs: list(pool.map(where, range(jobs)))))


def _bare(seconds: int, module: str) -> Sample:
    command = [sys.executable, "-c", f"import {module}; print(flush=True); input()"]
    with contextlib.ExitStack() as stack:
        servers = []
        for _ in range(SERVERS):
            server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            stack.enter_context(server)
            stack.callback(server.kill)
            assert server.stdout is not None
            server.stdout.readline()
            servers.append(server.pid)
        return _sample(seconds, servers)


def bare_interpreters(seconds: int) -> Sample:
    return _bare(seconds, "sys")


def interpreters_with_gevent(seconds: int) -> Sample:
    return _bare(seconds, "gevent")


_COUNTS = Counts(10, 2, 1)

QUESTION = Question(
    name="idle_memory",
    text="how much memory does a server take that waits for jobs?",
    unit="MB (1,000,000 bytes) a server",
    better="less",
    sides=(
        Side("greencoro", greencoro, _COUNTS, "LocalCluster(servers=2); others: its node daemon and what that starts"),
        Side("pycos", pycos, _COUNTS, f"{pycos_setup.SERVERS_SETUP}; others: the node", package="pycos"),
        Side("execnet", execnet, _COUNTS, f"two gateways; {execnet_setup.SETUP}", package="execnet"),
        Side("Dask", dask, _COUNTS, f"{dask_setup.SETUP}; its scheduler is in the program", package=dask_setup.PACKAGE),
        Side("Ray", ray, _COUNTS, f"{ray_setup.SETUP}; others: its daemons", package=ray_setup.PACKAGE),
        Side("ProcessPoolExecutor", process_pool, _COUNTS, "two processes over pipes"),
        Side("floor", bare_interpreters, _COUNTS, "two bare interpreters that wait for a line"),
        Side("floor gevent", interpreters_with_gevent, _COUNTS, "the same that have imported gevent"),
    ),
    targets=(
        Target("greencoro", None, "at most", 45),
        Target("greencoro", "pycos", "at most"),
        Target("greencoro", "execnet", "at most"),
        Target("greencoro", "Dask", "at most"),
        Target("greencoro", "Ray", "at most"),
        Target("greencoro", "floor gevent", "at most"),
    ),
    rounds=Counts(full=3, quick=1, tiny=1),
)

if __name__ == "__main__":
    side.main(QUESTION)
