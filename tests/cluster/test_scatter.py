"""Objects that every server has once."""

import os
import signal
import statistics
import threading
import time

import pytest

from greencoro import (
    Computation,
    ComputationClosed,
    Coro,
    CoroTerminated,
    Executor,
    PackagingError,
    RemoteCoroScheduler,
    ServerDied,
)
from tests.support.polling import poll_until
from tests.support.sent_bytes import sent_bytes
from tests.support.stopping import stop

pytestmark = pytest.mark.cluster

_MIB = 1 << 20


class Table:
    """Of the client's own."""

    def __init__(self, size):
        self.content = os.urandom(size)


def look_up(table, number=0):
    return os.getpid(), id(table), len(table.content)


def nested(things):
    return [id(each) for each in things["deep"]]


def memory():
    """Of this process, in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def change(things):
    things.append(len(things))
    return things


def echo(coro=None):
    while True:
        sender, what = coro.receive()
        sender.send(what)


def ports(computation):
    return [location.port for location in computation.servers()]


def test_it_is_sent_once_to_each_server_though_every_job_has_it(computation):
    before = sent_bytes()
    table = computation.scatter(Table(20 * _MIB))
    jobs = RemoteCoroScheduler(computation)
    seen = set(jobs.map_results(look_up, [(table, number) for number in range(200)]))
    assert len(seen) == 2, "one object at each of the two servers"
    assert {size for _, _, size in seen} == {20 * _MIB}
    after = sent_bytes()
    sent = [after[port] - before[port] for port in ports(computation)]
    assert all(20 * _MIB < each < 22 * _MIB for each in sent), sent


def test_a_server_that_is_started_anew_gets_it_once_before_it_takes_jobs(computation):
    table = computation.scatter(Table(20 * _MIB))
    pid, _, _ = computation.run(look_up, table).value(20)
    old = set(computation.servers())
    poll_until(lambda: all(sent_bytes().get(port, 0) > 20 * _MIB for port in ports(computation)), 20)
    os.kill(pid, signal.SIGKILL)
    (new,) = poll_until(lambda: set(computation.servers()) - old, 30)
    # Sent already, though no job has asked for it.
    assert 20 * _MIB < sent_bytes()[new.port] < 22 * _MIB
    assert computation.run_at(new, look_up, table).value(20)[2] == 20 * _MIB
    assert computation.run_at(new, look_up, table).value(20)[2] == 20 * _MIB
    assert sent_bytes()[new.port] < 22 * _MIB


def test_jobs_of_a_server_have_one_object_wherever_it_is_among_their_arguments(computation):
    server = computation.servers()[0]
    things = computation.scatter([])
    assert computation.run_at(server, change, things).value(10) == [0]
    assert computation.run_at(server, change, things).value(10) == [0, 1]
    first, second = computation.run_at(server, nested, {"deep": [things, (things)]}).value(10)
    assert first == second


def test_what_is_freed_is_an_error_of_who_passes_it_on(computation):
    table = computation.scatter(Table(100))
    job = computation.run(look_up, table)
    job.value(10)
    table.free()
    with pytest.raises(PackagingError, match="was freed"):
        computation.run(look_up, table)
    again = computation.scatter(Table(100))
    assert computation.run(look_up, again).value(10)[2] == 100


def test_what_is_freed_takes_no_memory_at_the_servers_any_more(computation):
    server = computation.servers()[0]
    quiet = computation.run_at(server, memory).value(10)
    table = computation.scatter(Table(100 * _MIB))
    computation.run_at(server, look_up, table).value(20)
    held = computation.run_at(server, memory).value(10)
    # Once as an object, and not as a pickle besides.
    assert 100 * _MIB < held - quiet < 150 * _MIB
    table.free()
    poll_until(lambda: computation.run_at(server, memory).value(10) < quiet + 50 * _MIB, 10)


def test_it_belongs_to_its_computation_and_ends_with_it(cluster):
    with Computation() as computation:
        table = computation.scatter(Table(100))
    with pytest.raises(ComputationClosed):
        computation.scatter(1)
    with Computation() as other, pytest.raises(PackagingError, match="another computation"):
        other.run(look_up, table)


def test_it_may_be_made_before_the_computation_is_scheduled_and_be_used_by_an_executor(cluster):
    computation = Computation()
    table = computation.scatter(Table(100))
    with computation:
        assert computation.run(look_up, table).value(20)[2] == 100
    with Executor(cluster) as executor:
        table = executor.scatter(Table(200))
        assert executor.submit(look_up, table).result(20)[2] == 200
        assert {size for _, _, size in executor.map(look_up, [table] * 20, chunksize=5)} == {200}


def test_M9_messages_and_jobs_go_on_while_a_large_object_is_sent(computation):
    server = computation.servers()[0]
    answers = computation.run_at(server, echo)
    before = sent_bytes()
    times = []

    def measure(coro=None):
        while True:
            began = time.monotonic()
            answers.send((coro, len(times)))
            assert coro.receive(20) == len(times)
            times.append(time.monotonic() - began)
            computation.run_at(server, int).value(20)

    content = bytes(200 * _MIB)
    measuring = Coro(measure)
    poll_until(lambda: len(times) > 3, 20)
    quiet = len(times)
    computation.scatter(content)
    poll_until(lambda: sent_bytes()[server.port] - before[server.port] > 200 * _MIB, 60)
    measuring.terminate()
    with pytest.raises(CoroTerminated):
        measuring.value(10)
    answers.terminate()
    meanwhile = times[quiet:]
    print(f"{len(meanwhile)} round trips meanwhile, {statistics.median(meanwhile):.4f} s, {max(meanwhile):.4f} s")
    assert len(meanwhile) > 10
    assert statistics.median(meanwhile) < 0.1


def test_a_server_that_dies_while_it_is_sent_an_object_ends_the_jobs_that_wait_for_it(computation):
    server = computation.servers()[0]
    pid = computation.run_at(server, os.getpid).value(10)
    stop(pid)
    table = computation.scatter(Table(100 * _MIB))
    threading.Timer(0.3, os.kill, (pid, signal.SIGKILL)).start()
    with pytest.raises(ServerDied, match="SIGKILL"):
        computation.run_at(server, look_up, table)
    assert computation.run(look_up, table).value(20)[2] == 100 * _MIB
