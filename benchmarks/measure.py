"""Wall time and CPU time of a whole system of processes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping

import psutil

from benchmarks.question import Sample

MICROSECONDS = 1e6


def cpu_seconds() -> float:
    """CPU time so far of this process and all its descendants, those that ended and were waited for included.

    The kernel counts another process's time in steps of 10 ms: what is measured should take much longer.
    """
    total = 0.0
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])  # user, system, and both of the children it waited for
    return total


class Measurement:
    """What a measured stretch took.

    Attributes:
        seconds: Wall time.

        cpu_seconds: CPU time of this process and its descendants.
    """

    def __init__(self, operations: int) -> None:
        self.operations = operations
        self.seconds = 0.0
        self.cpu_seconds = 0.0

    def rate(self, **others: float) -> Sample:
        """Operations a second."""
        return self.sample(self.operations / self.seconds, others)

    def microseconds_each(self, **others: float) -> Sample:
        """Wall time an operation."""
        return self.sample(self.seconds / self.operations * MICROSECONDS, others)

    def sample(self, figure: float, others: Mapping[str, float]) -> Sample:
        """A figure of the caller's own, with the CPU time of this stretch."""
        return Sample(figure, self.cpu_seconds / self.operations * MICROSECONDS, self.operations, dict(others))


@contextlib.contextmanager
def measured(operations: int) -> Iterator[Measurement]:
    """Measure the body of the ``with`` statement, which does so many operations."""
    measurement = Measurement(operations)
    cpu_before = cpu_seconds()
    begin = time.perf_counter()
    yield measurement
    measurement.seconds = time.perf_counter() - begin
    measurement.cpu_seconds = cpu_seconds() - cpu_before
