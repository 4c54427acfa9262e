"""What the questions about servers and jobs check of what they are told."""

import os
import subprocess
import sys

import psutil
import pytest

from benchmarks import busy_server, cpu_jobs, idle_memory
from tests.support.polling import poll_until

#: Computes until it is killed, as a server of `busy_server` does.
COMPUTING = "while True: pass"


def reports(numbers, servers=(1, 2), seconds=cpu_jobs.SECONDS):
    """Jobs that took turns at the servers, each 1 ms after the one before."""
    step = seconds + 0.001
    return [
        (number, servers[number % len(servers)], number // len(servers) * step, number // len(servers) * step + seconds)
        for number in numbers
    ]


def test_the_gap_between_the_jobs_of_a_server_is_told():
    sample = cpu_jobs._sample(20, reports)
    assert sample.operations == 20
    assert sample.others["gap us"] == pytest.approx(1000)


@pytest.mark.parametrize(
    "run",
    [
        lambda numbers: reports(numbers)[1:],
        lambda numbers: reports([*numbers[1:], numbers[1]]),
        lambda numbers: reports(numbers, seconds=cpu_jobs.SECONDS / 2),
        lambda numbers: reports(numbers, servers=(1,)),
    ],
    ids=["one is missing", "one came twice", "too short", "one server did all"],
)
def test_jobs_that_did_not_do_what_was_asked_are_no_figure(run):
    with pytest.raises(AssertionError):
        cpu_jobs._sample(20, run)


def test_a_job_uses_the_cpu_time_that_it_should():
    before = psutil.Process().cpu_times()
    number, server, begin, end = cpu_jobs.compute(7, 0.2)
    after = psutil.Process().cpu_times()
    assert (number, server) == (7, os.getpid())
    assert end - begin >= 0.19
    assert sum(after[:2]) - sum(before[:2]) >= 0.15


@pytest.fixture
def process():
    """Starts a process that runs such a program; it is there when its number is returned."""
    started = []

    def start(program):
        command = [sys.executable, "-c", f"print(flush=True)\n{program}"]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        started[-1].stdout.readline()
        return started[-1].pid

    yield start
    for each in started:
        each.kill()
        each.communicate()


def test_messages_to_a_server_that_computes_have_a_median_and_a_high(process):
    server = process(COMPUTING)

    def send_all(trips):
        # Until it has had enough CPU time for that to be counted.
        until = busy_server._cpu_seconds(server) + 0.1
        poll_until(lambda: busy_server._cpu_seconds(server) >= until, seconds=20)
        return [*[0.1] * (trips - 2), 0.2, 0.3]

    sample = busy_server._ask(100, server, send_all)
    assert (sample.figure, sample.others["p99 ms"]) == (100.0, 200.0)
    assert sample.others["server CPU"] > 0


def test_messages_to_a_server_that_does_not_compute_are_no_figure(process):
    idle = process("input()")

    def send_all(trips):
        return busy_server._one_by_one(lambda number: number)(trips)

    with pytest.raises(AssertionError, match="the server computed for"):
        busy_server._ask(50, idle, send_all)


def test_a_message_that_was_not_confirmed_is_no_figure():
    with pytest.raises(AssertionError):
        busy_server._one_by_one(lambda number: 0)(3)


def test_a_server_that_runs_no_job_is_no_figure(monkeypatch):
    clock = iter(range(0, 1000, 5))
    monkeypatch.setattr(idle_memory.time, "monotonic", lambda: next(clock))
    with pytest.raises(AssertionError, match="only 1 servers had a job"):
        idle_memory._seen(lambda jobs: [4711] * jobs)


def test_the_memory_is_that_of_the_servers_and_of_others_beside_them(process):
    servers = [process("input()"), process("input()")]
    process("input()")
    sample = idle_memory._sample(1, servers)
    assert 3 < sample.figure < 60
    assert 0 < sample.others["PSS MB"] < sample.figure
    assert sample.others["others PSS MB"] > 1


def test_two_servers_in_one_process_are_no_figure(process):
    server = process("input()")
    with pytest.raises(AssertionError):
        idle_memory._sample(1, [server, server])
