"""What analyse_sources.py prints: its progress and its report."""

import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from greencoro.log import escape

#: Between two refreshes of the bar, and between two lines where there is no terminal.
BAR_SECONDS = 0.1
LINE_SECONDS = 2.0

LARGEST = 10

Show = Callable[[int, int], None]


def say(line: str) -> None:
    """Print one line at once, whatever characters a file name in it has."""
    print(escape(line, None), flush=True)


def follow(total: int, coro: Any = None) -> Counter:
    """A coroutine that shows each file done; ``None`` ends it, its value is the number of messages by server."""
    messages: Counter = Counter()
    lines = 0
    with (_bar if is_terminal() else _lines)(total) as show:
        while (done := coro.receive()) is not None:
            messages[done.server] += 1
            lines += done.lines
            show(messages.total(), lines)
    return messages


def is_terminal() -> bool:
    """Whether standard output can show a bar that is drawn over and over."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


@contextlib.contextmanager
def _bar(total: int) -> Iterator[Show]:
    columns = (TextColumn("analysing"), BarColumn(), MofNCompleteColumn(), TextColumn("files,"))
    figures = TextColumn("{task.fields[lines]:,} lines")
    # Drawn by this coroutine: rich's own way is a thread that wakes up however little there is to show.
    with Progress(*columns, figures, TimeElapsedColumn(), console=_console(), auto_refresh=False) as progress:
        task = progress.add_task("", total=total, lines=0)
        progress.refresh()
        next_at = 0.0

        def show(files: int, lines: int) -> None:
            nonlocal next_at
            progress.update(task, completed=files, lines=lines)
            now = time.monotonic()
            if now >= next_at or files == total:
                next_at = now + BAR_SECONDS
                progress.refresh()

        yield show


@contextlib.contextmanager
def _lines(total: int) -> Iterator[Show]:
    next_at = time.monotonic() + LINE_SECONDS

    def show(files: int, lines: int) -> None:
        nonlocal next_at
        now = time.monotonic()
        if now >= next_at:
            next_at = now + LINE_SECONDS
            with contextlib.suppress(BrokenPipeError):  # where nobody reads any more the program itself finds out
                say(f"{files} of {total} files, {lines:,} lines")

    yield show


def show(run: Any, directory: str) -> None:
    """Print the report on a `Run`: largest modules, figures of each server, files that are bad."""
    batches = [result for result in run.results if not isinstance(result, BaseException)]
    analyses = [analysis for batch in batches for analysis in batch.analyses]
    root = os.path.abspath(directory)
    console = _console()
    console.print(_largest_modules(analyses, root))
    console.print(_servers(run, batches))
    bad = sorted((analysis.path, analysis.problem) for analysis in analyses if analysis.problem)
    if bad:
        say(f"{len(bad)} of the files could not be analysed:")
    for path, problem in bad:
        say(f"  {os.path.relpath(path, root)}: {problem}")
    say(f"servers ready after {run.ready_seconds:.1f} s, last result after {run.seconds:.1f} s")


def _largest_modules(analyses: list, root: str) -> Table:
    largest = sorted(analyses, key=lambda analysis: (-analysis.lines, analysis.path))[:LARGEST]
    table = _table(f"The largest modules of {escape(root, None)}", "module", "lines", "functions", "classes")
    table.add_column("longest function", overflow="fold")
    table.add_column("its lines", justify="right")
    table.add_column("SHA-256")
    for each in largest:
        longest = str(each.longest_function_lines) if each.longest_function else ""
        figures = [f"{number:,}" for number in (each.lines, each.functions, each.classes)]
        module = escape(os.path.relpath(each.path, root), None)
        table.add_row(module, *figures, each.longest_function, longest, each.sha256[:12])
    return table


def _servers(run: Any, batches: list) -> Table:
    headings = ("process", "jobs", "files", "lines", "functions", "messages", "seconds in jobs")
    table = _table("The servers", "server", *headings)
    for server in sorted({*run.servers, *(batch.server for batch in batches)}):
        mine = [batch for batch in batches if batch.server == server]
        analyses = [analysis for batch in mine for analysis in batch.analyses]
        numbers = (
            len(mine),
            len(analyses),
            sum(analysis.lines for analysis in analyses),
            sum(analysis.functions for analysis in analyses),
            run.messages[server],
        )
        process = str(mine[0].process) if mine else ""
        seconds = f"{sum(batch.seconds for batch in mine):.2f}"
        table.add_row(str(server), process, *(f"{number:,}" for number in numbers), seconds)
    return table


def _table(title: str, first: str, *numbers: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first, overflow="fold")
    for heading in numbers:
        table.add_column(heading, justify="right")
    return table


def _console() -> Console:
    # Without a terminal there is no width to keep to, and rich's guess of 80 would break lines for nothing.
    width = None if sys.stdout.isatty() else 132
    return Console(width=width, markup=False, highlight=False, emoji=False)
