"""What a computation needs, of any size, on its way to servers."""

import hashlib
import os

import pytest

from greencoro import Computation, Coro, CoroTerminated, RemoteCoroScheduler
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster

_MIB = 1 << 20


def digest(name):
    with open(name, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def memory():
    """Of this process, in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def length(content):
    return len(content)


def hold(content, coro=None):
    coro.receive()


def test_a_file_of_200_MiB_arrives_whole_and_stays_on_the_disk_alone(cluster, tmp_path):
    path = tmp_path / "large.bin"
    block = os.urandom(_MIB)
    with open(path, "wb") as file:
        for number in range(200):
            file.write(block + bytes([number]))
    with Computation([path]) as computation:
        computation.wait_for_servers(2)
        for server in computation.servers():
            assert computation.run_at(server, digest, "large.bin").value(30) == digest(path)
            assert computation.run_at(server, memory).value(30) < 200 * _MIB


def test_a_package_of_many_modules_may_be_larger_than_a_message(cluster, tmp_path, monkeypatch):
    package = tmp_path / "gc_large"
    package.mkdir()
    for number in range(20):
        (package / f"m{number}.py").write_text(f"X = {number}\n#" + "x" * (4 * _MIB))
    (package / "__init__.py").write_text("from gc_large import m0, m19\n")
    monkeypatch.syspath_prepend(tmp_path)
    import gc_large

    def total():
        return gc_large.m0.X + gc_large.m19.X

    with Computation([gc_large]) as computation:
        computation.wait_for_servers(2)
        assert computation.run(total).value(30) == 19


def test_arguments_larger_than_a_message_may_be_are_those_of_their_job(computation):
    contents = [bytes([number]) * (70 * _MIB) for number in range(2)]
    assert computation.run(length, contents[0]).value(30) == 70 * _MIB
    jobs = [Coro(computation.run, first_and_length, each) for each in contents]
    assert [job.value(30).value(30) for job in jobs] == [(number, 70 * _MIB) for number in range(2)]
    found = RemoteCoroScheduler(computation).map_results(first_and_length, contents)
    assert found == [(number, 70 * _MIB) for number in range(2)]


def first_and_length(content):
    return content[0], len(content)


def test_small_jobs_go_on_while_the_arguments_of_another_are_sent(computation):
    server = computation.servers()[0]
    large = Coro(computation.run_at, server, length, bytes(200 * _MIB))
    small = 0
    while large.is_alive():
        computation.run_at(server, int).value(20)
        small += 1
    assert large.value(30).value(30) == 200 * _MIB
    assert small > 10


def test_a_job_that_is_cancelled_while_its_arguments_are_sent_is_ended_and_leaves_the_next_ones_alone(computation):
    jobs = RemoteCoroScheduler(computation)
    sending = Coro(jobs.execute, hold, bytes(200 * _MIB))
    poll_until(lambda: len(jobs._dispatcher.outstanding) == 1)
    jobs.cancel()
    with pytest.raises(CoroTerminated):
        sending.value(30)
    assert jobs.execute(length, bytes(70 * _MIB)) == 70 * _MIB
