import contextlib
import shutil

import psutil
import pytest

from benchmarks import erlang_nodes
from tests.support.polling import poll_until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(shutil.which(erlang_nodes.PROGRAM) is None, reason="Erlang is not installed"),
]


def daemons():
    return {each.pid for each in psutil.process_iter(["name"]) if each.info["name"] == "epmd"}


def children():
    return psutil.Process().children(recursive=True)


def working(processes):
    """Those that go on: not yet waited for is over, too."""
    found = []
    for each in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
    return found


def listening():
    """Addresses that a child of this process listens at."""
    return [
        connection.laddr.ip
        for child in children()
        for connection in child.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]


def test_only_one_node_listens_on_loopback_and_no_daemon_is_started():
    before = daemons()
    with erlang_nodes.script("round_trip", 100) as client:
        client.wait_until_ready()
        assert listening() == ["127.0.0.1"]
        assert daemons() <= before
    assert daemons() <= before


def test_nothing_is_running_or_written_when_the_with_statement_is_over(monkeypatch, tmp_path):
    monkeypatch.setattr(erlang_nodes.tempfile, "tempdir", str(tmp_path))
    with erlang_nodes.script("one_way", 100) as client:
        client.wait_until_ready()
        started = children()
        assert len(started) >= 2
    poll_until(lambda: not working(started))
    assert list(tmp_path.iterdir()) == []


def test_nodes_in_the_middle_of_their_work_are_ended():
    with erlang_nodes.script("round_trip", 10**9):
        started = children()
        assert started
    poll_until(lambda: not working(started))


def test_a_question_of_one_turn_is_measured_by_operation():
    measurement = erlang_nodes.measure("one_way", 1000)
    assert measurement.operations == 1000
    assert 0 < measurement.seconds < 60


def test_the_median_comes_before_what_99_of_100_took_at_most():
    with erlang_nodes.script("round_trip", 500) as client:
        client.wait_until_ready()
        median = client.take_turn()
        client.wait_until_ready()
        assert 0 < median <= client.take_turn()


def test_a_question_that_it_does_not_know_is_an_error_and_no_wait():
    with (
        pytest.raises(RuntimeError, match="should have said 'ready'"),
        erlang_nodes.script("spam", 1) as client,
    ):
        client.wait_until_ready()
