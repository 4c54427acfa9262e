import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from greencoro import BusyResource, ClosedResource, Coro, Terminated, WouldBlock, sleep
from greencoro.hub import userhub
from greencoro.hub.readiness import Readiness
from tests.hub.places import everywhere, from_greenlet_of_another_hub
from tests.support.polling import poll_until

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


def waits(readiness: Readiness) -> bool:
    return bool(readiness._wakers)


def fill(sock: socket.socket) -> None:
    """Write until no more fits."""
    while True:
        try:
            sock.send(bytes(65536))
        except BlockingIOError:
            return


def when_it_waits(readiness: Readiness, function: Callable[[], Any]) -> threading.Thread:
    """Call `function` in a thread as soon as somebody waits."""

    def watch() -> None:
        poll_until(lambda: waits(readiness))
        function()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@everywhere
def test_whoever_waits_goes_on_when_there_is_something_to_read(place: Callable[..., Any], pair: Pair) -> None:
    ours, theirs = pair
    readiness = Readiness(ours.fileno())
    helper = when_it_waits(readiness, lambda: theirs.send(b"x"))
    assert place(lambda: (readiness.wait_readable(10), ours.recv(10))) == (True, b"x")
    helper.join()
    assert not waits(readiness)


@everywhere
def test_whoever_waits_goes_on_when_there_is_room_to_write(place: Callable[..., Any], pair: Pair) -> None:
    ours, theirs = pair
    fill(ours)
    readiness = Readiness(ours.fileno())
    assert readiness.wait_writable(0) is False

    def drain() -> None:
        theirs.setblocking(False)
        while select.select([theirs], [], [], 0)[0]:
            theirs.recv(65536)

    helper = when_it_waits(readiness, drain)
    assert place(lambda: readiness.wait_writable(10)) is True
    helper.join()
    assert not waits(readiness)


@everywhere
def test_a_wait_ends_at_its_limit(place: Callable[..., Any], pair: Pair) -> None:
    readiness = Readiness(pair[0].fileno())

    def wait() -> tuple[bool, float]:
        began = time.monotonic()
        return readiness.wait_readable(0.05), time.monotonic() - began

    in_time, seconds = place(wait)
    assert in_time is False
    assert 0.045 <= seconds < 10
    assert not waits(readiness)


@everywhere
@pytest.mark.parametrize("timeout", [0, -1])
def test_no_time_means_a_look_and_no_wait(place: Callable[..., Any], timeout: float, pair: Pair) -> None:
    ours, theirs = pair
    readiness = Readiness(ours.fileno())
    assert place(lambda: (readiness.wait_readable(timeout), readiness.wait_writable(timeout))) == (False, True)
    theirs.send(b"x")
    assert place(lambda: readiness.wait_readable(timeout)) is True


@everywhere
@pytest.mark.parametrize("closer", ["thread", "coroutine"])
def test_closing_it_ends_the_wait(place: Callable[..., Any], closer: str, pair: Pair) -> None:
    readiness = Readiness(pair[0].fileno())

    def close() -> None:
        if closer == "thread":
            readiness.close()
        else:
            Coro(readiness.close).value(10)

    def wait() -> str:
        with pytest.raises(ClosedResource, match="was closed here"):
            readiness.wait_readable()
        return "closed"

    helper = when_it_waits(readiness, close)
    assert place(wait) == "closed"
    helper.join()
    assert not waits(readiness)


@everywhere
def test_nobody_begins_to_wait_for_what_is_closed(place: Callable[..., Any], pair: Pair) -> None:
    readiness = Readiness(pair[0].fileno())
    readiness.close()
    readiness.close()

    def wait() -> int:
        refused = 0
        for timeout in (None, 5, 0):
            with pytest.raises(ClosedResource):
                readiness.wait_writable(timeout)
            refused += 1
        return refused

    assert place(wait) == 3


def test_closing_ends_the_wait_of_a_reader_and_of_a_writer(pair: Pair) -> None:
    fill(pair[0])
    readiness = Readiness(pair[0].fileno())
    coroutines = [Coro(readiness.wait_readable), Coro(readiness.wait_writable)]
    for coro in coroutines:
        coro.set_daemon()
    poll_until(lambda: len(readiness._wakers) == 2)
    readiness.close()
    for coro in coroutines:
        with pytest.raises(ClosedResource):
            coro.value(10)


@everywhere
def test_a_second_reader_is_refused_and_the_first_goes_on(place: Callable[..., Any], pair: Pair) -> None:
    ours, theirs = pair
    readiness = Readiness(ours.fileno())
    first = Coro(readiness.wait_readable)
    poll_until(lambda: waits(readiness))

    def second() -> str:
        with pytest.raises(BusyResource, match="waits to read"):
            readiness.wait_readable(5)
        assert readiness.wait_writable(5) is True
        return "refused"

    assert place(second) == "refused"
    theirs.send(b"x")
    assert first.value(10) is True


def test_a_terminated_coroutine_waits_no_more(pair: Pair) -> None:
    ours, theirs = pair
    readiness = Readiness(ours.fileno())
    ended: list[bool] = []

    def wait() -> None:
        try:
            readiness.wait_readable()
        except Terminated:
            ended.append(waits(readiness))
            raise

    coro = Coro(wait)
    poll_until(lambda: waits(readiness))
    coro.terminate()
    poll_until(lambda: not coro.is_alive())
    assert ended == [False]
    theirs.send(b"x")
    assert Coro(lambda: readiness.wait_readable(10)).value(10) is True


def test_other_coroutines_run_while_one_waits(pair: Pair) -> None:
    ours, theirs = pair
    readiness = Readiness(ours.fileno())

    def other() -> None:
        sleep(0.01)
        theirs.send(b"x")

    def both() -> bool:
        Coro(other)
        return readiness.wait_readable(10)

    assert Coro(both).value(10) is True


def test_a_greenlet_of_another_hub_waits_without_stopping_its_thread(pair: Pair) -> None:
    ours, theirs = pair
    readiness = Readiness(ours.fileno())

    def both() -> bool:
        gevent.spawn_later(0.01, theirs.send, b"x")
        return readiness.wait_readable(10)

    assert from_greenlet_of_another_hub(both) is True


def test_blocking_the_thread_stops_its_hub_for_so_long(pair: Pair) -> None:
    readiness = Readiness(pair[0].fileno())

    def both() -> tuple[bool, list[int]]:
        ran: list[int] = []
        other = Coro(ran.append, 1)
        result = readiness.wait_readable(0.02, block_thread=True), list(ran)
        other.value(10)
        assert ran == [1]
        return result

    assert Coro(both).value(10) == (False, [])


def test_a_callback_of_a_hub_may_not_wait(pair: Pair) -> None:
    readiness = Readiness(pair[0].fileno())
    Coro(lambda: None).value(10)
    refused = threading.Event()

    def callback() -> None:
        try:
            readiness.wait_readable(1)
        except WouldBlock:
            refused.set()

    userhub.post(callback)
    assert refused.wait(10)

    def on_another_hub() -> bool:
        refused.clear()
        gevent.get_hub().loop.run_callback(callback)
        gevent.sleep(0.001)
        return refused.is_set()

    assert from_greenlet_of_another_hub(on_another_hub)


@everywhere
def test_the_end_of_the_other_side_is_something_to_read(place: Callable[..., Any], pair: Pair) -> None:
    readiness = Readiness(pair[0].fileno())
    helper = when_it_waits(readiness, pair[1].close)
    assert place(lambda: readiness.wait_readable(10)) is True
    helper.join()


@everywhere
def test_a_pipe_that_nobody_reads_any_more_is_writable(place: Callable[..., Any]) -> None:
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        while True:
            try:
                os.write(writer, bytes(65536))
            except BlockingIOError:
                break
        readiness = Readiness(writer)
        helper = when_it_waits(readiness, lambda: os.close(reader))
        assert place(lambda: readiness.wait_writable(10)) is True
        helper.join()
    finally:
        os.close(writer)


@pytest.mark.parametrize(
    ("fd", "error", "sentence"),
    [("3", TypeError, "number of a descriptor"), (True, TypeError, "number"), (-1, ValueError, "open descriptor")],
)
def test_what_is_no_descriptor_is_refused(fd: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        Readiness(fd)


@pytest.mark.parametrize("timeout", ["1", True, float("nan")])
def test_what_is_no_time_is_refused(timeout: Any, pair: Pair) -> None:
    readiness = Readiness(pair[0].fileno())
    with pytest.raises((TypeError, ValueError), match=r"wait_readable\(\) takes its timeout"):
        readiness.wait_readable(timeout)
    with pytest.raises((TypeError, ValueError), match=r"wait_writable\(\) takes its timeout"):
        readiness.wait_writable(timeout)


@everywhere
def test_an_endless_limit_is_no_limit(place: Callable[..., Any], pair: Pair) -> None:
    readiness = Readiness(pair[0].fileno())
    helper = when_it_waits(readiness, lambda: pair[1].send(b"x"))
    assert place(lambda: readiness.wait_readable(float("inf"))) is True
    helper.join()


@everywhere
def test_waits_in_a_row_leave_no_descriptor_behind(place: Callable[..., Any], pair: Pair) -> None:
    readiness = Readiness(pair[0].fileno())

    def wait() -> tuple[int, int]:
        readiness.wait_readable(0.001)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            readiness.wait_readable(0.0001)
        return before, len(os.listdir("/proc/self/fd"))

    before, after = place(wait)
    # What else the process does may open or close a few meanwhile; one left by each wait would be twenty.
    assert after < before + 20


@pytest.mark.usefixtures("frequent_switches")
def test_a_wait_that_ends_while_it_is_closed_ends_either_way(pair: Pair) -> None:
    pair[1].send(b"x")
    for _ in range(200):
        readiness = Readiness(pair[0].fileno())

        def wait(readiness: Readiness = readiness) -> None:
            try:
                while True:
                    assert readiness.wait_readable(10)
            except ClosedResource:
                return

        coro = Coro(wait)
        thread = threading.Thread(target=lambda readiness=readiness: readiness.wait_writable(0.001))
        thread.start()
        thread.join()
        readiness.close()
        coro.value(10)


@pytest.mark.parametrize("patched", [False, True])
def test_every_place_waits_alike_whether_the_process_is_patched_or_not(run: Callable[..., Any], patched: bool) -> None:
    ended = run(
        """
        import gevent, socket
        from greencoro.hub.readiness import Readiness
        from greencoro.errors import ClosedResource
        def check(label):
            ours, theirs = socket.socketpair()
            readiness = Readiness(ours.fileno())
            timer = threading.Timer(0.05, theirs.sendall, [b"x"])
            timer.start()
            first = readiness.wait_readable(5)
            ours.recv(1)
            closer = threading.Timer(0.05, readiness.close)
            closer.start()
            try:
                readiness.wait_readable()
            except ClosedResource:
                os.write(1, f"{label} {first} closed\\n".encode())
            timer.join(), closer.join()
            ours.close(), theirs.close()
        check("main")
        thread = threading.Thread(target=check, args=["thread"])
        thread.start()
        thread.join()
        Coro(check, "coroutine").value(10)
        Coro(lambda: gevent.spawn(check, "greenlet").get()).value(10)
        """,
        patched=patched,
    )
    assert ended.out.split("\n")[:-1] == [
        f"{place} True closed" for place in ("main", "thread", "coroutine", "greenlet")
    ], ended.err
    assert ended.status == 0 and ended.err == ""


class _Watchers(dict[int, Any]):
    """The table of watchers, which tells whether its lock is held while it changes."""

    def __init__(self, readiness: Readiness, closing: bool) -> None:
        self.readiness, self.closing, self.guarded = readiness, closing, list[bool]()

    def get(self, key: int, default: Any = None) -> Any:
        if self.closing:
            self.readiness.close()
        return super().get(key, default)

    def __setitem__(self, key: int, watcher: Any) -> None:
        self.guarded.append(self.readiness._lock._is_owned())
        super().__setitem__(key, watcher)


@pytest.mark.parametrize("closing", [False, True])
def test_a_close_on_another_thread_never_meets_a_watcher_half_entered(pair: Pair, closing: bool) -> None:
    ours, theirs = pair
    readiness = Readiness(ours.fileno())
    watchers = readiness._watchers = _Watchers(readiness, closing)
    theirs.send(b"x")
    coro = Coro(readiness.wait_readable, 10)
    if closing:
        with pytest.raises(ClosedResource):
            coro.value(10)
        assert not watchers
    else:
        assert coro.value(10) and watchers.guarded == [True]
        readiness.close()
