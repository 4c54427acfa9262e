"""Jobs of one computation find each other, and nobody else finds them (S16)."""

import os

import pytest

from greencoro import Computation
from greencoro.compute.job_words import LooksForNames, Siblings
from greencoro.distributed.runtime import Runtime, current_runtime
from greencoro.errors import CoroTerminated, ServerDied
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster


def registered(name, coro=None):
    assert coro.register(name) == 0
    return coro.receive()


def tell(name, message):
    from greencoro import Coro

    there = Coro.locate(name, timeout=20)
    return None if there is None else there.deliver(message, timeout=10)


def test_job_finds_by_name_what_runs_at_another_server(computation):
    first, second = computation.servers()
    waiting = computation.run_at(first, registered, "early")
    assert computation.run_at(second, tell, "early", "hello").value(30) == 1
    assert waiting.value(10) == "hello"
    # Each way, and what is registered after it was asked for.
    telling = computation.run_at(first, tell, "late", "hello again")
    waiting = computation.run_at(second, registered, "late")
    assert (telling.value(30), waiting.value(10)) == (1, "hello again")


def test_server_that_comes_later_is_found_too(computation):
    first, second = computation.servers()
    telling = computation.run_at(first, tell, "of the new one", "hello")
    with pytest.raises(Exception, match="exit code 3"):
        computation.run_at(second, __import__("os")._exit, 3).value(20)
    poll_until(lambda: set(computation.servers()) - {first, second}, 30)
    [third] = set(computation.servers()) - {first, second}
    waiting = computation.run_at(third, registered, "of the new one")
    assert (telling.value(30), waiting.value(10)) == (1, "hello")


def test_S16_holder_of_the_secret_cannot_find_end_or_join_a_job(computation):
    job = computation.run(registered, "mine")
    # Another client, with the secret and with what anybody can see of the job.
    own = current_runtime()
    with Runtime("127.0.0.1", discover_peers=False, secret_key=own.secret.key) as stranger:
        peer = stranger.connect(job.location)

        def attempt(coro=None):
            there = stranger.reference(peer, job._reference.id, job.name)
            there.terminate()
            return coro.monitor(there), there.deliver("from a stranger", timeout=5)

        assert stranger.spawn(attempt).value(30) == (-1, 0)
        assert stranger.names.network.locate("coro", "mine", job.location, 0.5) is None
        # Nor is it told of the others, nor heard in the client's place.
        siblings = Siblings("ab" * 32, {"cd" * 16: "127.0.0.1:1"})
        assert stranger.post(peer, siblings.operation, siblings.to_header()) == 0
        client = stranger.connect(own.location)
        asking = LooksForNames("ab" * 32)
        assert stranger.post(client, asking.operation, asking.to_header()) == 0
    assert job.deliver("from its client", timeout=10) == 1
    assert job.value(10) == "from its client"


def test_S16_holder_of_the_secret_neither_puts_files_where_jobs_run_nor_removes_theirs(computation, tmp_path):
    server = computation.servers()[0]
    (tmp_path / "planted").write_text("by a stranger")
    computation.run_at(server, lambda: open("kept", "w").close()).value(10)
    own = current_runtime()
    with Runtime("127.0.0.1", discover_peers=False, secret_key=own.secret.key) as stranger:
        assert stranger.send_file(server, tmp_path / "planted") == -1
        assert stranger.del_file(server, "kept") == -1
    assert "kept" in computation.run_at(server, os.listdir, ".").value(10)


def send_and_remove(location, name):
    own = current_runtime()
    with open(name, "w") as file:
        file.write("by another job")
    return own.send_file(location, name), own.del_file(location, name)


def test_client_and_jobs_put_files_where_jobs_run_and_remove_them(computation, tmp_path):
    first, second = computation.servers()
    (tmp_path / "given").write_text("by its client")
    # Before anything of the computation has a reference to anything there.
    own = current_runtime()
    assert own.send_file(first, tmp_path / "given") == 0
    assert "given" in computation.run_at(first, os.listdir, ".").value(10)
    assert own.del_file(first, "given") == 0
    assert computation.run_at(first, send_and_remove, second, "from a sibling").value(20) == (0, 0)


def test_S16_servers_of_another_computation_find_nothing(cluster):
    keys = []
    for _ in range(2):
        with Computation() as computation:
            cluster.wait_for_servers(2)
            job = computation.run(registered, "mine")
            keys.append(job._reference.key)
            job.send("over")
            assert job.value(10) == "over"
    assert all(len(key) == 16 for key in keys)
    assert keys[0] != keys[1]


def test_reference_that_a_job_gives_away_works_for_whoever_gets_it(computation):
    first, second = computation.servers()
    waiting = computation.run_at(first, registered, "given")

    def send_to(there):
        return there.deliver("by another job", timeout=10)

    assert computation.run_at(second, send_to, waiting).value(20) == 1
    assert waiting.value(10) == "by another job"


def compute_for_ever():
    while True:
        pass


def go_on_for_ever():
    import time

    while True:
        try:
            while True:
                time.process_time()
        except BaseException:
            pass


def hold_interpreter():
    import re

    re.match("(a+)+$", "a" * 64 + "b")  # C code that does not give the interpreter lock away


def answer():
    return 42


def test_job_that_computes_for_ever_is_terminated_and_its_server_serves_on(computation):
    [server, _] = computation.servers()
    job = computation.run_at(server, compute_for_ever)
    job.terminate()
    with pytest.raises(CoroTerminated):
        job.value(20)
    assert computation.run_at(server, answer).value(10) == 42


def test_server_of_a_job_that_cannot_be_ended_is_started_anew_where_that_is_wanted(computation):
    [server, _] = computation.servers()
    job = computation.run_at(server, go_on_for_ever)
    bystander = computation.run_at(server, registered, "bystander")
    job.terminate(hard=True)
    for lost in (job, bystander):
        with pytest.raises(ServerDied, match=r"was ended by force: go_on_for_ever/\d+ was to end, and does not"):
            lost.value(30)
    poll_until(lambda: len(computation.servers()) == 2 and server not in computation.servers(), 30)
