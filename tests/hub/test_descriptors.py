import os
import pty
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from greencoro import BusyResource, ClosedResource
from greencoro.hub import native
from greencoro.hub.descriptors import Descriptor, Disk, Polled, deadline_of, left, open_descriptor


@pytest.fixture
def opened() -> Iterator[Callable[[int], int]]:
    """Takes the descriptors that are to be closed in the end."""
    numbers: list[int] = []

    def keep(fd: int) -> int:
        numbers.append(fd)
        return fd

    yield keep
    for fd in numbers:
        os.close(fd)


def never() -> None:
    raise AssertionError("nobody closed it")


def test_what_can_be_polled_is_and_the_rest_is_left_to_threads(opened: Callable[[int], int], tmp_path: Path) -> None:
    ends = [opened(fd) for fd in (*os.pipe(), *pty.openpty())]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for fd in (*ends, ours.fileno(), opened(os.eventfd(0))):
            assert type(open_descriptor(fd, never, "it")) is Polled
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", Path(os.devnull)):
        assert type(open_descriptor(opened(os.open(path, os.O_RDONLY)), never, "it")) is Disk


def test_what_has_no_bytes_is_refused(opened: Callable[[int], int], tmp_path: Path) -> None:
    directory = opened(os.open(tmp_path, os.O_RDONLY))
    with pytest.raises(ValueError, match=f"descriptor {directory} is a directory"):
        open_descriptor(directory, never, "it")
    for wrong in (-1, 2**70):
        with pytest.raises(ValueError, match=f"{wrong} is no open descriptor"):
            open_descriptor(wrong, never, "it")


@pytest.fixture(params=["pipe", "disk"])
def descriptor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Descriptor, list[str]]]:
    """One of each kind, and what becomes of it."""
    log: list[str] = []
    if request.param == "pipe":
        fd, other = os.pipe()
        os.close(other)
    else:
        fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield open_descriptor(fd, lambda: log.append("closed"), "it"), log
    os.close(fd)


def test_the_last_who_uses_it_closes_it(descriptor: tuple[Any, list[str]]) -> None:
    made, log = descriptor
    made.enter("read")
    made.close()
    assert made.closed and log == []
    made.leave("read")
    made.close()
    assert log == ["closed"]


def test_what_is_closed_is_used_no_more_and_says_whose_it_was(descriptor: tuple[Any, list[str]]) -> None:
    made, log = descriptor
    assert made.number() == made.fd
    made.close()
    assert log == ["closed"]
    for use in (made.number, lambda: made.enter("read"), lambda: made.enter("write")):
        with pytest.raises(ClosedResource, match=f"^it of descriptor {made.fd} was closed here$"):
            use()


def test_a_pipe_is_read_and_written_at_once_and_a_file_is_not(descriptor: tuple[Any, list[str]]) -> None:
    made, _ = descriptor
    made.enter("read")
    with pytest.raises(BusyResource):
        made.enter("read")
    if isinstance(made, Disk):
        with pytest.raises(BusyResource):
            made.enter("write")
    else:
        made.enter("write")
    made.leave("read")
    made.enter("read")


def test_what_is_left_of_a_time_is_never_below_nothing() -> None:
    assert deadline_of(None) is None and left(None) is None
    assert left(native.monotonic() - 1) == 0.0
    until = deadline_of(100)
    assert until is not None and 0 < (left(until) or 0) <= 100
