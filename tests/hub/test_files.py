"""AsyncFile on pipes, sockets and terminals; regular files are in test_files_on_disk.py."""

import io
import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from greencoro import BusyResource, ClosedResource, Coro, CoroTerminated, DeadlineExceeded, sleep
from greencoro.hub import descriptors
from greencoro.hub.files import AsyncFile
from greencoro.hub.sockets import AsyncSocket
from tests.support.polling import poll_until

from .places import everywhere, from_coroutine

Ends = tuple[AsyncFile, AsyncFile]


@pytest.fixture
def pipe() -> Iterator[Ends]:
    """The end to read from, and the one to write to."""
    r, w = os.pipe()
    with AsyncFile(r) as reader, AsyncFile(w) as writer:
        yield reader, writer


def waits(file: AsyncFile) -> bool:
    return bool(file._descriptor._readiness._wakers)  # type: ignore[attr-defined]


def ends_of(coro: Coro) -> Any:
    try:
        return coro.value(10)
    except BaseException as error:
        return type(error)


@everywhere
def test_lines_come_whole_however_they_were_written(place: Callable[[Callable[[], Any]], Any], pipe: Ends) -> None:
    reader, writer = pipe

    def write() -> None:
        for piece in (b"on", b"e\ntwo\nth", b"ree\n", b"rest"):
            assert writer.write(piece) == len(piece)
            sleep(0.001)
        writer.close()

    coro = Coro(write)
    assert place(lambda: list(reader)) == [b"one\n", b"two\n", b"three\n", b"rest"]
    assert reader.readline() == b""
    coro.value(10)


@everywhere
def test_megabytes_pass_a_pipe_with_a_reader_at_its_other_end(
    place: Callable[[Callable[[], Any]], Any], pipe: Ends
) -> None:
    reader, writer = pipe
    data = os.urandom(1 << 20) * 3
    coro = Coro(reader.read)
    assert place(lambda: writer.write(data, full=True)) == len(data)
    writer.close()
    assert coro.value(10) == data


def test_a_read_gives_what_is_there_and_a_full_one_waits_for_all(pipe: Ends) -> None:
    reader, writer = pipe
    writer.write(b"abcdef")
    assert reader.read(4) == b"abcd"
    assert reader.read(4) == b"ef"
    coro = Coro(reader.read, 4, full=True)
    for piece in (b"gh", b"ij", b"kl"):
        writer.write(piece)
        sleep(0.001)
    assert coro.value(10) == b"ghij"
    writer.close()
    assert reader.read(10, full=True) == b"kl"
    assert reader.read(10, full=True) == b""
    assert reader.read(10) == b""
    assert reader.read() == b""


def test_a_line_longer_than_any_buffer_and_lines_cut_at_a_size(pipe: Ends) -> None:
    reader, writer = pipe
    long = b"x" * 1_000_000 + b"\n"
    coro = Coro(writer.write, long + b"second\nthird", full=True)
    assert reader.readline() == long
    assert coro.value(10) == len(long) + 12
    assert reader.readline(4) == b"seco"
    assert reader.readline(100) == b"nd\n"
    writer.close()
    assert reader.readline(5) == b"third"
    assert reader.readline(5) == b""


@pytest.mark.parametrize(
    "read",
    [
        lambda file, timeout: file.readline(timeout=timeout),
        lambda file, timeout: file.read(timeout=timeout),
        lambda file, timeout: file.read(100, full=True, timeout=timeout),
    ],
    ids=["readline", "read", "read full"],
)
@everywhere
def test_a_read_that_was_too_late_loses_nothing(
    place: Callable[[Callable[[], Any]], Any], read: Callable[..., bytes], pipe: Ends
) -> None:
    reader, writer = pipe
    writer.write(b"the beginning")

    def late() -> bool:
        for timeout in (0, 0.01):
            with pytest.raises(DeadlineExceeded):
                read(reader, timeout)
        return True

    assert place(late)
    writer.write(b" and the end\n")
    writer.close()
    assert reader.read() == b"the beginning and the end\n"


def test_what_had_come_can_be_had_after_the_time_was_over(pipe: Ends) -> None:
    reader, writer = pipe
    writer.write(b"part")
    with pytest.raises(TimeoutError):
        reader.readline(timeout=0)
    assert reader.read(1000, timeout=0) == b"part"
    with pytest.raises(TimeoutError):
        reader.read(1000, timeout=0)


def test_a_reader_that_was_terminated_loses_nothing(pipe: Ends) -> None:
    reader, writer = pipe
    writer.write(b"the beginning")
    coro = Coro(reader.readline)
    poll_until(lambda: waits(reader))
    coro.terminate()
    assert ends_of(coro) is CoroTerminated
    writer.write(b" and the end\n")
    assert reader.readline() == b"the beginning and the end\n"


@everywhere
def test_a_write_says_how_much_was_written_when_the_time_was_over(
    place: Callable[[Callable[[], Any]], Any], pipe: Ends
) -> None:
    reader, writer = pipe
    data = os.urandom(1 << 20)
    written = place(lambda: writer.write(data, full=True, timeout=0.01))
    assert 0 < written < len(data)
    assert place(lambda: writer.write(data, timeout=0)) == 0
    assert place(lambda: writer.write(b"", full=True, timeout=0)) == 0
    writer.close()
    assert reader.read() == data[:written]


def test_a_write_without_full_is_one_write_of_the_system(pipe: Ends) -> None:
    _, writer = pipe
    assert 0 < writer.write(memoryview(bytes(1 << 20))) < 1 << 20


@everywhere
def test_closing_ends_a_wait_wherever_it_is(place: Callable[[Callable[[], Any]], Any], pipe: Ends) -> None:
    reader, _ = pipe

    def close() -> None:
        poll_until(lambda: waits(reader))
        reader.close()

    closer = threading.Thread(target=close)
    closer.start()

    def read() -> bool:
        with pytest.raises(ClosedResource, match=r"^AsyncFile of descriptor \d+ was closed here$"):
            reader.read()
        return True

    assert place(read)
    closer.join(10)


def test_a_descriptor_is_closed_only_when_those_who_wait_for_it_have_let_go(pipe: Ends) -> None:
    reader, _ = pipe
    number = reader.fileno()

    def close() -> None:
        coro = Coro(reader.read)
        sleep(0.001)
        assert waits(reader)
        reader.close()
        # The reader had no turn yet. Its number must not belong to another file while it is still about to use it.
        os.fstat(number)
        with pytest.raises(ClosedResource):
            coro.value(10)
        with pytest.raises(OSError):
            os.fstat(number)

    from_coroutine(close)


def test_what_is_closed_says_so(pipe: Ends) -> None:
    reader, writer = pipe
    reader.close()
    reader.close()
    assert reader.closed and "closed" in repr(reader)
    for call in (reader.read, reader.readline, reader.fileno, lambda: reader.write(b"x"), lambda: next(reader)):
        with pytest.raises(ClosedResource, match=r"^AsyncFile of descriptor \d+ was closed here$"):
            call()
    with pytest.raises(BrokenPipeError):
        writer.write(b"x")


def test_a_second_reader_is_refused_and_the_first_goes_on(pipe: Ends) -> None:
    reader, writer = pipe
    coro = Coro(reader.readline)
    poll_until(lambda: waits(reader))
    with pytest.raises(BusyResource):
        reader.read(1)
    writer.write(b"line\n")
    assert coro.value(10) == b"line\n"


def test_the_wrong_direction_is_refused(pipe: Ends) -> None:
    reader, writer = pipe
    with pytest.raises(io.UnsupportedOperation, match="writing"):
        reader.write(b"x")
    with pytest.raises(io.UnsupportedOperation, match="reading"):
        writer.read(1)
    writer.write(b"x")
    assert reader.read(1) == b"x"


@everywhere
def test_a_socket_is_read_and_written_at_once(place: Callable[[Callable[[], Any]], Any]) -> None:
    ours, theirs = socket.socketpair()
    with AsyncFile(ours) as file, theirs:
        coro = Coro(file.readline)
        poll_until(lambda: waits(file))
        assert place(lambda: file.write(b"question\n", full=True)) == 9
        assert theirs.recv(100) == b"question\n"
        theirs.sendall(b"answer\n")
        assert coro.value(10) == b"answer\n"
    assert ours.fileno() == -1


@everywhere
def test_an_AsyncSocket_goes_on_as_a_file(place: Callable[[Callable[[], Any]], Any]) -> None:
    ours, theirs = socket.socketpair()
    sock = AsyncSocket(ours)
    theirs.sendall(b"headline\nand\nmore")

    def talk() -> None:
        assert sock.recvall(4) == b"head"
        with AsyncFile(sock) as file:
            assert file.readline() == b"line\n"
            with pytest.raises(DeadlineExceeded):
                file.read(timeout=0)
            with pytest.raises(DeadlineExceeded):
                file.read(timeout=0.01)
            assert file.write(b"answer", full=True) == 6
            theirs.shutdown(socket.SHUT_WR)
            assert file.read() == b"and\nmore"
            count = file.write(bytes(10_000_000), full=True, timeout=0.01)
            assert 0 < count < 10_000_000
            assert file.write(b"x", timeout=0) == 0

    place(talk)
    assert theirs.recv(6) == b"answer"
    with pytest.raises(ClosedResource):
        sock.recv(1)
    theirs.close()


def test_an_AsyncSocket_that_waits_as_a_file_can_be_closed() -> None:
    ours, theirs = socket.socketpair()
    file = AsyncFile(AsyncSocket(ours))
    coro = Coro(file.readline)
    poll_until(lambda: file._descriptor._endpoint.readiness._wakers)  # type: ignore[attr-defined]
    file.close()
    for read in (lambda: coro.value(10), file.readline):
        with pytest.raises(ClosedResource, match=r"^AsyncFile of descriptor \d+ was closed here$"):
            read()
    assert theirs.recv(1) == b""
    theirs.close()


def test_a_fast_neighbour_keeps_no_coroutine_from_running(pipe: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, _ = pipe
    monkeypatch.setattr(descriptors.os, "read", lambda fd, size: b"line\n")
    turns: list[int] = []

    def read() -> None:
        for number in range(1000):
            assert reader.readline() == b"line\n"
            reader._unread.clear()
            turns.append(number)

    def other() -> int:
        coro = Coro(read)
        sleep(0)
        sleep(0)
        seen = len(turns)
        coro.value(10)
        return seen

    assert 0 < from_coroutine(other) < 1000


def test_what_a_file_object_has_read_ahead_comes_first() -> None:
    r, w = os.pipe()
    os.write(w, b"first\nsecond\nthi")
    binary = os.fdopen(r, "rb")
    assert binary.readline() == b"first\n"
    with AsyncFile(binary) as file:
        os.write(w, b"rd\n")
        os.close(w)
        assert list(file) == [b"second\n", b"third\n"]
    assert binary.closed


def test_a_file_object_without_anything_read_ahead_is_not_read_from() -> None:
    r, w = os.pipe()
    os.write(w, b"data")
    with os.fdopen(r, "rb") as binary, os.fdopen(os.dup(r), "rb", buffering=0) as raw:
        AsyncFile(binary)
        assert os.read(r, 100) == b"data"
        # What kept it from being read is gone.
        os.write(w, b"more")
        assert binary.read(4) == b"more"
        os.write(w, b"raw")
        assert AsyncFile(raw).read(3) == b"raw"
    os.close(w)


def test_the_bytes_below_a_text_file_can_be_had_unless_part_of_it_is_decoded_already() -> None:
    r, w = os.pipe()
    os.write(w, "zwölf\n".encode())
    with os.fdopen(r, "r") as text:
        file = AsyncFile.below(text)
        assert file.read(100) == "zwölf\n".encode()
        os.write(w, b"a\nb\n")
        assert text.readline() == "a\n"
        with pytest.raises(ValueError, match="read as text"):
            AsyncFile.below(text)
    os.close(w)


def test_a_file_object_with_unwritten_data_is_refused_until_it_is_flushed() -> None:
    r, w = os.pipe()
    with os.fdopen(w, "w") as text:
        text.write("before ")
        with pytest.raises(ValueError, match="flush"):
            AsyncFile.below(text)
        assert os.get_blocking(w)
        text.flush()
        AsyncFile.below(text).write(b"after")
        assert os.read(r, 100) == b"before after"
    os.close(r)


@pytest.mark.parametrize("wrong", [None, "name", 1.5, True, {}, object()])
def test_only_open_files_are_taken(wrong: Any) -> None:
    with pytest.raises(TypeError, match="AsyncFile"):
        AsyncFile(wrong)


def test_what_has_no_open_descriptor_is_refused(tmp_path: Path, pipe: Ends) -> None:
    with pytest.raises(TypeError):
        AsyncFile(pipe[0])
    closed = os.fdopen(os.dup(0), "rb")
    closed.close()
    directory = os.open(tmp_path, os.O_RDONLY)
    for wrong in (io.BytesIO(b"x"), closed, -1, 10**6, 2**70, directory):
        with pytest.raises(ValueError):
            AsyncFile(wrong)
    os.close(directory)


@pytest.mark.parametrize("wrong", [{"size": "4"}, {"size": True}, {"timeout": "1"}, {"timeout": True}, {"size": None}])
def test_sizes_and_times_that_are_none_are_type_errors(pipe: Ends, wrong: dict[str, Any]) -> None:
    for call in (pipe[0].read, pipe[0].readline):
        with pytest.raises(TypeError):
            call(**wrong)


def test_sizes_and_times_out_of_range_are_refused(pipe: Ends) -> None:
    reader, writer = pipe
    for wrong in ({"size": -2}, {"timeout": float("nan")}):
        with pytest.raises(ValueError):
            reader.read(**wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="encode"):
        writer.write("text")
    with pytest.raises(TypeError):
        writer.write(5)


def test_a_terminal_blocks_again_after_the_last_of_two_has_closed_it() -> None:
    master, slave = pty.openpty()
    shells = os.dup(slave)  # shares the open file, as the shell and its programs do
    first, second = AsyncFile(slave), AsyncFile(os.dup(slave))
    assert os.get_blocking(shells)  # not before somebody reads
    with pytest.raises(DeadlineExceeded):
        first.readline(timeout=0.01)
    assert not os.get_blocking(shells)
    os.set_blocking(shells, True)  # whoever shares it may do that
    with pytest.raises(DeadlineExceeded):
        first.readline(timeout=0.01)
    first.close()
    with pytest.raises(DeadlineExceeded):
        second.readline(timeout=0.01)  # does not block the thread, though the first put it back
    os.write(master, b"line\n")
    assert second.readline(timeout=5) == b"line\n"
    second.close()
    assert os.get_blocking(shells)
    os.close(shells)
    with AsyncFile(master) as file:
        assert b"line" in file.read()  # the echo, then the end: nobody has the other side open


def test_the_shells_terminal_blocks_again_when_a_program_ends_without_closing_it() -> None:
    master, slave = pty.openpty()
    program = """
import sys
from greencoro import Coro
from greencoro.hub.files import AsyncFile
file = AsyncFile(sys.stdin.buffer)
for _ in range(2):
    print(Coro(file.readline).value(20).decode(), end="", flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdin=slave, stdout=subprocess.PIPE)
    assert process.stdout is not None
    os.write(master, b"line\n")
    assert process.stdout.readline() == b"line\n"
    assert not os.get_blocking(slave)
    os.write(master, b"last\n")
    assert process.communicate(timeout=20) == (b"last\n", None)
    assert os.get_blocking(slave)
    os.close(slave)
    os.close(master)


@pytest.mark.parametrize("mode", ["r", "w", "r+"])
def test_a_file_in_text_mode_is_refused_with_a_way_out_and_stays_as_it_is(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a line\n")
    with open(path, mode) as file:
        text: Any = file
        with pytest.raises(TypeError, match=r"is in text mode: open it in binary mode, or give its \.buffer$"):
            AsyncFile(text)
        assert not text.closed
        if mode != "w":
            assert AsyncFile(text.buffer).readline() == b"a line\n"


def test_a_closed_AsyncSocket_is_refused() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        sock = AsyncSocket(ours)
        sock.close()
        with pytest.raises(ValueError, match="is closed"):
            AsyncFile(sock)


@pytest.mark.parametrize(("size", "error"), [(-2, ValueError), ("1", TypeError), (1.0, TypeError), (None, TypeError)])
@pytest.mark.parametrize("argument", ["size", "sizehint"])
def test_a_size_that_cannot_be_is_refused_by_its_name(
    pipe: Ends, size: Any, error: type[Exception], argument: str
) -> None:
    sentence = r"^readline\(\), as its sizehint, takes" if argument == "sizehint" else r"^readline\(\) takes"
    with pytest.raises(error, match=f"{sentence} a number of bytes"):
        pipe[0].readline(**{argument: size})
    if argument == "size":
        with pytest.raises(error, match=r"^read\(\) takes a number of bytes"):
            pipe[0].read(size)
