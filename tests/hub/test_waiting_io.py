import array
import io
import os
from collections.abc import Iterator
from typing import Any

import pytest

from greencoro import BusyResource, ClosedResource, Coro, CoroTerminated
from greencoro.hub.waiting_io import WaitingIO, let_others_run
from tests.support.polling import poll_until

Ends = tuple[WaitingIO, WaitingIO]


@pytest.fixture
def pipe() -> Iterator[Ends]:
    r, w = os.pipe()
    with WaitingIO(io.FileIO(r, "r")) as reader, WaitingIO(io.FileIO(w, "w")) as writer:
        yield reader, writer


def waits(file: WaitingIO) -> bool:
    return bool(file._descriptor._readiness._wakers)  # type: ignore[attr-defined]


def test_nothing_stays_nothing() -> None:
    assert let_others_run(None, -1) is None


@pytest.mark.parametrize(("mode", "buffering", "kind"), [("rb", 0, WaitingIO), ("rb", -1, io.BufferedReader)])
def test_a_file_stays_as_buffered_as_it_was(mode: str, buffering: int, kind: type) -> None:
    r, w = os.pipe()
    file: Any = let_others_run(os.fdopen(r, mode, buffering), buffering)
    with file:
        os.write(w, b"line\nrest")
        os.close(w)
        assert type(file) is kind
        assert (file.readline(), file.read()) == (b"line\n", b"rest")


def test_a_text_file_keeps_how_it_makes_text_of_bytes() -> None:
    r, w = os.pipe()
    given = os.fdopen(w, "w", 1, encoding="latin-1", errors="replace")
    with let_others_run(given, 1) as text:
        assert (text.encoding, text.errors, text.line_buffering) == ("latin-1", "replace", True)
        text.write("größer €\n")
        assert os.read(r, 100) == b"gr\xf6\xdfer ?\n"
    os.close(r)


def test_any_buffer_is_filled_and_written(pipe: Ends) -> None:
    reader, writer = pipe
    assert writer.write(array.array("H", [0x6261, 0x6463])) == 4
    buffer = array.array("H", [0] * 3)
    assert reader.readinto(buffer) == 4
    assert buffer.tobytes() == b"abcd\0\0"


def test_a_second_reader_is_refused_and_a_terminated_one_leaves_room_for_the_next(pipe: Ends) -> None:
    reader, writer = pipe
    coro = Coro(reader.read, 10)
    poll_until(lambda: waits(reader))
    with pytest.raises(BusyResource):
        reader.read(10)
    coro.terminate()
    with pytest.raises(CoroTerminated):
        coro.value(10)
    writer.write(b"x")
    assert reader.read(10) == b"x"


def test_closing_ends_a_wait_and_closes_the_file_once(pipe: Ends) -> None:
    reader, writer = pipe
    raw: Any = reader._raw
    coro = Coro(reader.read, 10)
    poll_until(lambda: waits(reader))
    reader.close()
    with pytest.raises(ClosedResource, match=r"^the file of descriptor \d+ was closed here$"):
        coro.value(10)
    reader.close()
    assert reader.closed and raw.closed
    with pytest.raises(BrokenPipeError):
        writer.write(b"x")
