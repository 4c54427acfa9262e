import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from greencoro import Coro, Terminated, sleep
from greencoro.hub import native, userhub
from greencoro.hub.mailbox import Encoded, Mailbox
from tests.support.polling import poll_until

from .conftest import Run


def on_hub(function: Callable[..., Any], *args: Any) -> Any:
    return Coro(function, *args).value(20)


class Letter(Encoded):
    def __init__(self, message: Any, usable: bool = True) -> None:
        self.message, self.usable = message, usable

    def decode(self) -> tuple[bool, Any]:
        return self.usable, self.message


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    Coro(lambda: None).value(10)
    yield Mailbox()


def test_messages_come_out_in_the_order_they_went_in(mailbox: Mailbox) -> None:
    for number in range(100):
        mailbox.put(number)
    assert len(mailbox) == 100
    assert on_hub(lambda: [mailbox.take(None, None) for _ in range(100)]) == list(range(100))
    assert len(mailbox) == 0


def test_any_object_is_a_message(mailbox: Mailbox) -> None:
    messages = [None, 0, "", [], object(), ValueError("not raised"), b""]
    for message in messages:
        mailbox.put(message)
    taken = on_hub(lambda: [mailbox.take(None, "alarm") for _ in messages])
    assert all(a is b for a, b in zip(messages, taken, strict=True))


def test_taking_waits_for_a_message_from_another_thread(mailbox: Mailbox) -> None:
    taker = Coro(mailbox.take, None, None)
    poll_until(lambda: mailbox._receiver is not None)
    mailbox.put("late")
    assert taker.value(10) == "late"


@pytest.mark.parametrize("timeout", [0, -1, -0.0])
def test_without_time_it_takes_only_what_is_there(mailbox: Mailbox, timeout: float) -> None:
    assert on_hub(mailbox.take, timeout, "alarm") == "alarm"
    mailbox.put("there")
    assert on_hub(mailbox.take, timeout, "alarm") == "there"


def test_the_alarm_value_comes_when_the_time_is_over_and_not_before(mailbox: Mailbox) -> None:
    def timed() -> tuple[Any, float]:
        began = time.monotonic()
        return mailbox.take(0.05, "alarm"), time.monotonic() - began

    value, seconds = on_hub(timed)
    assert value == "alarm"
    assert 0.05 <= seconds < 10
    assert mailbox._receiver is None


def test_a_message_ends_a_wait_with_a_limit(mailbox: Mailbox) -> None:
    taker = Coro(mailbox.take, 20, "alarm")
    poll_until(lambda: mailbox._receiver is not None)
    mailbox.put("in time")
    assert taker.value(10) == "in time"


def test_a_limit_without_end_is_allowed(mailbox: Mailbox) -> None:
    taker = Coro(mailbox.take, float("inf"), "alarm")
    poll_until(lambda: mailbox._receiver is not None)
    mailbox.put("message")
    assert taker.value(10) == "message"


def test_a_limit_that_is_no_number_is_refused_or_over_and_disturbs_no_other_timer(mailbox: Mailbox) -> None:
    waiting = Coro(sleep, 0.05)
    assert on_hub(mailbox.take, float("nan"), "alarm") == "alarm"
    assert waiting.value(10) is None
    with pytest.raises(TypeError):
        on_hub(mailbox.take, "soon", None)


def test_a_wake_up_that_came_late_does_not_shorten_the_next_wait(mailbox: Mailbox) -> None:
    # What another thread posts when it saw a receiver may run when that has taken the message and waits again.
    def take() -> tuple[Any, float]:
        began = time.monotonic()
        gevent.get_hub().loop.run_callback(mailbox._wake)
        return mailbox.take(0.1, "alarm"), time.monotonic() - began

    value, seconds = on_hub(take)
    assert value == "alarm" and seconds >= 0.1


def test_no_alarm_comes_early_while_another_thread_sends(mailbox: Mailbox) -> None:
    number = 30_000

    def take() -> tuple[list[Any], int]:
        taken, early = [], 0
        while len(taken) < number:
            message = mailbox.take(10, "alarm")
            if message == "alarm":
                early += 1
            else:
                taken.append(message)
        return taken, early

    taker = Coro(take)
    for n in range(number):
        mailbox.put(n)
    taken, early = taker.value(20)
    assert early == 0
    assert taken == list(range(number))


def test_a_timer_of_an_earlier_wait_does_not_end_a_later_one(mailbox: Mailbox) -> None:
    def take() -> tuple[Any, Any, float]:
        # It comes at the next turn of the hub: during the wait, and before its time is over on any machine.
        userhub.call_soon(mailbox.put, "message")
        first = mailbox.take(0.05, "alarm")
        began = time.monotonic()
        return first, mailbox.take(0.2, "alarm"), time.monotonic() - began

    first, second, seconds = on_hub(take)
    assert (first, second) == ("message", "alarm")
    assert seconds >= 0.2


def test_a_message_that_came_as_bytes_is_decoded_when_it_is_taken(mailbox: Mailbox) -> None:
    mailbox.put(Letter("read"))
    assert on_hub(mailbox.take, 0, "alarm") == "read"


def test_what_cannot_be_decoded_is_passed_over(mailbox: Mailbox) -> None:
    for message in (Letter("broken", usable=False), Letter("good"), Letter("broken", usable=False)):
        mailbox.put(message)
    assert on_hub(mailbox.take, None, None) == "good"
    assert on_hub(mailbox.take, 0, "alarm") == "alarm"


def test_passing_over_does_not_lengthen_the_wait(mailbox: Mailbox) -> None:
    def send_rubbish() -> None:
        while taker.is_alive():
            mailbox.put(Letter("broken", usable=False))
            sleep(0.01)

    def timed() -> tuple[Any, float]:
        began = time.monotonic()
        return mailbox.take(0.1, "alarm"), time.monotonic() - began

    taker = Coro(timed)
    sender = Coro(send_rubbish)
    value, seconds = taker.value(10)
    assert value == "alarm" and 0.1 <= seconds < 10
    sender.value(10)


@pytest.mark.parametrize("timeout", [None, 30])
def test_a_taker_that_is_ended_is_forgotten_and_the_messages_stay(mailbox: Mailbox, timeout: float | None) -> None:
    ended: list[bool] = []

    def take() -> None:
        try:
            mailbox.take(timeout, None)
        except Terminated:
            ended.append(mailbox._receiver is None)

    taker = Coro(take)
    poll_until(lambda: mailbox._receiver is not None)
    taker.terminate()
    taker.value(10)
    assert ended == [True]
    mailbox.put("kept")
    assert len(mailbox) == 1


def test_a_message_and_a_gevent_timeout_at_once_leave_no_wake_up_behind(mailbox: Mailbox) -> None:
    # Both come in one turn of the loop: the taker is in the ready queue when the timeout is thrown into it.
    def take() -> float:
        me = gevent.getcurrent()

        def both() -> None:
            mailbox.put("message")
            me.throw(gevent.Timeout(0))

        gevent.get_hub().loop.run_callback(both)
        try:
            mailbox.take(None, None)
        except gevent.Timeout:
            began = time.monotonic()
            sleep(0.1)
            return time.monotonic() - began
        return 0.0

    assert on_hub(take) >= 0.1


def test_putting_never_switches(mailbox: Mailbox) -> None:
    def put() -> int:
        before = mailbox._receiver
        mailbox.put(1)
        assert before is not None
        return len(mailbox)

    taker = Coro(mailbox.take, None, None)
    poll_until(lambda: mailbox._receiver is not None)
    assert on_hub(put) == 1
    assert taker.value(10) == 1


def test_of_two_threads_that_send_the_first_message_none_is_lost() -> None:
    for _ in range(300):
        box = Mailbox()
        threads = [native.Thread(lambda n=n, box=box: box.put(n), "sender") for n in range(3)]
        for thread in threads:
            thread.start()
        assert all(thread.join(10) for thread in threads)
        assert len(box) == 3


def test_eight_threads_at_once_lose_nothing_and_keep_their_order(mailbox: Mailbox) -> None:
    senders, each = 8, 20_000

    def take() -> list[list[int]]:
        got: list[list[int]] = [[] for _ in range(senders)]
        for _ in range(senders * each):
            sender, number = mailbox.take(None, None)
            got[sender].append(number)
        return got

    def send(sender: int) -> None:
        for number in range(each):
            mailbox.put((sender, number))

    taker = Coro(take)
    threads = [native.Thread(lambda sender=sender: send(sender), "sender") for sender in range(senders)]
    for thread in threads:
        thread.start()
    got = taker.value(40)
    assert all(thread.join(10) for thread in threads)
    assert got == [list(range(each))] * senders


@pytest.mark.parametrize("timeout", [None, 20])
def test_a_message_that_comes_after_the_look_and_before_the_wait_is_taken(
    mailbox: Mailbox, timeout: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getcurrent() -> Any:
        # As another thread does it that sees nobody waiting yet.
        mailbox._make_queue().append("just then")
        return gevent.getcurrent()

    monkeypatch.setattr("greencoro.hub.mailbox.getcurrent", getcurrent)
    assert on_hub(mailbox.take, timeout, "alarm") == "just then"
    assert mailbox._receiver is None


@pytest.mark.usefixtures("frequent_switches")
@pytest.mark.parametrize("timeout", [None, 20])
def test_no_wake_up_is_lost_when_messages_come_as_fast_as_they_are_taken(
    mailbox: Mailbox, timeout: float | None
) -> None:
    number = 5000
    taken = [-1]

    def take() -> int:
        for _ in range(number):
            taken[0] = mailbox.take(timeout, None)
        return taken[0]

    taker = Coro(take)
    for n in range(number):
        mailbox.put(n)
        # A wake-up that is lost is lost for good.
        began = time.monotonic()
        while taken[0] < n and time.monotonic() < began + 10:
            pass
        assert taken[0] == n
    assert taker.value(10) == number - 1


def test_clearing_drops_what_is_there(mailbox: Mailbox) -> None:
    mailbox.put(1)
    mailbox.clear()
    assert len(mailbox) == 0
    mailbox.put(2)
    assert on_hub(mailbox.take, 0, None) == 2


def test_an_empty_mailbox_holds_no_queue(mailbox: Mailbox) -> None:
    assert on_hub(mailbox.take, 0, "alarm") == "alarm"
    assert mailbox._queue is None


def test_the_hub_of_these_tests_runs_in_a_thread_of_its_own() -> None:
    assert userhub.is_started() and not userhub.on_hub()


def test_a_signal_handler_may_send_a_first_message_while_its_thread_does(run: Run) -> None:
    ended = run("""
        from greencoro.hub.mailbox import Mailbox
        boxes = []
        def handler(number, frame):
            boxes[-1].put("handler")
        signal.signal(signal.SIGALRM, handler)
        boxes.append(Mailbox())
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0001)
        until = time.monotonic() + 1
        while time.monotonic() < until:
            boxes.append(Mailbox())
            boxes[-1].put("main")
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(all("main" in box._queue for box in boxes[1:]))
    """)
    assert (ended.out, ended.err, ended.status) == ("True\n", "", 0)
