"""AsyncFile on regular files: the disk makes a thread wait, never the hub."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from greencoro import BusyResource, ClosedResource, Coro, CoroTerminated, DeadlineExceeded, sleep
from greencoro.hub import descriptors, native
from greencoro.hub.files import AsyncFile
from tests.support.polling import poll_until

from .places import everywhere, from_coroutine


class SlowDisk:
    """Holds every read and write of the system until `go`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self._go = native.Event()
        for name in ("read", "write"):
            monkeypatch.setattr(descriptors.os, name, self._held(name, getattr(os, name)))

    def _held(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def held(*args: Any) -> Any:
            self.calls.append(name)
            assert self._go.wait(10)
            return call(*args)

        return held

    def go(self) -> None:
        self._go.set()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    disk = SlowDisk(monkeypatch)
    yield disk
    disk.go()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"one\ntwo\nthree\n")
    return path


@everywhere
def test_a_file_is_read_in_lines_and_written(place: Callable[[Callable[[], Any]], Any], path: Path) -> None:
    def use() -> list[bytes]:
        with AsyncFile(path.open("ab")) as file:
            assert file.write(b"x" * 3_000_000 + b"\n", full=True) == 3_000_001
        with AsyncFile(path.open("rb")) as file:
            return list(file)

    assert place(use) == [b"one\n", b"two\n", b"three\n", b"x" * 3_000_000 + b"\n"]


@everywhere
def test_reading_and_writing_share_one_place_in_the_file(place: Callable[[Callable[[], Any]], Any], path: Path) -> None:
    def use() -> None:
        with AsyncFile(path.open("rb+", buffering=0)) as file:
            assert file.readline() == b"one\n"
            assert file.write(b"TWO") == 3
            assert file.readline() == b"\n"

    place(use)
    assert path.read_bytes() == b"one\nTWO\nthree\n"


def test_others_run_while_the_disk_is_slow(path: Path, disk: SlowDisk) -> None:
    with AsyncFile(path.open("rb")) as file:
        coro = Coro(file.readline)
        poll_until(lambda: disk.calls == ["read"])
        assert Coro(lambda: "ran").value(5) == "ran"
        assert coro.is_alive()
        disk.go()
        assert coro.value(10) == b"one\n"


def test_what_a_terminated_or_impatient_reader_asked_for_goes_to_the_next(path: Path, disk: SlowDisk) -> None:
    with AsyncFile(path.open("rb")) as file:
        first = Coro(file.readline)
        poll_until(lambda: disk.calls == ["read"])
        first.terminate()
        with pytest.raises(CoroTerminated):
            first.value(10)

        def late() -> None:
            for timeout in (0, 0.01):
                with pytest.raises(DeadlineExceeded):
                    file.readline(timeout=timeout)

        from_coroutine(late)
        disk.go()
        assert from_coroutine(file.readline) == b"one\n"
        assert file.read() == b"two\nthree\n"


def test_a_write_comes_after_a_read_that_was_given_up_where_the_reader_stood(path: Path, disk: SlowDisk) -> None:
    with AsyncFile(path.open("rb+")) as file:
        reader = Coro(file.readline)
        poll_until(lambda: disk.calls == ["read"])
        reader.terminate()
        with pytest.raises(CoroTerminated):
            reader.value(10)
        disk.go()
        assert from_coroutine(lambda: file.write(b"ONE")) == 3
    assert path.read_bytes() == b"ONE\ntwo\nthree\n"


def test_writes_keep_their_order_though_the_first_writer_was_terminated(path: Path, disk: SlowDisk) -> None:
    with AsyncFile(path.open("wb")) as file:
        first = Coro(file.write, bytearray(b"first "))
        poll_until(lambda: disk.calls == ["write"])
        first.terminate()
        with pytest.raises(CoroTerminated):
            first.value(10)
        second = Coro(file.write, b"second ")
        sleep(0.02)
        assert disk.calls == ["write"]
        disk.go()
        assert second.value(10) == 7
        assert file.write(b"third") == 5
    assert path.read_bytes() == b"first second third"


def test_what_the_disk_could_not_do_for_one_who_left_the_next_hears(
    path: Path, disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with AsyncFile(path.open("rb")) as file:
        file._writable = True
        writer = Coro(file.write, b"x")
        poll_until(lambda: disk.calls == ["write"])
        writer.terminate()
        with pytest.raises(CoroTerminated):
            writer.value(10)
        disk.go()
        with pytest.raises(OSError):
            file.readline()
        assert file.readline() == b"one\n"


def test_closing_wakes_who_waits_and_the_disks_thread_keeps_the_descriptor(path: Path, disk: SlowDisk) -> None:
    file = AsyncFile(path.open("rb"))
    number = file.fileno()
    coro = Coro(file.readline)
    poll_until(lambda: disk.calls == ["read"])
    file.close()
    with pytest.raises(ClosedResource):
        coro.value(10)
    assert os.path.sameopenfile(number, number)  # still open: the thread is about to read from it
    disk.go()

    def is_closed() -> bool:
        try:
            os.fstat(number)
        except OSError:
            return True
        return False

    poll_until(is_closed)


def test_one_at_a_time_uses_a_place_in_a_file(path: Path, disk: SlowDisk) -> None:
    with AsyncFile(path.open("rb+")) as file:
        coro = Coro(file.readline)
        poll_until(lambda: disk.calls == ["read"])
        with pytest.raises(BusyResource):
            file.write(b"x")
        disk.go()
        assert coro.value(10) == b"one\n"


def test_a_thread_may_read_on_where_a_coroutine_began(path: Path) -> None:
    with AsyncFile(path.open("rb")) as file:
        assert Coro(file.readline).value(10) == b"one\n"
        got: list[bytes] = []
        thread = threading.Thread(target=lambda: got.append(file.readline()))
        thread.start()
        thread.join(10)
        assert got == [b"two\n"]


def test_devices_that_cannot_be_polled_are_read_as_well() -> None:
    with AsyncFile(os.open("/dev/zero", os.O_RDONLY)) as zeros:
        assert from_coroutine(lambda: zeros.read(100_000, full=True)) == bytes(100_000)
    with AsyncFile(os.open(os.devnull, os.O_RDWR)) as nothing:
        assert from_coroutine(nothing.read) == b""
        assert from_coroutine(lambda: nothing.write(b"gone", full=True)) == 4
