import contextlib
import mmap
import os
from types import SimpleNamespace

import pytest

from benchmarks.local import memory
from benchmarks.local.parking import Parking

COUNT = 1000
SIZE = 4 * mmap.PAGESIZE


@contextlib.contextmanager
def four_pages_each(count):
    """In place of coroutines: blocks of memory that come from the system and go back to it, each a map of its own."""
    blocks = []

    def start():
        for _ in range(count):
            blocks.append(mmap.mmap(-1, SIZE))
            blocks[-1].write(b"x" * SIZE)

    def end():
        for each in blocks:
            each.close()

    yield Parking(start, end, os.getpid())


def test_the_figure_is_what_the_process_has_grown_by_for_each():
    sample = memory._ask(four_pages_each, COUNT)
    assert sample.figure == pytest.approx(SIZE / 1000, rel=0.1)
    assert sample.operations == COUNT
    assert sample.others["KB left"] < 2
    assert sample.others["maps"] == pytest.approx(COUNT, abs=50)
    assert sample.others["maps left"] < 50


def test_more_than_fits_into_memory_is_refused_with_the_figures(monkeypatch):
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=1_000_000))
    with pytest.raises(SystemExit, match=r"1,000,000 coroutines may need 13 GB; 0\.0 are available"):
        memory._ask(four_pages_each, 1_000_000)
