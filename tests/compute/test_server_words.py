import dataclasses
import json

import pytest

from greencoro.compute.server_words import (
    Assign,
    Configure,
    CountJobs,
    Drain,
    Drained,
    End,
    Jobs,
    Ready,
    read_configuration,
    read_order,
    read_report,
    to_line,
)
from greencoro.distributed.location import Location
from greencoro.errors import RemoteProtocolError

KEY = "ab" * 32
CONFIGURE = Configure(KEY, "10.0.0.1", 0, "node-1", "/tmp/x", {"tick_seconds": 5.0}, 30)
CONFIGURE_ALL = dataclasses.replace(
    CONFIGURE,
    discover_peers=True,
    udp_port=5,
    peers=(Location("::1", 6),),
    limits=("cpu=5",),
    user="a",
    has_listener=True,
)
ORDERS = [Assign(KEY), CountJobs(), Drain(), End()]
REPORTS = [Ready("cd" * 16, Location("10.0.0.1", 5), "node-1", 4711), Jobs(3), Drained()]


def sent(word):
    return json.loads(json.dumps(to_line(word)))


def test_each_line_arrives_as_it_was_said():
    for word in (CONFIGURE, CONFIGURE_ALL):
        assert read_configuration(sent(word)) == word
    assert [read_order(sent(order)) for order in ORDERS] == ORDERS
    assert [read_report(sent(report)) for report in REPORTS] == REPORTS


@pytest.mark.parametrize(
    "line", [*map(to_line, [CONFIGURE, *ORDERS]), 7, None, [], {}, {"word": 1}, {"word": ["jobs"]}]
)
def test_what_is_no_report_is_refused(line):
    with pytest.raises(RemoteProtocolError):
        read_report(line)


@pytest.mark.parametrize("line", [to_line(CONFIGURE), *map(to_line, REPORTS), {"word": "assign", "token": "x"}])
def test_what_is_no_order_is_refused(line):
    with pytest.raises(RemoteProtocolError):
        read_order(line)


def test_S5_neither_key_nor_token_is_shown():
    assert KEY not in repr(CONFIGURE) + repr(Assign(KEY))
