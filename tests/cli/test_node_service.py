"""Options of `discoronode.py` on when it serves, for whom, and how it ends."""

import os
import signal
from datetime import datetime, timedelta

import pytest

from greencoro.compute.node_words import LeaseEnded, Refusal, Reserve, ReserveAnswer
from tests.cli.node_daemons import DISCORONODE, leased, token
from tests.cluster.programs import UNDER_NOHUP
from tests.support.polling import poll_until
from tests.support.ports import free_port


@pytest.mark.cluster
@pytest.mark.parametrize(("pulses", "taken"), [(0.9, False), (1.0, True), (5.0, True), (5.1, False)])
def test_min_and_max_pulse_interval(nodes, pulses, taken):
    node = nodes.start("--min_pulse_interval", "1", "--max_pulse_interval", "5")
    holder = nodes.holder(node)
    answer = ReserveAnswer.from_header(holder.ask(Reserve(token(), 1, "a test", pulse_interval=pulses)))
    assert answer.refusal is (None if taken else Refusal.PULSES)


@pytest.mark.cluster
def test_zombie_period_ends_a_computation_without_jobs(nodes):
    node = nodes.start("--zombie_period", "0.5")
    holder = nodes.holder(node)
    assert holder.reserve(token()) == ReserveAnswer()
    assert "no job" in holder.hears(LeaseEnded).reason


@pytest.mark.cluster
def test_serve_ends_the_daemon_after_so_many_computations(nodes):
    node = nodes.start("--serve", "2")
    for _ in range(2):
        client = nodes.client(node, "def run(computation):\n    print(computation.run(pow, 2, 5).value())")
        assert client.line() == "32"
        assert client.wait() == 0
    assert node.wait() == 0


@pytest.mark.cluster
def test_hangup_ends_nothing_under_nohup(programs):
    node = programs.start(*UNDER_NOHUP, DISCORONODE, "-i", "127.0.0.1", "-c", "1", "--port", "0")
    location = node.line().split(" at ")[1].split(": ")[0]
    os.kill(node.pid, signal.SIGHUP)
    status = programs.start("-m", "greencoro", "node", "status", location)
    assert status.wait() == 0
    assert ": in service" in status.rest()
    os.kill(node.pid, signal.SIGTERM)
    assert node.wait() == 0


@pytest.mark.cluster
def test_daemon_does_not_read_commands(nodes):
    reading, writing = os.pipe()
    os.write(writing, b"quit\n")
    node = nodes.start("--daemon", stdin=reading)
    holder = nodes.holder(node)
    assert leased(holder)
    os.close(writing)
    os.kill(node.pid, signal.SIGTERM)
    assert node.wait() == 0
    assert os.read(reading, 100) == b"quit\n", "it is still there"
    os.close(reading)


@pytest.mark.cluster
def test_commands_come_through_a_pipe_whose_end_ends_nothing(nodes):
    reading, writing = os.pipe()
    node = nodes.start(stdin=reading)
    os.close(reading)
    os.write(writing, b"status")
    os.close(writing)
    assert " at " in node.line()
    assert leased(nodes.holder(node))


@pytest.mark.cluster
def test_quit_through_a_pipe(nodes):
    reading, writing = os.pipe()
    node = nodes.start(stdin=reading)
    os.close(reading)
    os.write(writing, b"quit\n")
    assert node.wait() == 0
    os.close(writing)


def clock(hours):
    return f"{datetime.now() + timedelta(hours=hours):%H:%M}"


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("asked", "serves"),
    [
        (["--service_start", -2, "--service_end", 2], True),
        (["--service_end", 2], True),
        (["--service_stop", 2], True),
        (["--service_start", -4, "--service_stop", -2, "--service_end", 2], False),
        (["--service_start", 2, "--service_stop", 4], False),
        (["--service_start", -4, "--service_end", -2], False),
    ],
)
def test_service_start_stop_and_end(nodes, asked, serves):
    given = [clock(each) if isinstance(each, int) else each for each in asked]
    answer = nodes.holder(nodes.start(*given)).reserve(token())
    assert answer.refusal is (None if serves else Refusal.CLOSED)


@pytest.mark.cluster
def test_J10_phoenix_takes_the_place_of_the_daemon_that_runs_and_without_it_a_second_one_is_refused(nodes):
    port = free_port()
    first = nodes.start("--port", port)
    poll_until(first.servers, 20)
    first.look_at_family()
    code, errors = nodes.fails("-i", "127.0.0.1", "--port", port, "-c", "1")
    assert (code, errors.count("\n")) == (1, 1)
    assert f"process {first.pid}; `greencoro node status 127.0.0.1:{port}` says" in errors
    second = nodes.start("--port", port, "--phoenix")
    assert first.process.poll() is not None
    first.all_gone_within(10)
    assert leased(nodes.holder(second))


@pytest.mark.cluster
def test_J10_daemon_that_was_killed_keeps_nobody_out(nodes):
    port = free_port()
    first = nodes.start("--port", port)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert leased(nodes.holder(nodes.start("--port", port)))


@pytest.mark.cluster
def test_drain_seconds_is_what_running_jobs_are_given_at_SIGTERM(nodes):
    node = nodes.start("--drain_seconds", "0.2")
    client = nodes.client(
        node,
        """
def run(computation):
    job = computation.run(time.sleep, 600)
    print("running", flush=True)
    try:
        job.value()
    except Exception as error:
        print("ended")
""",
    )
    assert client.line() == "running"
    os.kill(node.pid, signal.SIGTERM)
    assert node.wait(20) == 0
    assert client.line() == "ended"
