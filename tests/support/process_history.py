"""Histories of several processes between which connections break, checked against what greencoro promises.

The events of `history`, with ``who`` and ``to`` as "node/coroutine", and besides:

    {"t": 1.0, "who": "a", "ev": "peer", "peer": "b", "inc": "6f…", "status": "online"}    (or "offline", "dropped": 3)
    {"t": 1.5, "who": "a/m", "ev": "monitor", "target": "b/t", "res": 0}                   (what `monitor` returned)
    {"t": 1.6, "who": "b/t", "ev": "over", "reason": "exception"}                          (as the coroutine sees it)
    {"t": 1.7, "who": "a/m", "ev": "down", "target": "b/t", "reason": "exception"}         (the notice)
    {"t": 1.7, "who": "b/r", "ev": "altered", "from": "a/s", "n": 17}                      (not what was sent)
    {"t": 1.7, "who": "a/s", "ev": "withdrawn", "to": "b/r", "n": 18}                      (before it went; after a 0)
    {"t": 1.8, "who": "b", "ev": "killed"}                                                 (its file ends anywhere)

Each process writes a file of its own, a line of JSON an event. The clocks of the processes of one machine are one.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.support.history import Event, History, in_order, received_once

__all__ = ["HistoryFile", "read_histories", "violations_between"]

#: What each call returns where it was accepted, and where not.
_RESULTS = {"send": (0, -1), "deliver": (1, 0)}


class HistoryFile(History):
    """Writes its events to a file at once, so that they outlive the process."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("a", buffering=1)

    def record(self, who: str, ev: str, **fields: Any) -> None:
        super().record(who, ev, **fields)
        # One write, so that threads do not mix their lines.
        self._file.write(json.dumps(self.events.pop()) + "\n")


def read_histories(paths: Iterable[Path]) -> list[Event]:
    """The events of all these files in the order of time; a last line that a kill cut short is left out."""
    lines = [line for path in paths for line in path.read_text().splitlines(keepends=True)]
    return sorted((json.loads(line) for line in lines if line.endswith("\n")), key=lambda event: event["t"])


def violations_between(events: Iterable[Event]) -> list[str]:
    """Every broken promise, as a sentence that begins with the promise's name."""
    story = _Story(list(events))
    return [
        *in_order(story.events),
        *received_once(story.events),
        *_outcomes(story),
        *_withdrawals(story),
        *_gaps(story),
        *_more_lost_than_told(story),
        *_alternation(story),
        *_notices(story),
        *_messages_after_notices(story),
        *_alterations(story),
    ]


def node_of(who: str) -> str:
    """The process that a coroutine runs in."""
    return who.partition("/")[0]


class _Story:
    """The events, and what several rules ask of them."""

    def __init__(self, events: list[Event]) -> None:
        self.events = events
        self.killed = {event["who"] for event in events if event["ev"] == "killed"}
        self.received = {(event["who"], event["from"], event["n"]) for event in events if event["ev"] == "recv"}
        #: (node, peer) -> when that node heard that the peer was lost.
        self.losses: dict[tuple[str, str], list[float]] = defaultdict(list)
        #: (node, peer) -> how many messages it was told may be lost, each time.
        self.dropped: dict[tuple[str, str], list[int]] = defaultdict(list)
        for event in events:
            if event["ev"] == "peer" and event["status"] == "offline":
                self.losses[event["who"], event["peer"]].append(event["t"])
                self.dropped[event["who"], event["peer"]].append(event["dropped"])

    def died(self, who: str) -> bool:
        return node_of(who) in self.killed

    def lost_between(self, who: str, other: str, after: float, before: float) -> bool:
        """Did the process of ``who`` hear meanwhile that the one of ``other`` was lost?"""
        return any(after <= t <= before for t in self.losses[node_of(who), node_of(other)])


def _outcomes(story: _Story) -> Iterable[str]:
    """What a call returned agrees with what its receiver got."""
    sent = set()
    for event in story.events:
        kind = event["ev"]
        if kind not in _RESULTS:
            continue
        message = event["to"], event["who"], event["n"]
        sent.add(message)
        what = f"{kind} of {event['n']} by {event['who']} to {event['to']} returned {event['res']!r}"
        if event["res"] is None:
            continue
        if event["res"] not in _RESULTS[kind]:
            yield f"M5: {what}, which means nothing"
        elif kind == "deliver" and event["res"] == 1 and message not in story.received and not story.died(event["to"]):
            yield f"M6: {what}, and it was never received"
        elif kind == "send" and event["res"] == -1 and message in story.received:
            yield f"M5: {what}, and it was received"
    for receiver, sender, number in sorted(story.received - sent):
        # The last call of one that was killed may not have been recorded.
        if not story.died(sender):
            yield f"M2: {receiver} received {number} of {sender}, which was never sent there"


def _withdrawals(story: _Story) -> Iterable[str]:
    """M6: what was withdrawn does not come."""
    for event in story.events:
        if event["ev"] == "withdrawn" and (event["to"], event["who"], event["n"]) in story.received:
            yield f"M6: {event['to']} received {event['n']} of {event['who']}, which was withdrawn"


def _gaps(story: _Story) -> Iterable[str]:
    """M3: what is missing was lost with a link; the sender's process was told of that, and the sender by a call."""
    streams: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in story.events:
        if event["ev"] in _RESULTS:
            streams[event["who"], event["to"]].append(event)
    for (sender, receiver), calls in streams.items():
        next_arrived: float | None = None
        refused = False
        for event in reversed(calls):
            n = event["n"]
            if (receiver, sender, n) in story.received:
                next_arrived, refused = event["t"], False
            elif event["res"] == _RESULTS[event["ev"]][1]:
                refused = True
            elif event["ev"] == "send" and event["res"] == 0:
                if next_arrived is not None:
                    if not story.lost_between(sender, receiver, event["t"], next_arrived):
                        yield f"M3: {receiver} received later messages of {sender} and not {n}, with no loss between"
                    elif not refused:
                        yield f"M3: {receiver} received later messages of {sender} and not {n}, and no call said so"
                elif not (
                    story.died(sender)
                    or story.died(receiver)
                    or story.lost_between(sender, receiver, event["t"], float("inf"))
                ):
                    yield f"M3: {receiver} never received {n} of {sender}, whose process was told of no loss"


def _more_lost_than_told(story: _Story) -> Iterable[str]:
    """M3: of the messages after any loss, no more are missing than the sender's process was told from then on."""
    # (node, peer) -> what is missing before the first loss, between that and the second, ...
    missing: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    for event in story.events:
        if event["ev"] == "send" and event["res"] == 0 and not (story.died(event["who"]) or story.died(event["to"])):
            pair = node_of(event["who"]), node_of(event["to"])
            if (event["to"], event["who"], event["n"]) not in story.received:
                missing[pair][bisect_left(story.losses[pair], event["t"])] += 1
    for pair, counts in missing.items():
        lost = told = 0
        # Backwards, so that what an early loss told too much of makes up for no later one.
        for number, dropped in reversed(list(enumerate(story.dropped[pair]))):
            lost += counts[number]
            told += dropped
            if lost > told:
                yield f"M3: {pair[0]} was told that {told} messages to {pair[1]} may be lost, and {lost} were"
                break


def _alternation(story: _Story) -> Iterable[str]:
    """N3: online and offline take turns for each incarnation, beginning with online."""
    last: dict[tuple[str, str], str] = defaultdict(lambda: "offline")
    for event in story.events:
        if event["ev"] == "peer":
            key = event["who"], event["inc"]
            if event["status"] == last[key]:
                yield f"N3: {event['who']} was told twice in a row that {event['peer']} is {event['status']}"
            last[key] = event["status"]


def _notices(story: _Story) -> Iterable[str]:
    """N4: a monitor that was set fires exactly once, and tells the truth."""
    asked = {(event["who"], event["target"], event["res"]) for event in story.events if event["ev"] == "monitor"}
    ends = {event["who"]: event["reason"] for event in story.events if event["ev"] == "over"}
    downs = [event for event in story.events if event["ev"] == "down"]
    count = Counter((event["who"], event["target"]) for event in downs)
    for who, target in sorted({(who, target) for who, target, _ in asked} | set(count)):
        came, due = count[who, target], int((who, target, 0) in asked)
        if came > due or (came < due and not story.died(who)):
            yield f"N4: {who} got {came} notices of {target} instead of {due}"
    for event in downs:
        who, target, reason = event["who"], event["target"], event["reason"]
        if reason == "lost":
            if not story.lost_between(who, target, 0.0, float("inf")):
                yield f"N4: {who} was told that {target} is lost, and its process was told of no loss"
        elif reason != ends.get(target, reason if story.died(target) else None):
            yield f"N4: {who} was told that {target} is over ({reason}), and it was not so: {ends.get(target)}"


def _messages_after_notices(story: _Story) -> Iterable[str]:
    """N5: what a coroutine sent came before the notice of its end."""
    over: set[tuple[str, str]] = set()
    for event in story.events:
        if event["ev"] == "down" and event["reason"] != "lost":
            over.add((event["who"], event["target"]))
        elif event["ev"] == "recv" and (event["who"], event["from"]) in over:
            yield f"N5: {event['who']} received {event['n']} of {event['from']} after the notice of its end"


def _alterations(story: _Story) -> Iterable[str]:
    """S3: what is received is what was sent."""
    for event in story.events:
        if event["ev"] == "altered":
            yield f"S3: {event['who']} received {event['n']} of {event['from']} altered"
