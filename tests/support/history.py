"""What senders sent and receivers got, checked against what greencoro promises (guarantees.md).

A history is a list of events, each a dictionary that could be a line of JSON:

    {"t": 1.5, "who": "s1", "ev": "send", "to": "r1", "n": 17, "res": 0}       (or "deliver"; or "call")
    {"t": 1.6, "who": "r1", "ev": "recv", "from": "s1", "n": 17}
    {"t": 1.7, "who": "s1", "ev": "channel send", "to": "c1", "n": 18, "res": 0}   (or "channel deliver")
    {"t": 1.0, "who": "c1", "ev": "subscribers", "names": ["r1", "r2"]}        (also those behind other channels)
    {"t": 1.0, "who": "r1", "ev": "limit", "n": 5}                             (its mailbox is bounded)
    {"t": 2.0, "who": "r1", "ev": "end"}                                       (it receives no more, read or unread)

``res`` is what the call returned, or None where an exception ended it: then nothing is promised. An event of a call is
recorded when that is over, one of a receipt before the next. A receiver that takes messages by kind (``match=``) adds
``"kind"`` to its receipts: the order holds within each kind.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from greencoro.hub import native

Event = dict[str, Any]

#: What each kind of call returns where the message is in the mailbox, and where it is not.
_ACCEPTED = {"send": 0, "deliver": 1}
_REFUSED = {"send": -1, "deliver": 0}

_CHANNEL_CALLS = ("channel send", "channel deliver")


class History:
    """Collects the events of one process; any thread may record."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def record(self, who: str, ev: str, **fields: Any) -> None:
        self.events.append({"t": native.monotonic(), "who": who, "ev": ev, **fields})

    def send(self, who: str, ev: str, to: str, n: int, call: Any) -> Any:
        """Record ``call()``, which sends message ``n``, with what it returned or that an exception ended it."""
        result = None
        try:
            result = call()
        finally:
            self.record(who, ev, to=to, n=n, res=result)
        return result


def violations(events: Iterable[Event], overdraw: int = 1) -> list[str]:
    """Every broken promise in a history of one process, as a sentence that begins with the promise's name.

    Args:
        overdraw (int): How many times its limit a mailbox may hold (2 where senders are generator functions).
    """
    events = list(events)
    return [
        *in_order(events),
        *received_once(events),
        *_outcomes(events),
        *_outcomes_of_channels(events),
        *_limits(events, overdraw),
    ]


def in_order(events: list[Event]) -> Iterable[str]:
    """M1: the numbers of each sender increase at each receiver."""
    last: dict[tuple[str, str, Any], int] = {}
    for event in events:
        if event["ev"] == "recv":
            stream = event["who"], event["from"], event.get("kind")
            if event["n"] < last.get(stream, event["n"]):
                yield f"M1: {event['who']} received {event['n']} of {event['from']} after {last[stream]}"
            last[stream] = event["n"]


def received_once(events: list[Event]) -> Iterable[str]:
    """M2: nothing is received twice, nor by two."""
    seen: set[tuple[str, str, int]] = set()
    for event in events:
        if event["ev"] == "recv":
            message = event["who"], event["from"], event["n"]
            if message in seen:
                yield f"M2: {event['who']} received {event['n']} of {event['from']} twice"
            seen.add(message)


def _outcomes(events: list[Event]) -> Iterable[str]:
    """What a call returned agrees with what its receiver got."""
    ended = {event["who"] for event in events if event["ev"] == "end"}
    bounded = {event["who"] for event in events if event["ev"] == "limit"}
    received = {(event["who"], event["from"], event["n"]) for event in events if event["ev"] == "recv"}
    sent = {(to, event["who"], event["n"]) for event, names in _through_channels(events) for to in names}
    for event in events:
        kind, to = event["ev"], event.get("to")
        if kind not in ("send", "deliver", "call"):
            continue
        message = to, event["who"], event["n"]
        sent.add(message)
        what = f"{kind} of {event['n']} by {event['who']} to {to} returned {event['res']!r}"
        if event["res"] is None:
            continue
        if kind == "call":
            # It returned an answer, so the question was read.
            if message not in received:
                yield f"M5: {what}, an answer, and it was never received"
        elif event["res"] == _ACCEPTED[kind]:
            if message not in received and to not in ended:
                yield f"{'M6' if kind == 'deliver' else 'M5'}: {what}, and it was never received"
        elif event["res"] != _REFUSED[kind]:
            yield f"M5: {what}, which means nothing"
        else:
            # Between a deliver's message and its answer the receiver may end, having read it.
            if message in received and not (kind == "deliver" and to in ended):
                yield f"B2: {what}, and it was received"
            if to not in ended and to not in bounded:
                yield f"M5: {what}, though that has no limit and never ended"
    for receiver, sender, number in sorted(received - sent):
        yield f"M2: {receiver} received {number} of {sender}, which was never sent there"


def _through_channels(events: list[Event]) -> list[tuple[Event, list[str]]]:
    """Each call to a channel, with who is to get the message."""
    subscribers = {event["who"]: event["names"] for event in events if event["ev"] == "subscribers"}
    return [(event, subscribers[event["to"]]) for event in events if event["ev"] in _CHANNEL_CALLS]


def _outcomes_of_channels(events: list[Event]) -> Iterable[str]:
    """What a call to a channel returned agrees with what the subscribers got."""
    ended = {event["who"] for event in events if event["ev"] == "end"}
    bounded = {event["who"] for event in events if event["ev"] == "limit"}
    received = {(event["who"], event["from"], event["n"]) for event in events if event["ev"] == "recv"}
    for event, names in _through_channels(events):
        kind, result = event["ev"], event["res"]
        if result is None:
            continue
        got = {name for name in names if (name, event["who"], event["n"]) in received}
        what = f"{kind} of {event['n']} by {event['who']} to {event['to']} returned {result!r}"
        if kind == "channel deliver":
            # One that ended may have had it, read or unread.
            least, most = len(got - ended), len(got | (ended & set(names)))
            if not least <= result <= most:
                yield f"M6: {what}, and it was received by {sorted(got)}"
        elif result != 0:
            yield f"M5: {what}, though that was not closed"
        for name in sorted(set(names) - got - ended - bounded):
            yield f"M5: {what}, and {name}, which has no limit and never ended, did not receive it"


def _limits(events: list[Event], overdraw: int) -> Iterable[str]:
    """B2: no mailbox holds more than its limit."""
    limits = {event["who"]: event["n"] for event in events if event["ev"] == "limit"}
    inside: dict[str, set[tuple[str, int]]] = defaultdict(set)
    early: dict[str, set[tuple[str, int]]] = defaultdict(set)
    most: dict[str, int] = defaultdict(int)
    for event in events:
        if event["ev"] == "recv":
            who, message = event["who"], (event["from"], event["n"])
            # A receiver may be faster than the sender that records what was accepted.
            (inside[who].remove if message in inside[who] else early[who].add)(message)
        elif event["ev"] in _ACCEPTED and event["res"] == _ACCEPTED[event["ev"]]:
            who, message = event["to"], (event["who"], event["n"])
            (early[who].remove if message in early[who] else inside[who].add)(message)
            most[who] = max(most[who], len(inside[who]))
    for who, limit in limits.items():
        # One more: what the receiver took and has not recorded yet.
        if most[who] > limit * overdraw + 1:
            yield f"B2: the mailbox of {who} held {most[who] - 1} messages, and its limit is {limit}"
