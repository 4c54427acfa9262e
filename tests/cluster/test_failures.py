"""What is left, and who hears of it, when processes of a cluster end in any way."""

import os
import signal

import pytest

from greencoro import Runtime, Settings
from greencoro.compute.node_words import Refusal, Release, Reserve, ReserveAnswer
from greencoro.errors import ComputationClosed, GreencoroError
from tests.cluster.programs import kill, runs
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster

#: Two seconds are promised; a machine that does other things as well is given more. What misses it runs on for minutes.
END = 15

# A client with two servers: both compute, one has started a process of its own.
CLIENT = """
    import os, subprocess, sys, time
    from greencoro import Computation, Coro, LocalCluster

    def compute_with_child(client):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        client.deliver("computing", timeout=10)
        while True:
            pass

    def hold_interpreter(client):
        import re
        client.deliver("computing", timeout=10)
        re.match("(a+)+$", "a" * 64 + "b")  # C code that does not give the interpreter lock away

    def hear_of_both(coro=None):
        return [coro.receive(), coro.receive()]

    with LocalCluster(servers=2) as cluster, Computation() as computation:
        cluster.wait_for_servers()
        servers = computation.servers()
        client = Coro(hear_of_both)
        jobs = [
            computation.run_at(servers[0], compute_with_child, client),
            computation.run_at(servers[1], hold_interpreter, client),
        ]
        client.value(40)
        print("computing", cluster.pid, flush=True)
        jobs[0].value()
"""


@pytest.fixture
def busy_client(programs):
    program = programs.script(CLIENT)
    line = program.line()
    assert line.startswith("computing")
    # client, daemon, guard, two servers, the job's own child
    poll_until(lambda: len(program.look_at_family()) >= 6, 20, "the job's own process")
    program.daemon = int(line.split()[1])
    return program


def test_nothing_is_left_after_a_client_was_killed(busy_client):
    kill(busy_client.pid)
    busy_client.process.wait()
    busy_client.all_gone_within(END)


def test_Z2_no_server_and_no_process_of_a_job_outlives_a_killed_daemon(busy_client):
    kill(busy_client.daemon)
    servers = {member for member in busy_client.family if member.pid != busy_client.pid}
    poll_until(lambda: not [member for member in servers if runs(member)], END, "the end of the servers")


def test_client_hears_that_its_node_was_killed(programs):
    program = programs.script(
        """
        import os, signal, time
        from greencoro import Computation, LocalCluster

        with LocalCluster(servers=1) as cluster, Computation() as computation:
            job = computation.run(time.sleep, 60)
            os.kill(cluster.pid, signal.SIGKILL)
            try:
                job.value(30)
            except Exception as error:
                print(type(error).__name__, error)
        """
    )
    line = program.line()
    assert line.startswith("ServerDied the server process that ran sleep")
    assert program.wait() == 0
    program.all_gone_within(END)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_client_and_cluster(busy_client, number):
    os.kill(busy_client.pid, number)
    busy_client.all_gone_within(END)
    assert busy_client.wait() == -number


def test_ctrl_c_leaves_no_traceback_and_no_process(busy_client):
    os.kill(busy_client.pid, signal.SIGINT)
    busy_client.wait()
    assert "Traceback" not in busy_client.errors()


def test_killed_server_is_explained_and_replaced(programs):
    program = programs.script(
        """
        import os, signal, time
        from greencoro import Computation, LocalCluster

        def forever():
            while True:
                pass

        with LocalCluster(servers=1) as cluster, Computation() as computation:
            pid = computation.run(os.getpid).value(10)
            job = computation.run(forever)
            os.kill(pid, signal.SIGKILL)
            try:
                job.value(15)
            except Exception as error:
                print(type(error).__name__, error)
            print(computation.run(os.getpid).value(10) != pid)
        """
    )
    line = program.line()
    assert line.startswith("ServerDied the server process that ran forever (127.0.0.1:")
    assert "was killed by SIGKILL" in line
    assert program.line() == "True"
    assert program.wait() == 0


def test_server_that_hangs_is_lost_and_replaced(programs):
    """Pulses speak for each server: its node daemon is well all the time (J4)."""
    program = programs.script(
        """
        import os, time
        from greencoro import Computation, LocalCluster, Settings
        from tests.support.stopping import stop

        settings = Settings(tick_seconds=1)
        with LocalCluster(servers=1, settings=settings) as cluster, Computation(timeout=20) as computation:
            pid = computation.run(os.getpid).value(10)
            job = computation.run(time.sleep, 600)
            stop(pid)
            try:
                job.value(20)
            except Exception as error:
                print(type(error).__name__, error)
            print(computation.run(os.getpid).value(10) != pid)
        """
    )
    assert "cannot be reached any more" in program.line()
    assert program.line() == "True"
    assert program.wait() == 0
    program.all_gone_within(END)


def test_server_that_computes_is_not_lost(programs):
    program = programs.script(
        """
        import time
        from greencoro import Computation, LocalCluster, Settings

        def compute(seconds):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                pass
            return "done"

        with LocalCluster(servers=1, settings=Settings(tick_seconds=1)) as cluster, Computation() as computation:
            # It is given up after four ticks without a word.
            print(computation.run(compute, 6.0).value(40))
        """
    )
    assert program.line() == "done"
    assert program.wait() == 0


def test_program_that_closes_nothing_leaves_nothing(programs):
    program = programs.script(
        """
        from greencoro import Computation, LocalCluster

        cluster = LocalCluster(servers=1)
        computation = Computation()
        computation.schedule()
        print(computation.run(pow, 2, 5).value(10))
        """
    )
    assert program.line() == "32"
    assert program.wait() == 0
    program.all_gone_within(END)
    assert program.errors() == ""


def test_works_in_a_patched_client(programs):
    program = programs.script(
        """
        from gevent import monkey
        monkey.patch_all()
        from greencoro import Computation, LocalCluster, RemoteCoroScheduler

        with LocalCluster(servers=1) as cluster, Computation() as computation:
            print(RemoteCoroScheduler(computation).map_results(pow, [(2, n) for n in range(20)])[-1])
        """
    )
    assert program.line() == str(2**19)
    assert program.wait() == 0
    program.all_gone_within(END)


def test_released_node_serves_another_client(programs):
    _, location = programs.node("-c", "1")
    client = f"""
        import os
        from greencoro import Computation, Scheduler

        with Scheduler(nodes=["{location}"], node="127.0.0.1"), Computation() as computation:
            print(computation.run(os.getpid).value(10), flush=True)
            input()
    """
    first = programs.script(client, "first.py")
    assert first.wait() == 1  # input() has nothing to read
    second = programs.script(client, "second.py")
    assert int(first.line()) != int(second.line())


def test_client_waits_for_a_node_that_another_client_uses(programs):
    _, location = programs.node("-c", "1")
    first = programs.script(
        f"""
        import os, time
        from greencoro import Computation, Scheduler

        with Scheduler(nodes="{location}", node="127.0.0.1"), Computation() as computation:
            print(computation.run(os.getpid).value(10), flush=True)
            time.sleep(600)
        """,
        "first.py",
    )
    pid = first.line()
    second = programs.script(
        f"""
        import os, time
        from greencoro import Computation, Scheduler

        with Scheduler(nodes="{location}", node="127.0.0.1") as scheduler, Computation(timeout=20) as computation:
            while "is in use by another computation" not in scheduler.why_no_server():
                time.sleep(0.01)
            print("waiting", flush=True)
            print(computation.run(os.getpid).value(10), flush=True)
        """,
        "second.py",
    )
    assert second.line() == "waiting"
    kill(first.pid)
    assert second.line() != pid
    assert second.wait() == 0


def test_servers_of_a_killed_client_are_gone_and_fresh_ones_there(programs):
    node, location = programs.node("-c", "1")
    client = programs.script(
        f"""
        from greencoro import Computation, Scheduler

        def forever():
            while True:
                pass

        with Scheduler(nodes=["{location}"], node="127.0.0.1"), Computation() as computation:
            job = computation.run(forever)
            print("running", flush=True)
            job.value()
        """
    )
    assert client.line() == "running"
    [server] = node.servers()
    kill(client.pid)
    poll_until(lambda: not runs(server), END, "the end of the server")
    poll_until(node.servers, 20)


def test_wrong_secret_gets_nothing_and_says_so(programs, tmp_path):
    other = tmp_path / "other-secret"
    node, location = programs.node("-c", "1", "--secret_file", str(other))
    client = programs.script(
        f"""
        import logging
        from greencoro import Computation, Scheduler, runtime

        logging.basicConfig(level=logging.WARNING)
        with Scheduler(nodes=["{location}"], node="127.0.0.1"), Computation(timeout=4) as computation:
            print(runtime().secret.fingerprint)
            try:
                computation.run(pow, 2, 5)
            except Exception as error:
                print(type(error).__name__, error)
        """
    )
    fingerprint = client.line()
    line = client.line()
    assert line.startswith(f"NoMatchingServer no server within 4 s: tried {location}")
    assert line.endswith("copy the secret file of one machine to the other; `greencoro doctor` finds out more")
    assert client.wait() == 0
    assert fingerprint not in node.announcement
    # One line on each side, however long it is tried; with the fingerprint that the other one lacks.
    poll_until(node.errors)
    # (The scheduler has a line of its own for whoever waits long.)
    [said_by_client] = [line for line in client.errors().splitlines() if "greencoro.distributed" in line.split()[0]]
    [said_by_node] = node.errors().splitlines()
    assert "wrong secret" in said_by_client and location in said_by_client and fingerprint in said_by_client
    assert "wrong secret" in said_by_node and "127.0.0.1" in said_by_node
    assert node.announcement.split()[-1] in said_by_node


def test_no_node_at_all_is_said_with_what_was_tried(programs):
    client = programs.script(
        """
        from greencoro import Computation, Scheduler

        with Scheduler(nodes=["127.0.0.1:9"], node="127.0.0.1"), Computation(timeout=4) as computation:
            try:
                computation.run(pow, 2, 5)
            except Exception as error:
                print(type(error).__name__, error)
        """
    )
    line = client.line()
    assert line.startswith("NoMatchingServer no server within 4 s: tried 127.0.0.1:9")
    assert "refused" in line
    assert "`greencoro node`" in line


def test_requests_without_the_token_are_refused(programs, tmp_path):
    """A peer that knows the secret but not the computation's token can neither run nor end anything."""
    _, location = programs.node("-c", "1")
    client = programs.script(
        f"""
        from greencoro import Computation, Scheduler

        with Scheduler(nodes=["{location}"], node="127.0.0.1"), Computation() as computation:
            job = computation.run(lambda coro=None: coro.receive())
            print(job.location, flush=True)
            print(job.value(20), flush=True)
        """
    )
    server = client.line()
    with Runtime(node="127.0.0.1", discover_peers=False, settings=Settings.from_env()) as runtime:
        peer = runtime.connect(server)
        for token in (None, "", "0" * 64):
            header = {"token": token, "packages": [], "entry": ["builtins", "print", ""], "name": "x", "watch": 1}
            for operation in ("server.run", "server.set_up"):
                with pytest.raises(ComputationClosed, match="does not serve this computation"):
                    runtime.request(peer, operation, header, [b""], timeout=5)
            for operation in ("server.queue", "server.package", "server.withdraw"):
                runtime.post(peer, operation, header, [b""])
        node = runtime.connect(location)
        runtime.request(node, Release.operation, Release("0" * 64).to_header(), timeout=5)
        reserve = Reserve("1" * 64, 1, "thief")
        answer = runtime.request(node, Reserve.operation, reserve.to_header(), timeout=5).header
        assert ReserveAnswer.from_header(answer).refusal is Refusal.BUSY
    assert client.process.poll() is None
    client.process.terminate()


def test_waiting_for_servers_of_a_killed_daemon_ends_at_once(programs):
    program = programs.script(
        """
        import os, signal, time
        from greencoro import ComputeError, LocalCluster

        with LocalCluster(servers=1) as cluster:
            os.kill(cluster.pid, signal.SIGKILL)
            began = time.monotonic()
            try:
                cluster.wait_for_servers(2, timeout=60)
            except ComputeError as error:
                print(error)
                print(time.monotonic() - began < 20)
        """
    )
    assert program.line() == "the cluster has no servers: its node daemon has ended"
    assert program.line() == "True"
    assert program.wait() == 0


def test_plain_runtime_runs_nothing_for_anybody():
    with (
        Runtime(node="127.0.0.1", discover_peers=False) as plain,
        Runtime(node="127.0.0.1", discover_peers=False) as other,
    ):
        peer = other.connect(plain.location)
        for operation in ("server.run", "server.set_up", "server.package", "server.queue"):
            with pytest.raises(GreencoroError, match="no operation"):
                other.request(peer, operation, {"token": "x"}, [b""], timeout=5)


def test_directories_of_servers_are_private_and_removed(programs, tmp_path):
    dest = tmp_path / "dest"
    program = programs.script(
        f"""
        import os
        from greencoro import Computation, LocalCluster

        with LocalCluster(servers=1, dest_path={str(dest)!r}) as cluster, Computation() as computation:
            print(computation.run(os.getcwd).value(10), flush=True)
            input()
        """
    )
    directory = program.line()
    assert directory.startswith(str(dest))
    assert program.wait() == 1
    assert list(dest.iterdir()) == []


def test_prints_of_jobs_appear_at_the_client_of_a_local_cluster(programs):
    program = programs.script(
        """
        from greencoro import Computation, LocalCluster

        with LocalCluster(servers=1) as cluster, Computation() as computation:
            computation.run(print, "hello from afar").value(10)
        """
    )
    assert program.line().endswith(" print/3] hello from afar")
    assert program.wait() == 0


def test_nothing_between_start_and_first_result_waits_for_a_tick(programs):
    program = programs.script(
        """
        from greencoro import Computation, LocalCluster

        with LocalCluster(servers=2) as cluster, Computation() as computation:
            print(computation.run(pow, 2, 5).value(30))
        """,
        GREENCORO_TICK_SECONDS="600",
    )
    assert program.line() == "32"
    assert program.wait() == 0
