"""How much memory does each of a million coroutines take that wait?

The figure is how much larger the process has become (RSS), by coroutine, its handle and the list with all handles
included. "maps" is how many memory maps were added: Linux allows a process 65,530 unless told otherwise. "KB left" is
what the process has not given back, by coroutine, when all of them are over: it is what stays for the next ones.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psutil

from benchmarks import side
from benchmarks.local import parking
from benchmarks.measure import MICROSECONDS, measured
from benchmarks.question import Counts, Question, Sample, Target

KILOBYTE = 1000.0

#: More than any of them was found to need.
_MOST_BYTES = 13_000


class _Memory:
    """What a process has now.

    Attributes:
        rss: Bytes.

        maps: How many memory maps.
    """

    def __init__(self, pid: int) -> None:
        self.rss = psutil.Process(pid).memory_info().rss
        self.maps = len(Path(f"/proc/{pid}/maps").read_text().splitlines())


def _ask(park: parking.Park, count: int) -> Sample:
    available = psutil.virtual_memory().available
    if available < count * _MOST_BYTES:
        needed = count * _MOST_BYTES
        sys.exit(f"{count:,} coroutines may need {needed / 1e9:.0f} GB; {available / 1e9:.1f} are available")
    with park(count) as parked:
        before = _Memory(parked.pid)
        with measured(count) as measurement:
            parked.start()
        full = _Memory(parked.pid)
        begin = time.perf_counter()
        parked.end()
        end = time.perf_counter() - begin
        after = _Memory(parked.pid)
    others = {
        "maps": full.maps - before.maps,
        "maps left": after.maps - before.maps,
        "KB left": (after.rss - before.rss) / count / KILOBYTE,
        "start us": measurement.seconds / count * MICROSECONDS,
        "end us": end / count * MICROSECONDS,
    }
    return measurement.sample((full.rss - before.rss) / count / KILOBYTE, others)


QUESTION = Question(
    name="local.memory",
    text="how much memory does each of a million coroutines take that wait?",
    unit="KB (1000 bytes) a coroutine",
    better="less",
    sides=parking.sides(_ask, Counts(1_000_000, 100_000, 2000)),
    targets=(
        Target("greencoro", None, "at most", 7.5),
        Target("greencoro generators", None, "at most", 0.8),
        Target("greencoro legacy", None, "at most", 1.0),
        Target("greencoro generators", "pycos"),
        Target("greencoro generators", "uvloop"),
        Target("greencoro generators", "Erlang"),
    ),
    rounds=Counts(2, 1, 1),
    timeout_seconds=180.0,
)

if __name__ == "__main__":
    side.main(QUESTION)
