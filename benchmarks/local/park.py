"""How long does it take to start 10,000 or 100,000 coroutines that wait?

From the start of the first until all of them wait. "end us" is what it takes, for each of them, to be sent a message
and be over. They are the first of their process: nothing is there to be used again.
"""

from __future__ import annotations

import time

from benchmarks import side
from benchmarks.local import parking
from benchmarks.measure import MICROSECONDS, measured
from benchmarks.question import Counts, Question, Sample, Target


def _ask(park: parking.Park, count: int) -> Sample:
    with park(count) as parked:
        with measured(count) as measurement:
            parked.start()
        begin = time.perf_counter()
        parked.end()
        end = time.perf_counter() - begin
    return measurement.microseconds_each(**{"end us": end / count * MICROSECONDS})


QUESTION = Question(
    name="local.park",
    text="how long does it take to start 10,000 or 100,000 coroutines that wait?",
    unit="us a coroutine",
    better="less",
    sides=(
        *parking.sides(_ask, Counts(10_000, 10_000, 200), " 10k"),
        *parking.sides(_ask, Counts(100_000, 50_000, 200), " 100k"),
    ),
    targets=tuple(
        Target(f"{name} {many}", f"{peer} {many}")
        for many in ("10k", "100k")
        for name, peer in (
            ("greencoro", "gevent"),
            ("greencoro generators", "pycos"),
            ("greencoro generators", "uvloop"),
            ("greencoro generators", "Erlang"),
        )
    ),
    rounds=Counts(3, 2, 1),
)

if __name__ == "__main__":
    side.main(QUESTION)
