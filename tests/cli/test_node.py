"""The command ``greencoro node``, run as people run it."""

import contextlib
import os
import pty
import random
import re
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from greencoro.cli.node_settings import count_servers
from tests.support.polling import poll_until

CPUS = len(os.sched_getaffinity(0))


def fails(programs, *arguments):
    program = programs.start("-m", "greencoro", "node", *arguments)
    code = program.wait()
    return code, program.errors()


@pytest.mark.parametrize(("cpus", "available", "servers"), [(0, 4, 4), (3, 4, 3), (4, 4, 4), (-1, 4, 3), (-3, 4, 1)])
def test_cpus_counts_as_the_seed_says(cpus, available, servers):
    assert count_servers(cpus, available) == servers


@pytest.mark.parametrize("cpus", [5, -4, -5])
def test_cpus_that_are_not_there_are_refused(cpus):
    with pytest.raises(ValueError, match="CPUs there are"):
        count_servers(cpus, 4)


@pytest.mark.cluster
def test_one_line_tells_location_servers_and_fingerprint(programs):
    program = programs.start("-m", "greencoro", "node", "-i", "127.0.0.1", "--port", "0", "-c", "1")
    line = program.line()
    assert re.fullmatch(
        r"greencoro node at 127\.0\.0\.1:\d+: 1 server, secret [0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}", line
    )
    location = line.split(" at ")[1].split(": ")[0]
    socket.create_connection(location.split(":"), timeout=5).close()


@pytest.mark.cluster
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_signal_ends_the_daemon_with_its_servers(programs, number, code):
    program, _ = programs.node("-c", "1")
    poll_until(lambda: len(program.look_at_family()) >= 3, 10)
    os.kill(program.pid, number)
    assert program.wait() == code
    program.all_gone_within(10)


@pytest.mark.cluster
def test_port_that_is_taken_is_one_clear_line(programs):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, errors = fails(programs, "-i", "127.0.0.1", "--port", str(port))
    assert code == 1
    assert errors.count("\n") == 1
    assert f"cannot listen at 127.0.0.1:{port}: Address already in use" in errors
    assert "`greencoro node status` tells whether a node is there, --port" in errors


def free_port():
    """One that nobody is given meanwhile: below those that the system gives to whoever asks for any."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(lowest // 2, lowest), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("none of 100 ports is free")


@pytest.mark.cluster
def test_udp_port_gives_the_number_of_the_daemons_port(programs):
    port = free_port()
    program = programs.start("-m", "greencoro", "node", "-i", "127.0.0.1", "-u", str(port), "-c", "1")
    assert f"127.0.0.1:{port}:" in program.line()


@pytest.mark.cluster
def test_servers_listen_on_the_ports_listed(programs):
    port = free_port()
    program, _ = programs.node("-c", "1", "--tcp_ports", str(port))

    def listening():
        return {c.laddr.port for p in program.look_at_family() for c in p.net_connections() if c.status == "LISTEN"}

    poll_until(lambda: port in listening(), 10)


def test_Z4_port_of_the_daemon_and_of_a_server_is_one_clear_line(programs):
    code, errors = fails(programs, "-u", "51400", "--tcp_ports", "51400", "-c", "1")
    assert code == 2
    assert errors == (
        "greencoro node: port 51400 is given to a server, and to the daemon too: one of them needs another\n"
    )


@pytest.mark.cluster
def test_secret_file_that_others_can_read_is_one_clear_line(programs, tmp_path):
    file = tmp_path / "open-to-all"
    file.write_text("a long enough secret")
    file.chmod(0o644)
    code, errors = fails(programs, "-i", "127.0.0.1", "--port", "0", "--secret_file", str(file))
    assert code == 1
    assert errors.count("\n") == 1
    assert "chmod 600" in errors


@pytest.mark.cluster
def test_secret_on_the_command_line_is_warned_about_and_used(programs):
    program, _ = programs.node("-c", "1", "-s", "a long enough secret")
    assert "visible to everybody" in program.errors()
    assert "12 characters" not in program.errors()
    other, _ = programs.node("-c", "1")
    assert "visible" not in other.errors()


@pytest.mark.cluster
def test_short_secret_is_warned_about_once_with_what_to_do(programs):
    program, location = programs.node("-c", "2", "-s", "tiny")
    assert program.errors().count("the secret has fewer than 12 characters") == 1
    assert "leave it out to use the generated one" in program.errors()
    client = programs.script(
        f"""
        from greencoro import Computation, Runtime, Scheduler

        with Runtime(node="127.0.0.1", discover_peers=False, secret="tiny"):
            with Scheduler(nodes="{location}"), Computation() as computation:
                computation.wait_for_servers(2)
                print(computation.run(len, "abc").value())
        """
    )
    assert client.line() == "3"
    assert client.wait() == 0
    assert client.errors().count("the secret has fewer than 12 characters") == 1
    assert program.errors().count("the secret has fewer than 12 characters") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tcp_ports", "9-8"],
        ["--no-such-option"],
        ["--port", "70000"],
    ],
)
def test_options_that_cannot_work_are_refused(programs, arguments):
    code, errors = fails(programs, *arguments)
    assert code == 2
    assert "Error" in errors
    assert "Traceback" not in errors


def test_help_lists_the_options(programs):
    program = programs.start("-m", "greencoro", "node", "--help")
    assert program.wait() == 0
    text = program.rest()
    for option in ("--cpus", "--ip_addr", "--name", "--dest_path", "--secret", "--secret_file", "--udp_port"):
        assert option in text


def test_handshake_is_not_for_people(programs):
    code, errors = fails(programs, "--handshake")
    assert code == 2
    assert "for programs" in errors


class Terminal:
    """A daemon with a terminal as its standard input."""

    def __init__(self, directory):
        ours, theirs = pty.openpty()
        self.input = ours
        self.process = subprocess.Popen(
            [sys.executable, "-m", "greencoro", "node", "-i", "127.0.0.1", "--port", "0", "-c", "1"],
            stdin=theirs, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.output = ""

    def type(self, line):
        os.write(self.input, line.encode() + b"\n")

    def wait_for(self, pattern, seconds=30.0):
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.output)):
            assert select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))[0], self.output
            self.output += os.read(self.process.stdout.fileno(), 4096).decode()
        self.output = self.output[found.end() :]
        return found

    def close(self):
        if self.process.poll() is None:
            family = psutil.Process(self.process.pid).children(recursive=True)
            self.process.kill()
            psutil.wait_procs(family, 5)
        self.process.wait()
        self.process.stdout.close()
        os.close(self.input)


@pytest.fixture
def terminal(tmp_path, monkeypatch):
    monkeypatch.setenv("GREENCORO_SECRET_FILE", str(tmp_path / "secret"))
    terminal = Terminal(tmp_path)
    terminal.location = terminal.wait_for(r"node at (\S+):")[1]
    terminal.wait_for("commands: .*\n")
    yield terminal
    terminal.close()


@pytest.mark.cluster
def test_status_tells_of_each_server(terminal):
    deadline = time.monotonic() + 10
    while True:
        terminal.type("status")
        if terminal.wait_for(r"127\.0\.0\.1:\d+-1( at (\S+), PID \d+)?: ([^\n]+)\n")[3] == "not used":
            break
        assert time.monotonic() < deadline


@pytest.mark.cluster
@pytest.mark.parametrize("command", ["quit", "exit", "terminate", "QUIT"])
def test_quit_without_jobs_ends_with_code_0(terminal, command):
    terminal.type(command)
    assert terminal.process.wait(10) == 0


CLIENT = """
    import time
    from greencoro import Computation, Scheduler

    with Scheduler(nodes=["{location}"], node="127.0.0.1"), Computation() as computation:
        job = computation.run(time.sleep, {seconds})
        print("running", flush=True)
        try:
            print(job.value())
        except Exception as error:
            print(type(error).__name__, error)
"""


@pytest.mark.cluster
def test_status_counts_the_coroutines_of_a_computation(terminal, programs):
    client = programs.script(CLIENT.format(location=terminal.location, seconds=60))
    assert client.line() == "running"
    terminal.type("status")
    assert terminal.wait_for(r"in use, (\d+) coroutine for (.*)\n")[1] == "1"


@pytest.mark.cluster
def test_close_ends_the_computation_and_serves_the_next(terminal, programs):
    client = programs.script(CLIENT.format(location=terminal.location, seconds=60))
    assert client.line() == "running"
    terminal.type("close")
    assert re.match(
        "(ServerDied|ComputationClosed) .* was closed by whoever runs its node|CoroTerminated", client.line()
    )
    assert client.wait() == 0
    other = programs.script(CLIENT.format(location=terminal.location, seconds=0))
    assert [other.line(), other.line()] == ["running", "None"]


@pytest.mark.cluster
def test_quit_waits_for_running_jobs(terminal, programs):
    client = programs.script(CLIENT.format(location=terminal.location, seconds=2))
    assert client.line() == "running"
    terminal.type("quit")
    assert client.line() == "None"
    assert terminal.process.wait(10) == 0


@pytest.mark.cluster
def test_quit_ends_a_queue_of_jobs_after_those_that_run(terminal, programs):
    client = programs.script(
        f"""
        import itertools, time
        from greencoro import Computation, ComputationClosed, NoMatchingServer, RemoteCoroScheduler, Scheduler

        with Scheduler(nodes="{terminal.location}", node="127.0.0.1"), Computation(timeout=5) as computation:
            print(computation.run(pow, 2, 5).value(10), flush=True)
            try:
                RemoteCoroScheduler(computation).map_results(time.sleep, itertools.repeat(0.01))
            except (NoMatchingServer, ComputationClosed):
                print("ended")
        """
    )
    assert client.line() == "32"
    terminal.type("quit")
    assert terminal.process.wait(10) == 0
    assert client.line() == "ended"


@pytest.mark.cluster
def test_client_hears_that_a_server_takes_no_more_jobs_while_the_last_one_runs(terminal, programs):
    client = programs.script(
        f"""
        import time
        from greencoro import Computation, Scheduler

        with Scheduler(nodes="{terminal.location}", node="127.0.0.1"), Computation() as computation:
            job = computation.run(lambda coro=None: coro.receive())
            print("running", flush=True)
            while computation.servers():
                time.sleep(0.01)
            job.send("over")
            print(job.value(10), flush=True)
        """
    )
    assert client.line() == "running"
    terminal.type("quit")
    assert client.line() == "over"
    assert terminal.process.wait(10) == 0


@pytest.mark.cluster
def test_server_that_cannot_be_started_is_tried_again_and_ends_nothing_else(programs, tmp_path):
    program, _ = programs.node("-c", "1", "--dest_path", str(tmp_path / "dest"))
    [server] = poll_until(program.servers, 20)
    # While it starts it needs its directory. Who is answered, if only by an end, finds it started.
    listening = poll_until(lambda: [c for c in server.net_connections("tcp") if c.status == "LISTEN"], 20)
    with socket.create_connection(listening[0].laddr, 20) as sock:
        sock.sendall(bytes(1000))
        sock.recv(1)
    [files] = (tmp_path / "dest").glob("node-*/server-1/1")
    directory = files.parent
    # A file where the next server's directory is to be made.
    directory.rename(directory.with_name("aside"))
    directory.touch()
    program.servers()[0].kill()
    poll_until(lambda: program.errors().count("could not be started: ") >= 2, 30)
    assert "listen" not in program.errors()
    assert "Traceback" not in program.errors()
    directory.unlink()
    poll_until(program.servers, 30)
    os.kill(program.pid, signal.SIGTERM)
    assert program.wait() == 0


@pytest.mark.cluster
def test_terminate_does_not_wait_for_running_jobs(terminal, programs):
    client = programs.script(CLIENT.format(location=terminal.location, seconds=600))
    assert client.line() == "running"
    terminal.type("terminate")
    assert terminal.process.wait(20) == 0
    assert re.match("ServerDied|CoroTerminated|ComputationClosed", client.line())


@pytest.mark.cluster
def test_unknown_command_lists_those_there_are(terminal):
    terminal.type("help me")
    terminal.wait_for("status, close, quit")
    assert terminal.process.poll() is None
