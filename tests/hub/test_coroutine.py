import contextlib
import functools
import io
import logging
import pickle
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import gevent
import gevent.event
import gevent.pool
import pytest

from greencoro import Coro, CoroTerminated, DeadlineExceeded, MonitorException, Terminated, sleep
from greencoro.hub import coroutine as module
from greencoro.hub import exit as process_exit
from greencoro.hub import native, userhub
from tests.support.polling import poll_until

from .conftest import Run


def parked(coro: Any = None) -> Any:
    return coro.receive()


def wait_until_it_waits(coro: Coro) -> None:
    poll_until(lambda: coro._mailbox._receiver is not None, what=f"{coro!r} waits in receive()")


# Creating.


def from_main(make: Callable[[], Any]) -> Any:
    return make()


def from_thread(make: Callable[[], Any]) -> Any:
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(make()))
    thread.start()
    thread.join(10)
    return got[0]


def from_coroutine(make: Callable[[], Any]) -> Any:
    return Coro(make).value(10)


def from_greenlet_on_the_user_hub(make: Callable[[], Any]) -> Any:
    return Coro(lambda: gevent.spawn(make).get()).value(10)


def from_greenlet_of_another_hub(make: Callable[[], Any]) -> Any:
    def turn() -> Any:
        try:
            return gevent.spawn(make).get()
        finally:
            gevent.get_hub().destroy(destroy_loop=True)

    return from_thread(turn)


everywhere = pytest.mark.parametrize(
    "place",
    [from_main, from_thread, from_coroutine, from_greenlet_on_the_user_hub, from_greenlet_of_another_hub],
    ids=lambda place: place.__name__,
)


@everywhere
def test_a_coroutine_can_be_created_and_waited_for_anywhere(place: Callable[..., Any]) -> None:
    def double(n: int, coro: Any = None) -> tuple[int, int]:
        assert Coro.current() is coro
        return 2 * n, native.get_ident()

    assert place(lambda: Coro(double, 21).value(10)) == (42, userhub.ident)
    assert place(lambda: Coro(double, n=21).finish(10)) == (42, userhub.ident)


@everywhere
def test_messages_can_be_sent_from_anywhere(place: Callable[..., Any]) -> None:
    coro = Coro(lambda coro: [coro.receive() for _ in range(3)])
    assert place(lambda: [coro.send(n) for n in range(3)]) == [0, 0, 0]
    assert coro.value(10) == [0, 1, 2]


class Counter:
    def __init__(self, start: int, coro: Any = None) -> None:
        self.start, self.coro = start, coro

    def add(self, n: int, coro: Any = None) -> tuple[int, Any]:
        return self.start + n, coro

    def __call__(self, n: int, *, coro: Any) -> tuple[int, Any]:
        return self.start + n, coro


@pytest.mark.parametrize(
    "target",
    [
        lambda n, coro: (n, coro),
        lambda n, coro=None: (n, coro),
        lambda n, *, coro: (n, coro),
        lambda *n, coro=None: (n[0], coro),
        Counter(0).add,
        Counter(0),
        functools.partial(lambda a, n, coro: (n, coro), "a"),
    ],
)
def test_the_coroutine_is_filled_in_where_the_function_names_it(target: Callable[..., Any]) -> None:
    coro = Coro(target, 7)
    assert coro.value(10) == (7, coro)


def test_classes_and_builtins_can_be_run() -> None:
    made = Coro(Counter, 5)
    assert made.value(10).coro is made
    assert Coro(max, 3, 9, 4).value(10) == 9
    assert Coro(sorted, [3, 1, 2], reverse=True).value(10) == [3, 2, 1]


def test_arguments_that_do_not_fit_are_the_callers_error_and_start_nothing() -> None:
    before = dict(process_exit.alive)
    with pytest.raises(TypeError, match="missing a required argument: 'a'"):
        Coro(lambda a, coro: None)
    with pytest.raises(TypeError, match="a coroutine runs a function"):
        Coro(None)  # type: ignore[arg-type]
    assert process_exit.alive == before


def test_a_generator_function_is_refused_with_what_to_write_instead() -> None:
    def old_style(coro: Any) -> Any:
        yield coro.receive()

    with pytest.raises(TypeError, match="old_style is a generator function; write it as a plain function"):
        Coro(old_style)


def test_a_coroutine_is_named_after_its_function_and_numbered() -> None:
    first, second = Coro(parked), Coro(parked)
    assert first.name == second.name == "parked"
    assert first.id != second.id
    assert repr(first) == f"parked/{first.id}"
    assert first.location is None
    first.send(0), second.send(0)


def test_outside_of_coroutines_there_is_no_current_one() -> None:
    assert Coro.current() is None
    assert from_greenlet_on_the_user_hub(Coro.current) is None


def test_a_coroutine_is_found_by_its_number_while_it_lives() -> None:
    coro = Coro(parked)
    assert module.find(coro.id) is coro
    coro.send(1)
    coro.value(10)
    assert module.find(coro.id) is None


def test_a_coroutine_holds_its_arguments_no_longer_than_it_lives() -> None:
    class Big:
        pass

    big = Big()
    reference = weakref.ref(big)
    coro = Coro(lambda a, coro: None, big)
    del big
    coro.value(10)
    poll_until(lambda: reference() is None)


def test_a_coroutine_does_not_travel_where_there_is_no_runtime() -> None:
    with pytest.raises(TypeError, match="cannot travel: this process has no Runtime"):
        pickle.dumps(Coro(lambda: None))


def test_a_runtime_plugs_in_how_coroutines_travel_and_where_they_are() -> None:
    home = object()
    assert module.current_home() is None
    module.plug_in(lambda coro: (str, (f"travelled {coro.id}",)), lambda coro: f"home of {coro.id}")
    try:
        coro = Coro._make(
            home, lambda coro: (coro._home, module.current_home(), Coro(module.current_home).value()), (), {}
        )
        assert pickle.loads(pickle.dumps(coro)) == f"travelled {coro.id}"
        assert repr(coro).endswith(f"@home of {coro.id}")
        # Its own, and that of the coroutines it makes.
        assert coro.value(10) == (home, home, home)
    finally:
        module.plug_in(None, None)


# Messages.


def test_messages_of_one_sender_come_in_order_from_any_number_of_coroutines() -> None:
    senders, each = 50, 200

    def sink(coro: Any) -> list[list[int]]:
        got: list[list[int]] = [[] for _ in range(senders)]
        for _ in range(senders * each):
            sender, number = coro.receive()
            got[sender].append(number)
        return got

    def send(sender: int) -> None:
        for number in range(each):
            assert coro.send((sender, number)) == 0
            if number % 7 == 0:
                sleep(0)

    coro = Coro(sink)
    for sender in range(senders):
        Coro(send, sender)
    assert coro.value(20) == [list(range(each))] * senders


def test_eight_threads_lose_no_message_and_keep_their_order() -> None:
    senders, each = 8, 20_000

    def sink(coro: Any) -> list[list[int]]:
        got: list[list[int]] = [[] for _ in range(senders)]
        for _ in range(senders * each):
            sender, number = coro.receive()
            got[sender].append(number)
        return got

    coro = Coro(sink)

    def send(sender: int) -> None:
        for number in range(each):
            coro.send((sender, number))

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(senders)]
    for thread in threads:
        thread.start()
    assert coro.value(40) == [list(range(each))] * senders
    for thread in threads:
        thread.join(10)


def test_locally_the_very_object_is_handed_over() -> None:
    message = object()
    coro = Coro(parked)
    coro.send(message)
    assert coro.value(10) is message


def test_code_without_a_waiting_call_is_atomic() -> None:
    shared = [0]

    def count() -> None:
        for _ in range(200):
            seen = shared[0]
            Coro(lambda: None)
            sink.send(seen)
            shared[0] = seen + 1
            sleep(0)

    def drain(coro: Any) -> None:
        for _ in range(20 * 200):
            coro.receive()

    sink = Coro(drain)
    for coro in [Coro(count) for _ in range(20)]:
        coro.value(20)
    sink.value(20)
    assert shared == [20 * 200]


@pytest.mark.parametrize("timeout", [0, -1, 0.01])
def test_receive_gives_the_alarm_value_when_nothing_came(timeout: float) -> None:
    assert Coro(lambda coro: coro.receive(timeout)).value(10) is None
    assert Coro(lambda coro: coro.receive(timeout=timeout, alarm_value="alarm")).value(10) == "alarm"


@everywhere
def test_receive_of_another_is_refused(place: Callable[..., Any]) -> None:
    coro = Coro(parked)

    def try_it() -> bool:
        with pytest.raises(RuntimeError, match=r"receive\(\) of parked/\d+ may be called by that coroutine only"):
            coro.receive()
        return True

    assert place(try_it)
    coro.send("untouched")
    assert coro.value(10) == "untouched"
    assert place(try_it)


def test_sending_to_one_that_is_over_says_so() -> None:
    coro = Coro(lambda: None)
    assert Coro(parked).terminate() == 0
    coro.value(10)
    assert coro.send(1) == -1
    assert coro.deliver(1) == 0


def test_deliver_says_that_the_message_is_in_the_mailbox() -> None:
    coro = Coro(parked)
    assert coro.deliver("first", timeout=1) == 1
    assert coro.value(10) == "first"


def test_messages_sent_before_the_function_begins_are_kept() -> None:
    def both() -> Any:
        coro = Coro(parked)
        coro.send("early")
        return coro.value()

    assert Coro(both).value(10) == "early"


# Results.


def test_a_result_can_be_asked_for_any_number_of_times_by_anybody() -> None:
    result = object()
    coro = Coro(lambda: result)
    for place in (from_main, from_thread, from_coroutine, from_greenlet_of_another_hub):
        assert place(coro.value) is place(coro.finish) is result


@everywhere
def test_value_gives_up_at_its_limit_and_the_coroutine_goes_on(place: Callable[..., Any]) -> None:
    coro = Coro(parked)

    def ask() -> str:
        for timeout in (0, -1, 0.02):
            with pytest.raises(DeadlineExceeded, match=r"parked/\d+ was not over after"):
                coro.value(timeout)
        return "gave up"

    assert place(ask) == "gave up"
    coro.send("went on")
    assert coro.value(10) == "went on"


def test_its_own_exception_is_raised_each_time_with_the_same_traceback() -> None:
    error = ValueError("of the function")

    def inner() -> None:
        raise error

    def fail() -> None:
        inner()

    coro = Coro(fail)
    depths, names = [], []
    for _ in range(5):
        with pytest.raises(ValueError, match="of the function") as caught:
            coro.value(10)
        assert caught.value is error
        frames = traceback.extract_tb(caught.value.__traceback__)
        depths.append(len(frames))
        names.append([frame.name for frame in frames][-2:])
    assert len(set(depths)) == 1, depths
    assert names == [["fail", "inner"]] * 5


def test_an_exception_handed_through_coroutines_keeps_each_ones_traceback() -> None:
    def fail() -> None:
        raise KeyError("first")

    def hands_on(other: Coro) -> None:
        other.value()

    first = Coro(fail)
    second = Coro(hands_on, first)
    for _ in range(3):
        with pytest.raises(KeyError) as through:
            second.value(10)
        assert "hands_on" in {frame.name for frame in traceback.extract_tb(through.value.__traceback__)}
        with pytest.raises(KeyError) as direct:
            first.value(10)
        assert "hands_on" not in {frame.name for frame in traceback.extract_tb(direct.value.__traceback__)}


def test_a_coroutine_that_waits_for_itself_is_told_so() -> None:
    def wait(coro: Any) -> str:
        for method in (coro.value, coro.finish):
            with pytest.raises(RuntimeError, match="would wait for its own end"):
                method()
        return "told"

    assert Coro(wait).value(10) == "told"


def test_many_wait_for_one() -> None:
    coro = Coro(parked)
    waiting = [Coro(coro.value) for _ in range(1000)]
    threads = [threading.Thread(target=coro.value, args=(20,)) for _ in range(10)]
    for thread in threads:
        thread.start()
    coro.send("for all")
    assert [waiter.value(10) for waiter in waiting] == ["for all"] * 1000
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_a_chain_of_waits_resolves() -> None:
    coro = last = Coro(parked)
    for _ in range(500):
        last = Coro(lambda before=last: before.value() + 1)
    coro.send(0)
    assert last.value(10) == 500


def test_a_wait_that_gave_up_leaves_nothing_with_the_coroutine() -> None:
    coro = Coro(parked)
    for _ in range(20):
        with pytest.raises(DeadlineExceeded):
            coro.value(0.001)
    assert not coro._observers._table
    coro.send(1)


# Sleeping.


@everywhere
def test_sleep_takes_its_time(place: Callable[..., Any]) -> None:
    def timed() -> float:
        began = time.monotonic()
        sleep(0.05)
        return time.monotonic() - began

    assert 0.045 <= place(timed) < 2


@everywhere
def test_a_negative_sleep_is_refused(place: Callable[..., Any]) -> None:
    def ask() -> bool:
        with pytest.raises(ValueError, match="at least 0"):
            sleep(-0.1)
        return True

    assert place(ask)


def test_sleep_0_lets_the_others_run_once() -> None:
    order: list[str] = []

    def turns(name: str) -> None:
        for _ in range(3):
            order.append(name)
            sleep()

    def both() -> None:
        for coro in [Coro(turns, "a"), Coro(turns, "b")]:
            coro.value()

    Coro(both).value(10)
    assert order == ["a", "b"] * 3


# Terminating.


def never(coro: Any) -> None:
    gevent.event.Event().wait()


WAITS: dict[str, Callable[[Any], Any]] = {
    "receive": lambda coro: coro.receive(),
    "receive with a limit": lambda coro: coro.receive(timeout=60),
    "sleep": lambda coro: sleep(60),
    "value": lambda coro: Coro.locate("other-parked").value(),
    "value with a limit": lambda coro: Coro.locate("other-parked").value(60),
    "locate": lambda coro: Coro.locate("nobody"),
    "gevent.sleep": lambda coro: gevent.sleep(60),
    "gevent event": never,
    "giving way": lambda coro: [sleep(0) for _ in iter(int, 1)],
}


@pytest.fixture
def other() -> Any:
    coro = Coro(parked)
    coro.register("other-parked")
    yield coro
    coro.send(None)


@pytest.mark.parametrize("by", ["another thread", "a coroutine"])
@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
@pytest.mark.usefixtures("other")
def test_terminate_ends_any_wait_and_the_coroutine_cleans_up(wait: Callable[[Any], Any], by: str) -> None:
    events: list[str] = []
    begun = native.Event()

    def waits(coro: Any) -> None:
        begun.set()
        try:
            wait(coro)
        except Exception:
            events.append("swallowed")
        except Terminated:
            events.append("terminated")
            sleep(0.001)  # cleaning up may wait
            raise
        finally:
            events.append("finally")
        events.append("went on")

    coro = Coro(waits)
    begun.wait(10)
    if by == "a coroutine":
        assert Coro(coro.terminate).value(10) == 0
    else:
        assert coro.terminate() == 0
    with pytest.raises(CoroTerminated, match=r"waits/\d+ was terminated"):
        coro.value(10)
    assert events == ["terminated", "finally"]
    assert not coro.is_alive()
    assert coro.terminate() == -1


def test_one_terminated_before_its_start_never_runs() -> None:
    ran: list[int] = []

    def both() -> Coro:
        coro = Coro(ran.append, 1)
        assert coro.terminate() == 0
        assert not coro.is_alive()
        return coro

    coro = Coro(both).value(10)
    with pytest.raises(CoroTerminated):
        coro.value(10)
    assert ran == []


def test_one_in_the_ready_queue_is_terminated() -> None:
    def both() -> Coro:
        coro = Coro(parked)
        sleep(0)
        wait_until_it_waits(coro)
        coro.send("woken")
        coro.terminate()
        return coro

    coro = Coro(both).value(10)
    # It may meet the end at this wait or at its next one; this has no next one, so both ends are right.
    with contextlib.suppress(CoroTerminated):
        assert coro.value(10) == "woken"


def test_messages_that_race_with_terminate_stay_in_order_and_none_is_lost() -> None:
    def survivor(coro: Any) -> tuple[list[int], int]:
        got, ended = [], 0
        while True:
            try:
                message = coro.receive()
            except Terminated:
                ended += 1
                continue
            if message is None:
                return got, ended
            got.append(message)

    coro = Coro(survivor)
    wait_until_it_waits(coro)
    for number in range(300):
        coro.send(number)
        assert coro.terminate() == 0
    poll_until(lambda: not coro._mailbox and coro._pending is None, what="all of it has come")
    coro.send(None)
    got, ended = coro.value(10)
    assert got == list(range(300))
    assert 0 < ended <= 300


def test_one_that_terminates_itself_meets_it_at_its_next_wait() -> None:
    for wait in WAITS.values():
        events: list[str] = []

        def suicidal(coro: Any, wait: Callable[[Any], Any] = wait, events: list[str] = events) -> None:
            assert coro.terminate() == 0
            events.append("still runs")
            wait(coro)
            events.append("went on")

        other = Coro(parked)
        other.register("other-parked")
        coro = Coro(suicidal)
        with pytest.raises(CoroTerminated):
            coro.value(10)
        other.send(None)
        other.value(10)
        assert events == ["still runs"]


def test_one_that_terminates_itself_and_never_waits_again_finishes() -> None:
    def suicidal(coro: Any) -> str:
        coro.terminate()
        return "finished"

    assert Coro(suicidal).value(10) == "finished"


def test_except_exception_does_not_stop_the_end() -> None:
    def stubborn(coro: Any) -> None:
        while True:
            try:
                coro.receive()
            except Exception:
                continue

    coro = Coro(stubborn)
    wait_until_it_waits(coro)
    coro.terminate()
    with pytest.raises(CoroTerminated):
        coro.value(10)


def test_one_that_catches_the_end_goes_on_and_can_be_terminated_again() -> None:
    caught: list[int] = []

    def stays_once(coro: Any) -> Any:
        try:
            coro.receive()
        except Terminated:
            caught.append(1)
        return coro.receive()

    coro = Coro(stays_once)
    coro.terminate()
    poll_until(lambda: caught or not coro.is_alive())
    assert caught == [] and not coro.is_alive()  # it had not begun

    for ends in ("message", "terminate"):
        caught.clear()
        coro = Coro(stays_once)
        wait_until_it_waits(coro)
        coro.terminate()
        poll_until(lambda: caught)
        if ends == "message":
            coro.send("went on")
            assert coro.value(10) == "went on"
        else:
            coro.terminate()
            with pytest.raises(CoroTerminated):
                coro.value(10)


def test_timers_of_a_wait_that_was_ended_do_not_disturb_later_ones() -> None:
    def waits(coro: Any) -> float:
        for wait in (lambda: coro.receive(timeout=0.1), lambda: sleep(0.1), lambda: gevent.sleep(0.1)):
            with contextlib.suppress(Terminated):
                wait()
        began = time.monotonic()
        sleep(0.3)
        return time.monotonic() - began

    coro = Coro(waits)
    for _ in range(3):
        sleep(0.02)
        coro.terminate()
    assert coro.value(10) >= 0.295


def test_a_coroutine_that_raises_greenlet_exit_counts_as_terminated(caplog: pytest.LogCaptureFixture) -> None:
    def leaves() -> None:
        raise gevent.GreenletExit

    with pytest.raises(CoroTerminated):
        Coro(leaves).value(10)
    assert not caplog.records


def test_a_gevent_timeout_around_a_wait_works_and_leaves_nothing_behind() -> None:
    def waits(coro: Any) -> tuple[str, float]:
        with gevent.Timeout(0.02, False):
            coro.receive()
        began = time.monotonic()
        return coro.receive(timeout=0.1, alarm_value="alarm"), time.monotonic() - began

    value, seconds = Coro(waits).value(10)
    assert value == "alarm" and seconds >= 0.1


# Failing.


def fail() -> None:
    raise ValueError("of the function")


def test_where_no_logging_is_set_up_a_failure_is_told_once_on_standard_error(run: Run) -> None:
    ended = run(
        """
        def fail():
            raise ValueError("of the function")
        coro = Coro(fail)
        for _ in range(2):
            try: coro.value(10)
            except ValueError: pass
        print(repr(coro))
        """
    )
    lines = ended.err.splitlines()
    assert lines[0] == f"uncaught exception in coroutine {ended.out.strip()}:"
    assert lines[1] == "Traceback (most recent call last):"
    # greencoro's own frames are no news.
    assert ["program.py" in line for line in lines if line.startswith("  File")] == [True]
    assert lines[-1] == "ValueError: of the function"
    assert ended.err.count("uncaught") == 1


def test_where_logging_is_set_up_a_failure_goes_there_and_only_there(run: Run) -> None:
    ended = run(
        """
        import logging
        logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(name)s %(message)s")
        def fail():
            raise ValueError("of the function")
        try: Coro(fail).value(10)
        except ValueError: pass
        """
    )
    assert ended.err == ""
    lines = ended.out.splitlines()
    assert lines[0].startswith("ERROR greencoro.hub.coroutine uncaught exception in coroutine fail/")
    assert lines[-1] == "ValueError: of the function"


def test_the_failure_is_kept() -> None:
    coro = Coro(fail)
    with pytest.raises(ValueError, match="of the function"):
        coro.value(10)
    assert isinstance(coro._error, ValueError)
    assert coro._traceback_text.endswith("ValueError: of the function")


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, MemoryError])
def test_whatever_is_raised_ends_only_that_coroutine(kind: type[BaseException]) -> None:
    def leave() -> None:
        raise kind

    with pytest.raises(kind):
        Coro(leave).value(10)
    assert Coro(lambda: 5).value(10) == 5


def test_a_failure_that_cannot_be_reported_still_ends_the_coroutine(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    # pytest's own handlers stand at the root.
    monkeypatch.setattr(logging.getLogger("greencoro"), "propagate", False)
    with pytest.raises(ValueError, match="of the function"):
        Coro(fail).value(10)
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(ValueError, match="of the function"):
        Coro(fail).value(10)


def test_a_report_that_fails_still_ends_the_coroutine_and_the_hub_goes_on(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(coro: Any) -> None:
        raise RuntimeError("of the report")

    monkeypatch.setattr(module, "_report", broken)
    for _ in range(5):
        with pytest.raises(ValueError, match="of the function"):
            Coro(fail).value(10)
    assert Coro(lambda: 5).value(10) == 5
    assert "of the report" in capfd.readouterr().err


# Monitoring.


def monitor_of(*observed: Coro, number: int | None = None) -> Coro:
    """A coroutine that monitors these and returns the first messages that come."""

    def watch(coro: Any) -> list[Any]:
        for target in observed:
            coro.monitor(target)
        return [coro.receive() for _ in range(len(observed) if number is None else number)]

    return Coro(watch)


def test_a_monitor_gets_one_notice_of_each_kind_of_end() -> None:
    finished, failed, terminated = Coro(parked), Coro(lambda coro: 1 / coro.receive()), Coro(parked)
    monitor = monitor_of(finished, failed, terminated)
    for coro in (finished, failed, terminated):
        poll_until(lambda coro=coro: coro._observers._table)
    finished.send("result")
    failed.send(0)
    terminated.terminate()
    notices = {notice.coro: notice for notice in monitor.value(10)}
    assert all(isinstance(notice, MonitorException) for notice in notices.values())

    assert (notices[finished].kind, notices[finished].value, notices[finished].error) == ("finished", "result", None)
    assert notices[finished].args == (finished, (StopIteration, "result"))
    assert notices[failed].kind == "exception" and isinstance(notices[failed].error, ZeroDivisionError)
    assert notices[failed].traceback_text.endswith("ZeroDivisionError: division by zero")
    assert notices[failed].args[1][:2] == (ZeroDivisionError, notices[failed].error)
    assert (notices[terminated].kind, notices[terminated].value) == ("terminated", None)
    assert notices[terminated].args == (terminated, (StopIteration, None))


def test_no_second_notice_comes() -> None:
    coro = Coro(parked)

    def watch(me: Coro, coro: Any = None) -> Any:
        assert coro.monitor(me) == coro.monitor(me) == 0  # asked twice
        assert me.notify(coro) == 0
        me.send("end")
        return coro.receive(timeout=10).kind, coro.receive(timeout=0.1, alarm_value="nothing more")

    assert Coro(watch, coro).value(10) == ("finished", "nothing more")


def test_of_one_that_is_over_no_notice_comes() -> None:
    over = Coro(lambda: None)
    over.value(10)

    def watch(coro: Any) -> Any:
        return coro.monitor(over), over.notify(coro), coro.receive(timeout=0.05, alarm_value="nothing")

    assert Coro(watch).value(10) == (-1, -1, "nothing")


def test_monitor_and_notify_take_coroutines() -> None:
    coro = Coro(parked)
    with pytest.raises(TypeError, match="takes a coroutine, not 5"):
        coro.monitor(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="takes a coroutine, not None"):
        coro.notify(None)  # type: ignore[arg-type]
    coro.send(1)


def test_the_notice_comes_after_everything_its_coroutine_sent() -> None:
    def talker(monitor: Coro, number: int, coro: Any = None) -> None:
        assert coro.notify(monitor) == 0
        for n in range(number):
            monitor.send(n)

    def listen(coro: Any) -> bool:
        for number in range(200):
            Coro(talker, coro, number)
            assert [coro.receive() for _ in range(number)] == list(range(number))
            assert isinstance(coro.receive(), MonitorException)
        return True

    assert Coro(listen).value(20)


def test_a_monitor_that_is_over_disturbs_nobody() -> None:
    target = Coro(parked)
    monitor = monitor_of(target, number=0)
    monitor.value(10)
    target.send("fine")
    assert target.value(10) == "fine"


@pytest.mark.usefixtures("frequent_switches")
def test_monitors_set_by_other_threads_while_the_end_comes_get_exactly_what_was_promised() -> None:
    for _ in range(100):
        target, inbox = Coro(lambda: None), Coro(parked)
        promised = target.notify(inbox)
        target.value(10)
        # What was promised was sent before the end was over.
        assert len(inbox._mailbox) + (0 if inbox.is_alive() else 1) == (1 if promised == 0 else 0)
        inbox.send("end")
        inbox.value(10)


# Names.


def test_a_registered_coroutine_is_found_by_its_name_until_it_ends() -> None:
    coro = Coro(parked)
    assert coro.register("the name") == 0
    assert Coro.locate("the name") is coro
    assert Coro(Coro.locate, "the name").value(10) is coro
    coro.send(1)
    coro.value(10)
    assert Coro.locate("the name", timeout=0) is None


def test_the_functions_name_is_the_default() -> None:
    coro = Coro(parked)
    assert coro.register() == 0
    assert Coro.locate("parked", timeout=0) is coro
    assert coro.unregister() == 0
    assert coro.unregister() == -1
    assert Coro.locate("parked", timeout=0) is None
    coro.send(1)


def test_a_name_that_is_taken_is_refused_and_is_free_after_its_end() -> None:
    first, second = Coro(parked), Coro(parked)
    assert first.register("taken") == first.register("taken") == 0
    assert second.register("taken") == second.unregister("taken") == -1
    first.send(1)
    first.value(10)
    assert second.register("taken") == 0
    assert Coro.locate("taken") is second
    second.send(1)


def test_a_coroutine_may_have_several_names_and_its_end_frees_them_all() -> None:
    coro = Coro(parked)
    for name in "abc":
        assert coro.register(f"several {name}") == 0
    coro.terminate()
    poll_until(lambda: not coro.is_alive())
    assert [Coro.locate(f"several {name}", timeout=0) for name in "abc"] == [None] * 3


def test_one_that_is_over_gets_no_name() -> None:
    coro = Coro(lambda: None)
    coro.value(10)
    assert coro.register("late") == -1
    assert Coro.locate("late", timeout=0) is None


@everywhere
def test_locate_waits_for_a_name_that_appears_later(place: Callable[..., Any]) -> None:
    coro = Coro(parked)
    name = f"later {place.__name__}"
    timer = threading.Timer(0.05, coro.register, [name])
    timer.start()
    assert place(lambda: Coro.locate(name)) is coro
    timer.join()
    coro.send(1)


@pytest.mark.parametrize("timeout", [0, -1, 0.02])
def test_locate_gives_up_at_its_limit(timeout: float) -> None:
    assert Coro.locate("nobody", timeout=timeout) is None
    assert not module.names.default._listeners


def test_one_that_ends_while_it_is_registered_gets_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    coro = Coro(parked)
    register = module.names.default.register

    def end_first(kind: str, name: str, target: Any) -> bool:
        coro.send(1)
        coro.value(10)
        return register(kind, name, target)

    monkeypatch.setattr(module.names.default, "register", end_first)
    assert coro.register("too late") == -1
    assert Coro.locate("too late", timeout=0) is None


@pytest.mark.usefixtures("frequent_switches")
def test_a_name_registered_while_its_coroutine_ends_does_not_stay() -> None:
    for _ in range(2000):
        coro = Coro(lambda: None)
        while coro.is_alive():
            coro.register("ending")
            coro.unregister("ending")
        coro.register("ending")
    poll_until(lambda: Coro.locate("ending", timeout=0) is None)
    assert not module.names.default._of


# Who keeps the process from ending.


def test_a_coroutine_holds_the_process_unless_it_is_a_daemon() -> None:
    coro = Coro(parked)
    assert coro in process_exit.holding
    assert coro.set_daemon() == 0
    assert coro not in process_exit.holding
    assert coro.set_daemon(False) == 0
    assert coro in process_exit.holding
    coro.send(1)
    coro.value(10)
    poll_until(lambda: coro not in process_exit.holding)


def test_one_that_ends_while_it_is_told_to_hold_the_process_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    coro = Coro(parked)

    class Racing(set[Any]):
        def add(self, member: Any) -> None:
            coro.send(1)
            coro.value(10)
            super().add(member)

    coro.set_daemon()
    monkeypatch.setattr(process_exit, "holding", Racing())
    coro.set_daemon(False)
    assert not process_exit.holding


@pytest.mark.usefixtures("frequent_switches")
def test_one_that_is_over_never_holds_the_process() -> None:
    for _ in range(3000):
        coro = Coro(lambda: None)
        while coro.is_alive():
            coro.set_daemon(False)
        coro.set_daemon(False)
    poll_until(lambda: not process_exit.holding)


def test_in_a_patched_process_all_of_it_works(run: Run) -> None:
    ended = run(
        """
        import gevent
        def echo(coro=None):
            who, message = coro.receive()
            time.sleep(0.01)                     # patched: gives way
            who.send(message * 2)
        def ask(server, coro=None):
            server.send((coro, 21))
            return coro.receive(timeout=5)
        ticks = []
        def tick():
            for _ in range(3):
                ticks.append(threading.get_ident()); time.sleep(0.005)
        ticking = Coro(tick)
        assert Coro(ask, Coro(echo)).value() == 42
        ticking.value()
        got = []
        thread = threading.Thread(target=lambda: got.append(Coro(ask, Coro(echo)).value(5)))
        thread.start(); thread.join()
        assert got == [42] and len(ticks) == 3
        # The main thread's own greenlets run while it waits for a coroutine.
        mine = []
        gevent.spawn_later(0.01, mine.append, 1)
        Coro(sleep, 0.1).value()
        assert mine == [1]
        parked = Coro(lambda coro: coro.receive())
        try: parked.value(0.01)
        except DeadlineExceeded: print("deadline")
        parked.terminate()
        try: parked.value(5)
        except CoroTerminated: print("terminated")
        """,
        patched=True,
    )
    assert (ended.status, ended.out, ended.err) == (0, "deadline\nterminated\n", "")
