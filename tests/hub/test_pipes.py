"""AsyncPipe: talking to programs."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from greencoro import ClosedResource, Coro, CoroTerminated, DeadlineExceeded, sleep
from greencoro.hub.files import AsyncFile
from greencoro.hub.pipes import AsyncPipe
from tests.support.polling import poll_until

from .places import everywhere, from_coroutine

# Copies stdin to stdout and, upside down, to stderr, in pieces and at once, as a program does that needs both read.
BOTH = """
import os
while piece := os.read(0, 100_000):
    for fd, data in ((1, piece), (2, piece[::-1])):
        while data:
            data = data[os.write(fd, data):]
"""


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a program; what is left of it at the end of the test is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*args: str, **kwargs: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(args, **kwargs)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for file in (process.stdin, process.stdout, process.stderr):
            if file is not None:
                file.close()


Start = Callable[..., "subprocess.Popen[bytes]"]


@everywhere
def test_megabytes_go_both_ways_and_to_stderr(place: Callable[[Callable[[], Any]], Any], start: Start) -> None:
    data = os.urandom(1 << 20) * 3
    process = start(sys.executable, "-c", BOTH, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    out, err = place(lambda: AsyncPipe(process).communicate(data, timeout=20))
    assert out == data
    assert err is not None and len(err) == len(data)
    assert process.returncode == 0


@everywhere
def test_a_chain_of_three_programs_is_one_pipe(place: Callable[[Callable[[], Any]], Any], start: Start) -> None:
    def use() -> Any:
        cat = start("cat", stdin=PIPE, stdout=PIPE)
        grep = start("grep", "o", stdin=cat.stdout, stdout=PIPE)
        wc = start("wc", "-l", stdin=grep.stdout, stdout=PIPE)
        assert grep.stdout is not None
        grep.stdout.close()
        return AsyncPipe(cat, wc).communicate("one\ntwo\nthree\nfour\n")

    assert place(use) == (b"3\n", None)


@everywhere
def test_lines_are_asked_and_answered_in_turn(place: Callable[[Callable[[], Any]], Any], start: Start) -> None:
    program = "import sys\nfor line in sys.stdin: print(line.upper(), end='', flush=True); print('!', file=sys.stderr)"

    def use() -> None:
        with AsyncPipe(start(sys.executable, "-c", program, stdin=PIPE, stdout=PIPE, stderr=PIPE)) as pipe:
            for line in (b"one\n", b"two\n"):
                assert pipe.write(line, full=True) == 4
                assert pipe.readline(timeout=10) == line.upper()
                assert pipe.readline_stderr() == b"!\n"
            with pytest.raises(DeadlineExceeded):
                pipe.read(10, timeout=0.01)
            assert pipe.poll() is None
            assert pipe.stdin is not None
            pipe.stdin.close()
            assert list(pipe) == []
            assert pipe.read_stderr() == b""
            assert pipe.wait(10) == 0

    place(use)


def test_the_first_program_hears_that_the_last_one_reads_no_more(start: Start) -> None:
    yes = start("yes", stdout=PIPE)
    head = start("head", "-n", "2", stdin=yes.stdout, stdout=PIPE)
    pipe = AsyncPipe(yes, head)
    assert pipe.communicate(timeout=10) == (b"y\ny\n", None)
    assert yes.wait(10) != 0  # ended by the broken pipe


def test_two_programs_that_only_we_connect_keep_their_pipes(start: Start) -> None:
    first = start("echo", "word", stdout=PIPE)
    last = start("cat", stdin=PIPE, stdout=PIPE)
    AsyncPipe(first, last)
    assert first.stdout is not None and first.stdout.read() == b"word\n"


def test_a_program_that_wants_only_the_beginning_is_no_error(start: Start) -> None:
    pipe = AsyncPipe(start("head", "-n", "1", stdin=PIPE, stdout=PIPE))
    assert pipe.communicate(b"line\n" * 1_000_000, timeout=20) == (b"line\n", None)
    assert pipe.returncode == 0


def test_a_write_to_a_program_that_is_over_breaks(start: Start) -> None:
    pipe = AsyncPipe(start("true", stdin=PIPE))
    assert pipe.wait(10) == 0
    with pytest.raises(BrokenPipeError):
        pipe.write(b"x")


def test_output_without_any_newline_comes_whole(start: Start) -> None:
    pipe = AsyncPipe(start("head", "-c", "3000000", "/dev/zero", stdout=PIPE))
    assert from_coroutine(pipe.readline) == bytes(3_000_000)


@everywhere
def test_the_signal_that_killed_a_program_is_its_status(
    place: Callable[[Callable[[], Any]], Any], start: Start
) -> None:
    pipe = AsyncPipe(start("sh", "-c", "kill -9 $$", stdout=PIPE))
    assert place(pipe.communicate) == (b"", None)
    assert pipe.poll() == pipe.wait() == -9


@pytest.mark.parametrize("kind", ["bytes", "text", "file", "text file", "AsyncFile", "pipe"])
def test_input_of_every_kind_is_sent_and_closed(kind: str, start: Start, tmp_path: Path) -> None:
    data = b"line\n" * 50_000
    path = tmp_path / "input"
    path.write_bytes(data)
    files: list[Any] = []

    def make() -> Any:
        if kind == "bytes":
            return bytearray(data)
        if kind == "text":
            return data.decode()
        if kind == "pipe":
            process = start("cat", str(path), stdout=PIPE)
            files.append(process.stdout)
        else:
            file = path.open("r" if kind == "text file" else "rb")
            files.append(AsyncFile(file) if kind == "AsyncFile" else file)
        return files[0]

    pipe = AsyncPipe(start("cat", stdin=PIPE, stdout=PIPE))
    assert from_coroutine(lambda: pipe.communicate(make())) == (data, None)
    assert all(file.closed for file in files)


def test_input_that_never_ends_is_no_matter_once_the_program_is_over(start: Start) -> None:
    r, w = os.pipe()
    os.write(w, b"one\ntwo\n")
    pipe = AsyncPipe(start("head", "-n", "1", stdin=PIPE, stdout=PIPE))
    source = AsyncFile(r)
    assert pipe.communicate(source, timeout=10) == (b"one\n", None)
    assert source.closed
    os.close(w)


def test_input_that_cannot_be_read_ends_the_program_and_is_raised(start: Start) -> None:
    pipe = AsyncPipe(start("cat", stdin=PIPE, stdout=PIPE))
    with pytest.raises(IsADirectoryError), (closed := AsyncFile(os.open(os.devnull, os.O_RDONLY))):
        closed._descriptor.read = _fail  # type: ignore[method-assign]
        pipe.communicate(closed, timeout=10)
    assert pipe.poll() == 0


def _fail(size: int, deadline: float | None) -> bytes:
    raise IsADirectoryError("no bytes here")


@everywhere
def test_what_was_not_over_in_time_goes_on_at_the_next_call(
    place: Callable[[Callable[[], Any]], Any], start: Start, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    program = f"echo beginning; while [ ! -e {go} ]; do sleep 0.01; done; cat; echo end"
    pipe = AsyncPipe(start("sh", "-c", program, stdin=PIPE, stdout=PIPE))
    data = b"x" * 500_000

    def late() -> None:
        with pytest.raises(DeadlineExceeded):
            pipe.communicate(data, timeout=0.05)
        with pytest.raises(ValueError, match="without any"):
            pipe.communicate(b"more")
        with pytest.raises(DeadlineExceeded):
            pipe.communicate(timeout=0)

    place(late)
    go.touch()
    expected = (b"beginning\n" + data + b"end\n", None)
    assert place(lambda: pipe.communicate(timeout=20)) == expected
    assert pipe.communicate() == expected
    with pytest.raises(ClosedResource):
        pipe.communicate(b"more")


def test_output_that_was_complete_is_kept_though_the_program_was_not_over(start: Start) -> None:
    pipe = AsyncPipe(start("sh", "-c", "echo out; exec >&-; exec sleep 1000", stdout=PIPE))
    poll_until(lambda: os.path.exists(f"/proc/{pipe.pid}/fd/1") is False)
    with pytest.raises(DeadlineExceeded):
        pipe.communicate(timeout=0.05)
    pipe.kill()
    assert pipe.communicate(timeout=10) == (b"out\n", None)


def test_a_coroutine_that_communicates_can_be_terminated_and_another_goes_on(start: Start) -> None:
    process = start(sys.executable, "-c", BOTH, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    pipe = AsyncPipe(process)
    r, w = os.pipe()
    coro = Coro(pipe.communicate, AsyncFile(r))
    os.write(w, b"first ")
    poll_until(lambda: pipe.stdout is not None and len(pipe.stdout._unread) == 6)
    coro.terminate()
    with pytest.raises(CoroTerminated):
        coro.value(10)
    os.write(w, b"second")
    os.close(w)
    assert pipe.communicate(timeout=10) == (b"first second", b" tsrifdnoces")


def test_closing_ends_a_wait_and_leaves_the_program_alone(start: Start) -> None:
    pipe = AsyncPipe(start("sleep", "1000", stdout=PIPE))
    coro = Coro(pipe.readline)
    poll_until(lambda: pipe.stdout._descriptor._readiness._wakers)  # type: ignore[union-attr, attr-defined]
    pipe.close()
    with pytest.raises(ClosedResource):
        coro.value(10)
    assert pipe.poll() is None


@everywhere
def test_a_program_is_waited_for_while_others_run(place: Callable[[Callable[[], Any]], Any], start: Start) -> None:
    pipe = AsyncPipe(start("cat", stdin=PIPE))

    def use() -> None:
        with pytest.raises(DeadlineExceeded):
            pipe.wait(0)
        with pytest.raises(DeadlineExceeded):
            pipe.wait(0.01)
        Coro(lambda: (sleep(0.02), pipe.stdin and pipe.stdin.close()))
        assert pipe.wait(10) == 0

    place(use)


def test_what_was_not_piped_cannot_be_used(start: Start) -> None:
    pipe = AsyncPipe(start("true"))
    assert (pipe.stdin, pipe.stdout, pipe.stderr) == (None, None, None)
    for call in (pipe.read, pipe.readline, pipe.read_stderr, pipe.readline_stderr, lambda: pipe.write(b"x")):
        with pytest.raises(ValueError, match="=PIPE"):
            call()
    with pytest.raises(ValueError, match="=PIPE"):
        pipe.communicate(b"x")
    with pytest.raises(TypeError):
        pipe.communicate(timeout="1")  # type: ignore[arg-type]
    assert pipe.communicate(timeout=10) == (None, None)


@pytest.mark.parametrize("wrong", [None, 5, "cat", object()])
def test_only_processes_are_taken(wrong: Any, start: Start) -> None:
    with pytest.raises(TypeError, match="Popen"):
        AsyncPipe(wrong)
    with pytest.raises(TypeError, match="Popen"):
        AsyncPipe(start("true"), wrong or 5)


def test_what_a_pipe_has_not_itself_is_of_the_last_program(start: Start) -> None:
    first = start("cat", stdin=PIPE, stdout=PIPE)
    last = start("cat", stdin=first.stdout)
    pipe = AsyncPipe(first, last)
    assert pipe.pid == last.pid and str(first.pid) in repr(pipe) and str(last.pid) in repr(pipe)
    with pytest.raises(AttributeError):
        pipe.nothing  # noqa: B018
    pipe.terminate()
    assert pipe.wait(10) == -15
    pipe.close()
    assert first.wait(10) == 0


def test_input_that_is_none_is_refused_and_nothing_is_sent(start: Start) -> None:
    pipe = AsyncPipe(start("cat", stdin=PIPE, stdout=PIPE))
    for wrong in (5, 1.5, ["line"], object()):
        with pytest.raises(TypeError, match=r"communicate\(\) takes bytes, text, an open file or an AsyncFile, not"):
            pipe.communicate(wrong)
    assert pipe.communicate(b"right", timeout=10) == (b"right", None)


def test_what_was_closed_says_so_in_one_way(start: Start) -> None:
    pipe = AsyncPipe(start("cat", stdin=PIPE, stdout=PIPE))
    pipe.close()
    calls = (
        pipe.read,
        pipe.readline,
        lambda: pipe.write(b"x"),
        lambda: pipe.communicate(b"x"),
        lambda: next(iter(pipe)),
    )
    for call in calls:
        with pytest.raises(ClosedResource, match=r"^AsyncFile of descriptor \d+ was closed here$"):
            call()


@pytest.mark.parametrize(("size", "error"), [(-2, ValueError), ("1", TypeError), (None, TypeError)])
def test_a_size_that_cannot_be_is_refused(size: Any, error: type[Exception], start: Start) -> None:
    pipe = AsyncPipe(start("cat", stdin=PIPE, stdout=PIPE, stderr=PIPE))
    for call in (pipe.read, pipe.readline, pipe.read_stderr, pipe.readline_stderr):
        with pytest.raises(error, match=r"takes a number of bytes"):
            call(size)
    pipe.close()
