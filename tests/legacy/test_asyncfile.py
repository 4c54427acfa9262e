"""AsyncFile and AsyncPipe as old programs use them (legacy-api, section 5)."""

import importlib
import os
import pty
import socket
import subprocess
import sys
import threading

import pytest

import greencoro.legacy
from greencoro import Coro
from greencoro.hub.files import AsyncFile as NativeAsyncFile
from greencoro.legacy import asyncfile
from greencoro.legacy.asyncfile import AsyncFile, AsyncPipe
from greencoro.legacy.sockets import AsyncSocket
from tests.support.polling import poll_until


def value_of(function, *args):
    """What a generator function gives as a coroutine."""
    return Coro(function, *args).value(20)


def calling(call, *args, **kwargs):
    """What ``yield call(*args)`` evaluates to in a coroutine."""

    def coroutine():
        raise StopIteration((yield call(*args, **kwargs)))

    return value_of(coroutine)


@pytest.fixture
def ends():
    """A pipe: where we read, and where we write."""
    reading, writing = os.pipe()
    with AsyncFile(reading) as reader, AsyncFile(writing) as writer:
        yield reader, writer


def start(*arguments, **pipes):
    return subprocess.Popen(arguments, **pipes)


def cat(**pipes):
    return start("cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE, **pipes)


# AsyncFile.


def pipe_number():
    reading, writing = os.pipe()
    return reading, lambda: os.close(writing)


def pipe_file():
    number, close = pipe_number()
    return open(number, "rb"), close


def pipe_in_text_mode():
    number, close = pipe_number()
    return open(number), close


def raw_socket():
    one, other = socket.socketpair()
    return one, other.close


def wrapped_socket():
    one, close = raw_socket()
    return AsyncSocket(one), close


def terminal():
    master, slave = pty.openpty()
    return open(master, "rb+", buffering=0), lambda: os.close(slave)


@pytest.mark.parametrize(
    "make", [pipe_number, pipe_file, pipe_in_text_mode, raw_socket, wrapped_socket, terminal], ids=lambda f: f.__name__
)
def test_what_can_be_polled_is_wrapped_does_not_block_then_and_is_closed_with_it(make):
    thing, close_other_end = make()
    with AsyncFile(thing) as file:
        assert isinstance(file, NativeAsyncFile)
        number = file.fileno()
        with pytest.raises(OSError, match="timedout"):
            calling(file.read, 1, timeout=0)
        if not isinstance(thing, AsyncSocket):
            assert not os.get_blocking(number)
    close_other_end()
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(number)


def test_a_file_on_disk_is_read_too_which_asyncoro_refused(tmp_path):
    (tmp_path / "file").write_text("one\ntwo\n")
    with AsyncFile(open(tmp_path / "file")) as file:
        assert calling(file.readline) == b"one\n"
        assert calling(file.read) == b"two\n"


@pytest.mark.parametrize("nothing", [None, "name", b"", 1.5, object()])
def test_what_is_no_file_is_a_value_error(nothing):
    with pytest.raises(ValueError, match="AsyncFile"):
        AsyncFile(nothing)


def test_what_is_closed_is_a_value_error(ends):
    closed = os.dup(ends[0].fileno())
    os.close(closed)
    with pytest.raises(ValueError, match="no open descriptor"):
        AsyncFile(closed)
    sock, close_other_end = raw_socket()
    close_other_end()
    with AsyncSocket(sock) as wrapped, wrapped.unwrap(), pytest.raises(ValueError, match="given its socket back"):
        AsyncFile(wrapped)


READING = [
    # call, its arguments, what was written before the other end was closed, results of calling it again and again
    ("read", (4,), b"abcdef", [b"abcd", b"ef", b""]),
    ("read", (), b"abcdef", [b"abcdef", b""]),
    ("read", (-5,), b"abcdef", [b"abcdef", b""]),
    ("read", (4, True), b"abcdef", [b"abcd", b"ef", b""]),
    ("readline", (), b"one\n\ntwo", [b"one\n", b"\n", b"two", b""]),
    ("readline", (2,), b"one\ntwo", [b"on", b"e\n", b"tw", b"o", b""]),
    ("readline", (-3, -1), b"one\ntwo", [b"one\n", b"two", b""]),
]


@pytest.mark.parametrize(("method", "arguments", "written", "results"), READING)
def test_what_reading_gives_until_the_end(ends, method, arguments, written, results):
    reader, writer = ends
    os.write(writer.fileno(), written)
    writer.close()

    def coroutine():
        got = []
        for _ in results:
            got.append((yield getattr(reader, method)(*arguments)))
        raise StopIteration(got)

    assert value_of(coroutine) == results


@pytest.mark.parametrize(("size", "full"), [(10, True), (0, False)])
def test_at_its_timeout_a_read_gives_what_there_is(ends, size, full):
    reader, writer = ends
    os.write(writer.fileno(), b"abc")
    assert calling(reader.read, size, full, timeout=0.02) == b"abc"
    # And took it.
    with pytest.raises(OSError, match="timedout"):
        calling(reader.read, 1, timeout=0)


@pytest.mark.parametrize("method", ["read", "readline"])
def test_where_there_is_nothing_in_time_an_io_error_says_timedout(ends, method):
    reader, _ = ends

    def coroutine():
        try:
            yield getattr(reader, method)(5, timeout=0.01)
        except OSError as error:
            raise StopIteration(error.args) from None

    assert value_of(coroutine) == ("timedout",)


def test_a_line_that_was_not_whole_in_time_is_there_for_the_next_one(ends):
    reader, writer = ends
    os.write(writer.fileno(), b"on")
    with pytest.raises(OSError, match="timedout"):
        calling(reader.readline, timeout=0.01)
    os.write(writer.fileno(), b"e\n")
    assert calling(reader.readline) == b"one\n"


def test_a_write_gives_how_much_was_written_also_where_its_time_is_over(ends):
    _, writer = ends
    assert calling(writer.write, b"abc") == 3
    data = bytes(2**20)
    written = calling(writer.write, data, True, 0.02)
    assert 0 < written < len(data)
    assert calling(writer.write, data, timeout=0.01) == 0


def test_a_full_write_goes_on_while_the_other_end_is_read(ends):
    reader, writer = ends
    data = bytes(range(256)) * 2**12
    received = Coro(lambda: (yield reader.read()))
    assert calling(writer.write, data, full=True) == len(data)
    writer.close()
    assert received.value(10) == data


def test_a_coroutine_goes_on_while_another_one_waits_for_a_file(ends):
    reader, writer = ends
    waiting = Coro(lambda: (yield reader.read(3)))
    assert calling(lambda: "others") == "others"
    assert waiting.is_alive()
    assert calling(writer.write, b"abc") == 3
    assert waiting.value(10) == b"abc"


def test_two_programs_of_old_send_a_file_through_a_socket():
    listener = socket.create_server(("127.0.0.1", 0))

    def client():
        sock = AsyncSocket(socket.socket())
        yield sock.connect(listener.getsockname())
        with AsyncFile(sock) as file:
            yield file.write(b"one\ntwo\n", full=True)

    sender = Coro(client)
    # The main thread blocks in it meanwhile.
    connection, _ = listener.accept()
    listener.close()

    def server():
        with AsyncFile(AsyncSocket(connection)) as file:
            raise StopIteration((yield file.readline()), (yield file.readline()), (yield file.readline()))

    assert value_of(server) == (b"one\n", b"two\n", b"")
    sender.value(10)


# AsyncPipe.


def test_a_program_is_talked_to_line_by_line():
    def coroutine():
        pipe = AsyncPipe(cat())
        lines = []
        for line in (b"one\n", b"two\n"):
            yield pipe.write(line, full=True)
            lines.append((yield pipe.readline()))
        pipe.stdin.close()
        lines.append((yield pipe.read()))
        assert isinstance(pipe.stdin, AsyncFile) and isinstance(pipe.stdout, AsyncFile) and pipe.stderr is None
        assert pipe.wait() == 0
        pipe.close()
        raise StopIteration(lines)

    assert value_of(coroutine) == [b"one\n", b"two\n", b""]


def test_of_a_pipe_too_a_read_gives_what_came_in_time():
    def coroutine():
        with AsyncPipe(cat()) as pipe:
            yield pipe.write(b"abc", timeout=5)
            got = yield pipe.read(3)
            try:
                yield pipe.readline(timeout=0.01)
            except OSError as error:
                got += str(error).encode()
            pipe.terminate()
            pipe.wait()
        raise StopIteration(got)

    assert value_of(coroutine) == b"abctimedout"


def test_the_errors_of_a_program_are_read_beside_its_output():
    program = "import sys; print('out'); sys.stderr.write('one\\ntwo\\n')"

    def coroutine():
        pipe = AsyncPipe(start(sys.executable, "-c", program, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        line = yield pipe.readline_stderr()
        rest = yield pipe.read_stderr()
        out = yield pipe.read()
        pipe.wait()
        pipe.close()
        raise StopIteration(line, rest, out)

    assert value_of(coroutine) == (b"one\n", b"two\n", b"out\n")


def test_a_chain_of_programs_is_fed_at_its_beginning_and_read_at_its_end():
    def coroutine():
        first = cat()
        last = start("tr", "a-z", "A-Z", stdin=first.stdout, stdout=subprocess.PIPE)
        pipe = AsyncPipe(first, last)
        assert pipe.poll() is None
        # What it does not have itself is the last one's.
        assert (pipe.first, pipe.last, pipe.pid) == (first, last, last.pid)
        result = yield pipe.communicate(b"abc")
        raise StopIteration(result, pipe.poll(), first.wait())

    assert value_of(coroutine) == ((b"ABC", None), 0, 0)


def input_of_bytes(_path):
    return b"text\n" * 40000


def input_of_text(_path):
    return "text\n" * 40000


def input_of_a_file_in_text_mode(path):
    path.write_text(input_of_text(path))
    return path.open()


def input_of_an_async_file(path):
    return AsyncFile(input_of_a_file_in_text_mode(path))


@pytest.mark.parametrize(
    "make",
    [input_of_bytes, input_of_text, input_of_a_file_in_text_mode, input_of_an_async_file],
    ids=lambda f: f.__name__,
)
def test_communicate_sends_all_of_its_input_and_closes_it(make, tmp_path):
    data = make(tmp_path / "input")

    def coroutine():
        pipe = AsyncPipe(cat(stderr=subprocess.PIPE))
        stdout, stderr = yield pipe.communicate(data)
        assert pipe.stdin.closed and pipe.stdout.closed and pipe.stderr.closed
        raise StopIteration(stdout, stderr, pipe.poll())

    assert value_of(coroutine) == (input_of_bytes(None), b"", 0)
    assert getattr(data, "closed", True)


def test_communicate_without_input_or_pipes_gives_none_for_each():
    def coroutine():
        raise StopIteration((yield AsyncPipe(start("true")).communicate()))

    assert value_of(coroutine) == (None, None)


@pytest.mark.parametrize("arguments", [(None,), ("cat",), (5,)])
def test_what_is_no_process_is_a_value_error(arguments):
    with pytest.raises(ValueError, match="Popen"):
        AsyncPipe(*arguments)


def test_a_last_one_that_is_no_process_is_a_value_error():
    with start("true") as process, pytest.raises(ValueError, match="Popen"):
        AsyncPipe(process, "cat")


def test_others_run_while_a_program_does():
    ticks = []

    def ticker(coro=None):
        while True:
            ticks.append((yield coro.sleep(0.001)))

    def coroutine():
        pipe = AsyncPipe(cat())
        ticking = Coro(ticker)
        poll = threading.Thread(target=lambda: (poll_until(lambda: len(ticks) > 5), pipe.first.stdin.close()))
        poll.start()
        yield pipe.read()
        poll.join()
        ticking.terminate()
        pipe.wait()
        pipe.close()

    value_of(coroutine)
    assert len(ticks) > 5


# The module.


def test_the_module_is_found_by_its_old_name(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    greencoro.legacy.install()
    try:
        assert importlib.import_module("asyncoro.asyncfile") is asyncfile
        assert sys.modules["asyncoro"].asyncfile is asyncfile
    finally:
        for name in ("asyncoro", "asyncoro.asyncfile"):
            sys.modules.pop(name, None)


def test_what_only_windows_has_is_not_there():
    assert sorted(asyncfile.__all__) == ["AsyncFile", "AsyncPipe"]
    assert not hasattr(asyncfile, "pipe") and not hasattr(asyncfile, "Popen")
