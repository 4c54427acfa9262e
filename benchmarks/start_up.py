"""How long does it take from nothing to the first result from two servers?

From the start of a program (see `programs`), interpreter and imports included, to the line with its first result. The
program starts the servers by itself. Each round runs it once unmeasured, which compiles what is not compiled yet, then
several times, and takes the median; "end s" is the time until the program has ended, with its servers.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import dask_setup, execnet_setup, pycos_setup, ray_setup, side
from benchmarks.measure import Measurement, cpu_seconds
from benchmarks.question import Counts, Question, Sample, Side, Target
from benchmarks.spread import percentile

PROGRAMS = Path(__file__).parent / "programs"
SERVERS = 2  # as the programs have it


def _start(program: str, *arguments: str) -> tuple[float, float, float]:
    """Run a program; returns wall time and CPU time to its first result and wall time to its end, in seconds."""
    command = [sys.executable, str(PROGRAMS / program), *arguments]
    cpu_before = cpu_seconds()
    begin = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = ""
        for line in process.stdout:
            if line.startswith("result"):
                break
        seconds = time.perf_counter() - begin
        cpu = cpu_seconds() - cpu_before
        process.stdout.read()
        code = process.wait()
    end = time.perf_counter() - begin
    if code != 0 or line != "result 49\n":
        raise RuntimeError(f"{program} ended with exit code {code}; its last line was {line!r}")
    return seconds, cpu, end


def _measure(count: int, start: Callable[[], tuple[float, float, float]]) -> Sample:
    start()
    starts = [start() for _ in range(count)]
    measurement = Measurement(len(starts))
    measurement.cpu_seconds = sum(cpu for _, cpu, _ in starts)
    end = percentile([end for _, _, end in starts], 50)
    return measurement.sample(percentile([seconds for seconds, _, _ in starts], 50), {"end s": end})


def greencoro(starts: int) -> Sample:
    return _measure(starts, lambda: _start("greencoro_first_result.py"))


def pycos(starts: int) -> Sample:
    return _measure(starts, lambda: _start("pycos_first_result.py", str(pycos_setup.ports_for(SERVERS))))


def execnet(starts: int) -> Sample:
    return _measure(starts, lambda: _start("execnet_first_result.py"))


def dask(starts: int) -> Sample:
    return _measure(starts, lambda: _start("dask_first_result.py"))


def ray(starts: int) -> Sample:
    ray_setup.prepare()
    return _measure(starts, lambda: _start("ray_first_result.py", tempfile.gettempdir()))


def bare_processes(starts: int) -> Sample:
    return _measure(starts, lambda: _start("bare_first_result.py"))


QUESTION = Question(
    name="start_up",
    text="how long does it take from nothing to the first result from two servers?",
    unit="s",
    better="less",
    sides=(
        Side("greencoro", greencoro, Counts(3, 1, 1), "LocalCluster(servers=2), encrypted; makes its secret, too"),
        Side(
            "pycos",
            pycos,
            Counts(3, 1, 1),
            "dispycosnode with 2 servers, private scheduler that dials the node, not encrypted",
            package="pycos",
        ),
        Side("execnet", execnet, Counts(3, 1, 1), f"two gateways; {execnet_setup.SETUP}", package="execnet"),
        Side("Dask", dask, Counts(3, 1, 1), dask_setup.SETUP, package=dask_setup.PACKAGE),
        Side("Ray", ray, Counts(2, 1, 1), ray_setup.SETUP, package=ray_setup.PACKAGE),
        Side("floor", bare_processes, Counts(3, 1, 1), "two child interpreters that answer over pipes"),
    ),
    targets=(
        Target("greencoro", "pycos", "at most", 1.0),
        Target("greencoro", "execnet", "at most"),
        Target("greencoro", "Dask", "at most"),
        Target("greencoro", "Ray", "at most"),
        Target("greencoro", "floor", "at most"),
    ),
    # Three starts of the slowest, on a busy machine.
    timeout_seconds=90.0,
)

if __name__ == "__main__":
    side.main(QUESTION)
