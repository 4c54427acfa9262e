"""The command: ask the questions named, or all."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import (
    bulk,
    busy_server,
    cpu_jobs,
    dask_setup,
    file,
    idle_memory,
    jobs,
    machine,
    one_way,
    outstanding,
    ray_setup,
    report,
    round_trip,
    rounds,
    start_up,
)
from benchmarks.local import broadcast, fan_in, finishers, memory, park, ping_pong, ring, sleepers, spawn
from benchmarks.question import Scale

LOCAL = (ping_pong, ring, fan_in, broadcast, spawn, park, memory, sleepers, finishers)
DISTRIBUTED = (round_trip, one_way, outstanding, bulk, file, jobs, cpu_jobs, busy_server, start_up, idle_memory)
QUESTIONS = {each.QUESTION.name: each.QUESTION for each in (*LOCAL, *DISTRIBUTED)}

#: Those whose versions are told.
PACKAGES = (
    *("gevent", "greenlet", "cryptography", "numpy"),
    *("pycos", "rpyc", "execnet", "uvloop", dask_setup.PACKAGE, ray_setup.PACKAGE),
)

#: What may be named instead of all that it stands for.
GROUPS = {"local": [each.QUESTION.name for each in LOCAL]}
CHOICES = [*QUESTIONS, *GROUPS]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks; returns the exit code: 1 where a side of greencoro failed or anything was left running.

    A target that is missed is no failure: a busy machine misses some.
    """
    parser = argparse.ArgumentParser(prog="benchmarks", description="How fast greencoro is, beside its peers.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"any of {', '.join(CHOICES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="a first look; figures vary more")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there, too")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in CHOICES]
    if unknown:
        parser.error(f"no such question: {', '.join(unknown)} (there are {', '.join(CHOICES)})")
    names = [name for chosen in options.names or QUESTIONS for name in GROUPS.get(chosen, [chosen])]

    scale: Scale = "quick" if options.quick else "full"
    began = time.monotonic()
    here = machine.describe(PACKAGES)
    print("\n".join(report.machine_lines(here)), flush=True)
    results = []
    for name in names:
        result = rounds.run(QUESTIONS[name], scale, _progress)
        _progress("")
        print("\n" + "\n".join(report.result_lines(result)), flush=True)
        results.append(result)
    print(f"\nall of it took {time.monotonic() - began:.0f} s")
    if options.json is not None:
        found = {"machine": dataclasses.asdict(here), "results": [rounds.as_json(result) for result in results]}
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    outcomes = [outcome for result in results for outcome in result.outcomes.values()]
    bad = [each for each in outcomes if each.left or (each.failures and each.side.name.startswith("greencoro"))]
    return 1 if bad else 0


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _stop(number: int, _frame: object) -> None:
    sys.exit(128 + number)  # an exception, so that what is running is ended on the way out


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
