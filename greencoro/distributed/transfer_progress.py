"""Telling the caller of a transfer how far it is, in the caller's own thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Progress", "shown"]

#: Called with the bytes that have arrived, and all there are.
Progress = Callable[[int, int], object]


@contextmanager
def shown(progress: Progress | bool | None, title: str) -> Iterator[Progress | None]:
    """What to call now and then; None where nobody wants to know.

    Args:
        progress: A function of the caller's; True for a bar on standard error.
    """
    if progress is not True:
        yield progress or None
        return
    # Those who do not ask for a bar should not wait for its import.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    # No thread of its own: it is drawn when there is something new.
    bars = Bars(*columns, console=Console(stderr=True), auto_refresh=False)
    task = bars.add_task(title, total=None)
    begun = False

    def draw(done: int, total: int) -> None:
        nonlocal begun
        bars.update(task, completed=done, total=total)
        # Not for a file that is there already, of which nothing is sent.
        if not begun and (done or not total):
            begun = True
            bars.start()
        if begun:
            bars.refresh()

    try:
        yield draw
    finally:
        if begun:
            bars.stop()
