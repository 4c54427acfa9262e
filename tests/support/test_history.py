"""Histories that break a promise, each found by the checker; and some that look odd and break none."""

import threading

import pytest

from tests.support.history import Event, History, violations


def sent(n: int, res: int | None = 0, who: str = "s", to: str = "r", ev: str = "send") -> Event:
    return {"t": 0.0, "who": who, "ev": ev, "to": to, "n": n, "res": res}


def got(n: int, who: str = "r", sender: str = "s", **kind: str) -> Event:
    return {"t": 0.0, "who": who, "ev": "recv", "from": sender, "n": n, **kind}


END: Event = {"t": 0.0, "who": "r", "ev": "end"}


def limit(n: int) -> Event:
    return {"t": 0.0, "who": "r", "ev": "limit", "n": n}


@pytest.mark.parametrize(
    ("events", "violation"),
    [
        ([sent(1), sent(2), got(2), got(1)], "M1: r received 1 of s after 2"),
        ([sent(1, 1, ev="deliver"), sent(2), got(2), got(1)], "M1: r received 1 of s after 2"),
        (
            [
                sent(1),
                sent(2),
                got(2, kind="even"),
                sent(4),
                got(4, kind="even"),
                sent(3),
                got(3, kind="odd"),
                got(1, kind="odd"),
            ],
            "M1: r received 1 of s after 3",
        ),
        ([sent(1), got(1), got(1)], "M2: r received 1 of s twice"),
        ([sent(1), sent(2), got(1), got(2), got(2)], "M2: r received 2 of s twice"),
        ([got(1)], "M2: r received 1 of s, which was never sent there"),
        ([sent(1, to="other"), got(1, who="other"), got(1)], "M2: r received 1 of s, which was never sent there"),
        ([sent(1)], "M5: send of 1 by s to r returned 0, and it was never received"),
        ([sent(1, 1, ev="deliver")], "M6: deliver of 1 by s to r returned 1, and it was never received"),
        (
            [sent(1), got(1, who="other"), sent(1, to="other")],
            "M5: send of 1 by s to r returned 0, and it was never received",
        ),
        ([sent(1, 7, ev="call")], "M5: call of 1 by s to r returned 7, an answer, and it was never received"),
        ([sent(1, 7, ev="call"), END], "M5: call of 1 by s to r returned 7, an answer, and it was never received"),
        ([limit(1), sent(1, -1), got(1)], "B2: send of 1 by s to r returned -1, and it was received"),
        ([END, sent(1, -1), got(1)], "B2: send of 1 by s to r returned -1, and it was received"),
        ([limit(1), sent(1, 0, ev="deliver"), got(1)], "B2: deliver of 1 by s to r returned 0, and it was received"),
        ([sent(1, -1)], "M5: send of 1 by s to r returned -1, though that has no limit and never ended"),
        ([sent(1, 0, ev="deliver")], "M5: deliver of 1 by s to r returned 0, though that has no limit and never ended"),
        ([sent(1, 1), got(1)], "M5: send of 1 by s to r returned 1, which means nothing"),
        (
            [limit(2), *(sent(n) for n in range(4)), *(got(n) for n in range(4))],
            "B2: the mailbox of r held 3 messages, and its limit is 2",
        ),
    ],
)
def test_a_history_that_breaks_a_promise_is_found(events: list[Event], violation: str) -> None:
    assert violations(events) == [violation]


@pytest.mark.parametrize(
    "events",
    [
        [],
        [sent(1), got(1)],
        [got(1), sent(1)],  # recorded when the call was over
        [sent(1), sent(3, 1, ev="deliver"), got(1), got(3)],  # numbers of one sender, not all to one receiver
        [sent(2), sent(1, who="t"), got(2), got(1, sender="t")],  # nothing is promised between senders
        [sent(1), sent(2), got(2, kind="even"), got(1, kind="odd")],
        [sent(1), END],
        [sent(1, 1, ev="deliver"), END],
        [sent(1, -1), END],
        [sent(1, -1), limit(1)],
        [sent(1, 0, ev="deliver"), END, got(1)],
        [sent(1, None), sent(2, None), got(2)],  # ended by an exception, one before and one after it was in
        [sent(1, 7, ev="call"), got(1)],
        [sent(1, None, ev="call"), got(1)],
        [limit(2), *(sent(n) for n in range(3)), *(got(n) for n in range(3))],  # one of them taken, not recorded yet
        [limit(1), *(event for n in range(9) for event in (got(n), sent(n)))],
    ],
)
def test_a_history_that_breaks_none_is_let_by(events: list[Event]) -> None:
    assert violations(events) == []


def test_twice_the_limit_is_allowed_where_senders_may_overdraw() -> None:
    def history(number: int) -> list[Event]:
        return [limit(2), *(sent(n) for n in range(number)), *(got(n) for n in range(number))]

    assert violations(history(5), overdraw=2) == []
    assert violations(history(6), overdraw=2) == ["B2: the mailbox of r held 5 messages, and its limit is 2"]


def test_each_violation_is_told() -> None:
    told = violations([sent(1), sent(2), got(2), got(1), got(1), sent(3)])
    assert [sentence[:2] for sentence in told] == ["M1", "M2", "M5"]


def test_a_call_is_recorded_with_its_result_or_that_an_exception_ended_it() -> None:
    history = History()
    assert history.send("s", "send", "r", 1, lambda: 0) == 0
    with pytest.raises(ZeroDivisionError):
        history.send("s", "deliver", "r", 2, lambda: 1 / 0)
    assert [{**event, "t": 0.0} for event in history.events] == [sent(1), sent(2, None, ev="deliver")]


def test_any_thread_may_record() -> None:
    history = History()
    threads = [threading.Thread(target=history.record, args=[str(n), "end"]) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(event["who"] for event in history.events) == list("01234")
    assert [event["t"] for event in history.events] == sorted(event["t"] for event in history.events)


SUBSCRIBERS: Event = {"t": 0.0, "who": "c", "ev": "subscribers", "names": ["r", "q"]}


@pytest.mark.parametrize(
    ("events", "violation"),
    [
        (
            [sent(1, to="c", ev="channel send"), got(1), limit(1)],
            "M5: channel send of 1 by s to c returned 0, and q, which has no limit and never ended, did not receive it",
        ),
        (
            [sent(1, -1, to="c", ev="channel send"), got(1), got(1, "q")],
            "M5: channel send of 1 by s to c returned -1, though that was not closed",
        ),
        (
            [sent(1, 1, to="c", ev="channel deliver"), got(1), got(1, "q")],
            "M6: channel deliver of 1 by s to c returned 1, and it was received by ['q', 'r']",
        ),
        (
            [sent(1, 3, to="c", ev="channel deliver"), got(1, "q"), END],
            "M6: channel deliver of 1 by s to c returned 3, and it was received by ['q']",
        ),
        (
            [sent(1, to="c", ev="channel send"), sent(2), got(2), got(1), got(1, "q")],
            "M1: r received 1 of s after 2",
        ),
    ],
)
def test_a_broken_promise_of_a_channel_is_found(events: list[Event], violation: str) -> None:
    assert violations([SUBSCRIBERS, *events]) == [violation]


@pytest.mark.parametrize(
    "events",
    [
        [sent(1, to="c", ev="channel send"), got(1), got(1, "q")],
        [sent(1, to="c", ev="channel send"), got(1, "q"), limit(1)],
        [sent(1, None, to="c", ev="channel deliver"), got(1, "q")],
        [sent(1, 2, to="c", ev="channel deliver"), got(1, "q"), END],
        [sent(1, 1, to="c", ev="channel deliver"), got(1, "q"), END],
        [sent(1, 1, to="c", ev="channel deliver"), got(1, "q"), got(1), END],
    ],
)
def test_what_a_channel_leaves_open_breaks_no_promise(events: list[Event]) -> None:
    assert violations([SUBSCRIBERS, *events]) == []
