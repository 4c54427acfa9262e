"""The shell of a connection: what it does as its stream ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from greencoro.distributed.wire import Wire


@pytest.mark.parametrize("is_current", [True, False], ids=["the reactor", "the hub"])
def test_of_a_stream_that_is_about_to_be_closed_the_hub_watches_nothing(is_current: bool) -> None:
    """Also where the end has to wait for what the hub has left to the reactor: the stream waits for nothing."""
    told: list[str] = []
    reactor: Any = SimpleNamespace(is_current=is_current, call_later=lambda seconds, function: None)
    wire = Wire(reactor, *(None, None, None), 1.0, 1.0)  # type: ignore[arg-type]
    hub_io: Any = SimpleNamespace(put_behind=lambda *_: not told.append("behind"), stop=lambda: told.append("stop"))
    wire.hub_io = hub_io
    wire.on_end(None)
    assert told == (["behind", "stop"] if is_current else ["behind"])
    wire.on_data(memoryview(b"heard no more"))


def test_M3_the_hub_reads_nothing_more_of_a_connection_that_gives_way() -> None:
    """What it read would count as heard, and come only when another connection goes on: too late to be dealt with."""
    told: list[str] = []
    reactor: Any = SimpleNamespace(is_current=True, call_later=lambda seconds, function: None)
    wire = Wire(reactor, *(None, None, None), 1.0, 1.0)  # type: ignore[arg-type]
    hub_io: Any = SimpleNamespace(
        put_behind=lambda *_: not told.append("behind"),
        stop=lambda: told.append("stop"),
        busy=lambda: told.append("served again"),
    )
    wire.hub_io = hub_io
    wire.give_way(lambda: None)
    wire.flush()
    assert told == ["stop", "behind"]
