"""Analyses every Python file of a directory, on one server process per CPU, then checks the results.

    python examples/analyse_sources.py [DIR]        (or scripts/demo [DIR])

What to look at: `analyse` and what it uses are plain Python and know nothing of greencoro; `analyse_batch` is the job;
`run_on_servers` is all that it takes to run it elsewhere. Nothing has to be installed or copied to the servers: the
functions, the classes and the constant travel with the job.
"""

from __future__ import annotations

import os
import signal

if __name__ == "__main__":
    # First of all, for Ctrl-C may come at any time; `main` says more about it.
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))

import argparse
import ast
import hashlib
import io
import stat
import sys
import sysconfig
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import greencoro

# ---- What travels to the servers -------------------------------------------------------------------------------------

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Analysis:
    """What was found out about one file."""

    path: str
    sha256: str = ""
    lines: int = 0
    functions: int = 0
    classes: int = 0
    longest_function: str = ""
    longest_function_lines: int = 0
    #: Why the file could not be read or parsed; empty where it could.
    problem: str = ""


def definitions(tree: ast.AST) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    """Every function and class below ``tree`` with its qualified name, such as ``Parser.feed``."""
    # A stack of our own: a file with deep nesting must not depend on how deep the caller is already.
    stack = [("", tree)]
    while stack:
        prefix, node = stack.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, DEFINITIONS):
                yield prefix + child.name, child
                stack.append((f"{prefix}{child.name}.", child))
            else:
                stack.append((prefix, child))


def read_source(path: str) -> bytes:
    """The bytes of a regular file.

    Raises:
        OSError: It cannot be read, or reading it could wait for ever, as with a pipe.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(0, "not a regular file")
    with open(path, "rb") as file:
        return file.read()


def analyse(path: str) -> Analysis:
    """Figures of one Python file; what is wrong with a bad one is part of the result."""
    try:
        source = read_source(path)
    except OSError as error:
        return Analysis(path, problem=f"cannot be read: {error.strerror}")
    digest, lines = hashlib.sha256(source).hexdigest(), len(source.splitlines())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid escapes and the like: not what is asked here
            tree = ast.parse(source)
    except SyntaxError as error:
        where = f" (line {error.lineno})" if error.lineno else ""
        return Analysis(path, digest, lines, problem=f"cannot be parsed: {error.msg}{where}")
    except (ValueError, RecursionError, MemoryError) as error:
        # A zero byte in it, or nesting beyond the parser's limits.
        return Analysis(path, digest, lines, problem=f"cannot be parsed: {type(error).__name__}")
    functions = classes = longest_lines = 0
    longest = ""
    for name, node in definitions(tree):
        if isinstance(node, ast.ClassDef):
            classes += 1
            continue
        functions += 1
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        # The name decides between two of the same length, so that the order of the walk does not.
        if (length, name) > (longest_lines, longest):
            longest_lines, longest = length, name
    return Analysis(path, digest, lines, functions, classes, longest, longest_lines)


class FileDone(NamedTuple):
    """The message about each file, sent while the job goes on."""

    server: greencoro.Location
    lines: int


class Batch(NamedTuple):
    """The result of one job."""

    server: greencoro.Location
    process: int
    seconds: float
    analyses: list[Analysis]


def analyse_batch(paths: list[str], progress: greencoro.Coro, coro: Any = None) -> Batch:
    """The job: runs as a coroutine on a server, while ``progress`` is one in the client."""
    started = time.perf_counter()
    analyses = []
    for path in paths:
        analyses.append(analyse(path))
        progress.send(FileDone(coro.location, analyses[-1].lines))
    return Batch(coro.location, os.getpid(), time.perf_counter() - started, analyses)


# ---- The client ------------------------------------------------------------------------------------------------------

#: Directories that hold other people's or other tools' files.
SKIPPED = {"__pycache__", "site-packages", "dist-packages", "node_modules"}

# Source text in a job. Measured with two CPUs and the standard library (1,790 files, 31 MB): from one file a job to
# 2 MiB a job the run took the same, 3.6 to 3.9 s at best. What differs is the client's CPU time: 0.4 s for 1,763 jobs,
# 0.2 s for the 267 of 128 KiB, 0.12 s for 16. With many CPUs that would be what servers wait for. Where there is less
# source than that for each of them, jobs are smaller: each server should have a few, so that they end together.
BATCH_BYTES = 128 * 1024
JOBS_PER_SERVER = 8

#: The exit code after Ctrl-C, what is said then, and how long the end may take.
INTERRUPTED = 130
LAST_WORDS = "demo: interrupted\n"
LONGEST_END_SECONDS = 1.5

#: Ends the line at which the bar stands, and shows the terminal's cursor again.
SHOW_CURSOR = b"\r\n\x1b[?25h"


class Sources(NamedTuple):
    """The files to analyse with their sizes, largest first, and the directories that could not be listed."""

    files: list[tuple[str, int]]
    unlisted: list[str]


class Run(NamedTuple):
    """What came from the servers: ``results`` are batches, or the exceptions of jobs that failed."""

    servers: list[greencoro.Location]
    batches: list[list[str]]
    results: list[Batch | BaseException]
    messages: dict[greencoro.Location, int]
    ready_seconds: float
    seconds: float


def find_sources(directory: str) -> Sources:
    """Every ``.py`` below ``directory``, but not in hidden and `SKIPPED` directories; links are not followed."""
    files: list[tuple[str, int]] = []
    unlisted: list[OSError] = []
    for where, subdirectories, names in os.walk(directory, onerror=unlisted.append):
        subdirectories[:] = sorted(name for name in subdirectories if name not in SKIPPED and name[0] != ".")
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(where, name)
                files.append((path, os.lstat(path).st_size))
    files.sort(key=lambda file: (-file[1], file[0]))
    return Sources(files, [f"{error.filename}: {error.strerror}" for error in unlisted])


def make_batches(files: list[tuple[str, int]], servers: int) -> list[list[str]]:
    """Cut a list of files with their sizes into one list of paths for each job."""
    batch_bytes = min(BATCH_BYTES, sum(size for _, size in files) // (servers * JOBS_PER_SERVER))
    batches: list[list[str]] = []
    room = 0
    for path, size in files:
        if not batches or size > room:
            batches.append([])
            room = batch_bytes
        batches[-1].append(path)
        room -= size
    return batches


def run_on_servers(batches: list[list[str]], progress: greencoro.Coro) -> tuple[list, list, float]:
    """Run a job for each batch: the servers, a result for each batch, the seconds until the servers were there."""
    started = time.perf_counter()
    with greencoro.LocalCluster() as cluster, greencoro.Computation([analyse_batch]) as computation:
        cluster.wait_for_servers()
        ready_seconds = time.perf_counter() - started
        jobs = greencoro.RemoteCoroScheduler(computation)
        results = jobs.map_results(analyse_batch, [(batch, progress) for batch in batches])
        return computation.servers(), results, ready_seconds


def run_sequentially(paths: Iterable[str]) -> dict[str, Analysis]:
    """The same function for the same files, one after the other in this process."""
    return {path: analyse(path) for path in paths}


def differences(run: Run, expected: dict[str, Analysis]) -> list[str]:
    """A line for every file whose result from the servers is not exactly the expected one."""
    lines = []
    for paths, result in zip(run.batches, run.results, strict=True):
        if isinstance(result, BaseException):
            lines += [f"{path}: no result: {type(result).__name__}: {result}" for path in paths]
        elif [analysis.path for analysis in result.analyses] != paths:
            lines += [f"{path}: its server answered for other files" for path in paths]
        else:
            for found in result.analyses:
                lines += describe_difference(found, expected[found.path])
    return lines


def describe_difference(found: Analysis, expected: Analysis) -> list[str]:
    """One line that names the fields in which two results differ; none where they are equal."""
    if found == expected:
        return []
    pairs = [(each.name, getattr(found, each.name), getattr(expected, each.name)) for each in fields(Analysis)]
    unequal = [f"{name} {ours!r}, sequentially {theirs!r}" for name, ours, theirs in pairs if ours != theirs]
    return [f"{expected.path}: {'; '.join(unequal)}"]


def demonstrate(directory: str) -> int:
    """The whole demonstration for one directory; its exit code."""
    import source_report as report

    # greencoro imports what it is made of when it is first used: now, while nothing has to be ended yet.
    _ = greencoro.Coro, greencoro.LocalCluster, greencoro.Computation, greencoro.RemoteCoroScheduler

    sources = find_sources(os.path.abspath(directory))
    for line in sources.unlisted:
        report.say(f"cannot be listed: {line}")
    if not sources.files:
        report.say(f"demo: there is no Python file in {directory}, so nothing was verified")
        return 0
    paths = sorted(path for path, _ in sources.files)
    for path in paths:
        warm_up(path)

    signal.signal(signal.SIGINT, end_in_order)
    progress = greencoro.Coro(report.follow, len(paths))
    started = time.perf_counter()
    try:
        batches = make_batches(sources.files, servers=len(os.sched_getaffinity(0)))
        servers, results, ready_seconds = run_on_servers(batches, progress)
        seconds = time.perf_counter() - started
    finally:
        # What the servers sent came before their results, so this is the last message.
        progress.send(None)
        messages = progress.value()
    run = Run(servers, batches, results, messages, ready_seconds, seconds)
    report.show(run, directory)

    report.say("checking every result against a sequential run ...")
    started = time.perf_counter()
    expected = run_sequentially(paths)
    sequential_seconds = time.perf_counter() - started
    wrong = differences(run, expected)
    for line in wrong:
        report.say(f"differs: {line}")
    verdict = f"results that differ from the sequential run: {len(wrong)}" if wrong else "all results verified"
    report.say(
        f"demo: {len(paths)} files on {len(servers)} servers, {verdict}, "
        f"{seconds:.1f} s (sequential {sequential_seconds:.1f} s)"
    )
    return 1 if wrong else 0


def warm_up(path: str) -> None:
    """Read a file so that neither run pays for the disk; what cannot be read is found out later."""
    try:
        read_source(path)
    except OSError:
        return


def end_at_once(number: int, frame: object) -> None:
    """Ctrl-C while there is nothing to end in order. In the middle of an import, an exception could get lost."""
    os.write(2, LAST_WORDS.encode())
    os._exit(INTERRUPTED)


def end_in_order(number: int, frame: object) -> None:
    """Ctrl-C while there are servers. A second one changes nothing: what takes too long is cut off without it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The servers end in any case, because their daemon notices that this process is gone.
    signal.signal(signal.SIGALRM, cut_off)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_END_SECONDS)
    raise KeyboardInterrupt


def cut_off(number: int, frame: object) -> None:
    """The end in order takes too long, or got lost."""
    if os.isatty(1):
        os.write(1, SHOW_CURSOR)  # the bar, which hides it, may stand there yet
    end_at_once(number, frame)


def say_interrupted() -> None:
    """Say what `cut_off` says where it comes first; what follows here has the rest of the time."""
    seconds_left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    print(LAST_WORDS, end="", file=sys.stderr, flush=True)
    signal.signal(signal.SIGALRM, lambda number, frame: os._exit(INTERRUPTED))
    signal.setitimer(signal.ITIMER_REAL, max(seconds_left, 0.01))


def main(arguments: list[str] | None = None) -> int:
    """The program; its exit code."""
    parser = argparse.ArgumentParser(
        prog="demo",
        description="Analyses every Python file of a directory on one server process per CPU that this process may "
        "use, and checks the results against a sequential run of the same function.",
        epilog="The last line is `demo: N files on S servers, all results verified, T s (sequential T1 s)`. T includes "
        "the start of the server processes and shipping the code to them; T1 is the sequential run in this process. "
        "All files are read once before both. Exit code: 0; 1 where a result differs; 2 where there is no such "
        "directory; 130 after Ctrl-C.",
    )
    parser.add_argument(
        "directory",
        nargs="?",
        metavar="DIR",
        default=sysconfig.get_paths()["stdlib"],
        help="a directory with Python files (default: this interpreter's standard library); in it, hidden directories "
        f"and {', '.join(sorted(SKIPPED))} are left out",
    )
    directory = parser.parse_args(arguments).directory
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may hold what the terminal cannot show
    if not os.path.isdir(directory):
        what = "is not a directory" if os.path.exists(directory) else "does not exist"
        print(f"demo: {greencoro.log.escape(directory)} {what}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGINT, end_at_once)
    try:
        return demonstrate(directory)
    except KeyboardInterrupt:
        say_interrupted()
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough. What is still buffered must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (greencoro.GreencoroError, OSError) as error:
        print(f"demo: {type(error).__name__}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
