import json

from greencoro.compute.node_report import NodeReport, ServerReport
from greencoro.compute.node_words import Free
from greencoro.distributed.location import Location

AT = Location("10.0.0.1", 51350)
ONE = ServerReport("green-1", "in use", 71, Location("10.0.0.1", 7), True, 1)
TWO = ServerReport("green-2", "in use", 72, Location("10.0.0.1", 8), True, None)
THREE = ServerReport("green-3", "failed, will be started again")
FREE = Free(97.5, 3 * 2**30, 5 * 2**29, 100.0)


def test_a_report_arrives_as_it_was_said():
    report = NodeReport("green", AT, "in service", (ONE, TWO, THREE), "a client", FREE)
    assert NodeReport.from_header(json.loads(json.dumps(report.to_header()))) == report


def test_people_read_a_line_for_the_node_and_one_for_each_server():
    report = NodeReport("green", AT, "in service", (ONE, TWO, THREE), "a client", FREE)
    assert list(report.lines()) == [
        "node green at 10.0.0.1:51350: in service, used by a client; free: CPU 98 %, memory 3.0 GiB, disk 2.5 GiB",
        "green-1 at 10.0.0.1:7, PID 71: in use, 1 coroutine for a client",
        "green-2 at 10.0.0.1:8, PID 72: in use, busy for a client",
        "green-3: failed, will be started again",
    ]


def test_what_is_not_known_is_left_out():
    report = NodeReport("green", AT, "ending", ())
    assert list(report.lines()) == ["node green at 10.0.0.1:51350: ending"]
