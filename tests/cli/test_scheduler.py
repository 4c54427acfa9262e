"""The commands ``greencoro scheduler`` and ``discoro.py``, run as people run them."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from greencoro import Runtime
from greencoro.cli.scheduler import OPTIONS
from greencoro.config import Settings
from greencoro.errors import NetworkError
from tests.cluster.programs import ROOT, UNDER_NOHUP, Programs
from tests.support.polling import poll_until
from tests.support.ports import free_port

SCRIPT = str(ROOT / "scripts" / "discoro.py")
#: As the seed lists them.
OF_THE_SEED = [
    *("-i", "--ip_addr", "--ext_ip_addr", "-u", "--udp_port", "-t", "--tcp_port", "-n", "--name", "--node"),
    *("--dest_path", "--max_file_size", "-s", "--secret", "--certfile", "--keyfile", "--zombie_period"),
    *("-d", "--debug", "--daemon"),
]


@pytest.fixture
def programs(tmp_path, monkeypatch):
    monkeypatch.setenv("GREENCORO_SECRET_FILE", str(tmp_path / "secret"))
    started = Programs(tmp_path)
    yield started
    started.end()


@pytest.fixture
def start(programs):
    """Runs discoro.py on loopback; the program and its location."""

    def start(*arguments, **more):
        program = programs.start(SCRIPT, "-i", "127.0.0.1", *arguments, **more)
        program.announcement = program.line()
        return program, program.announcement.split(" at ")[1].split(": ")[0]

    return start


@pytest.fixture
def met():
    """Who answers at a location."""
    runtimes = []

    def meet(location, **options):
        given = {"settings": Settings.from_env(), **options}
        runtimes.append(Runtime(node="127.0.0.1", discover_peers=False, announce=False, **given))
        return runtimes[-1].connect(location)

    yield meet
    for runtime in runtimes:
        runtime.finish()


def fails(programs, *arguments):
    program = programs.start(SCRIPT, *arguments)
    code = program.wait()
    return code, program.errors()


def test_every_option_of_the_seed_is_there_under_its_spelling():
    spelled = {flag for option in OPTIONS for flag in option.opts}
    assert set(OF_THE_SEED) <= spelled
    assert spelled - set(OF_THE_SEED) == {"--secret_file"}


@pytest.mark.cluster
@pytest.mark.parametrize("command", [[SCRIPT], ["-m", "greencoro", "scheduler"]])
def test_one_line_tells_location_and_fingerprint(programs, command):
    name = "discoro.py" if command == [SCRIPT] else "greencoro scheduler"
    line = programs.start(*command, "-i", "127.0.0.1").line()
    assert re.fullmatch(
        rf"{re.escape(name)} at 127\.0\.0\.1:\d+: secret [0-9a-f]{{4}}-[0-9a-f]{{4}}-[0-9a-f]{{4}}", line
    )


@pytest.mark.cluster
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGINT, 130)])
def test_Z1_signal_ends_it(start, number, code):
    program, _ = start()
    os.kill(program.pid, number)
    assert program.wait() == code
    assert "Traceback" not in program.errors()


@pytest.mark.cluster
def test_hangup_ends_nothing_under_nohup(programs):
    program = programs.start(*UNDER_NOHUP, SCRIPT, "-i", "127.0.0.1")
    location = program.line().split(" at ")[1].split(": ")[0]
    os.kill(program.pid, signal.SIGHUP)
    status = programs.start("-m", "greencoro", "scheduler", "status", location, "-i", "127.0.0.1")
    assert status.wait() == 0
    os.kill(program.pid, signal.SIGTERM)
    assert program.wait() == 0


@pytest.mark.cluster
def test_Z3_same_port_can_be_used_again_20_times(start):
    port = free_port()
    for _ in range(20):
        program, location = start("-t", str(port))
        assert location == f"127.0.0.1:{port}"
        os.kill(program.pid, signal.SIGTERM)
        assert program.wait() == 0


@pytest.mark.cluster
def test_Z4_port_that_is_taken_is_one_clear_line(programs):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, errors = fails(programs, "-i", "127.0.0.1", "-t", str(port))
    assert code == 1
    assert errors.count("\n") == 1
    assert f"cannot listen at 127.0.0.1:{port}: Address already in use" in errors


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (["--certfile", "/nonexistent"], 1, "/nonexistent"),
        (["--secret_file", "/proc/secret"], 1, "/proc/secret"),
        (["-i", "no such host"], 1, "no such host"),
        (["--max_file_size", "much"], 2, "number of bytes"),
        (["--zombie_period", "-1"], 2, "seconds"),
        (["--zombie_period", "nan"], 2, "seconds"),
        (["--node", ""], 2, "--node"),
        (["--tcp_port", "70000"], 2, "70000"),
        (["--udp_port", "0"], 2, "'-u'"),
        (["--secret", "x", "--secret_file", "y"], 2, "exclude each other"),
        (["--keyfile", "x"], 2, "discoro.py: a key needs its certificate: certfile is missing\n"),
        (["-i", "192.0.2.1"], 1, "discoro.py: cannot listen at 192.0.2.1:0: Cannot assign requested address: that is"),
        (["--no_such_option"], 2, "no_such_option"),
        (["stray"], 2, "stray"),
    ],
)
def test_Z4_options_that_cannot_work_are_refused(programs, arguments, code, what):
    found, errors = fails(programs, *arguments)
    assert found == code
    assert what in errors
    assert "Traceback" not in errors


def test_help_lists_the_options(programs):
    for command in ([SCRIPT], ["-m", "greencoro", "scheduler"]):
        program = programs.start(*command, "--help")
        assert program.wait() == 0
        text = program.rest()
        assert not [option for option in OF_THE_SEED if option.startswith("--") and option not in text]


# Each option.


@pytest.mark.cluster
def test_name_tcp_port_and_ext_ip_addr_are_what_peers_are_told(start, met):
    port = free_port()
    _, location = start("--name", "batch", "--tcp_port", str(port), "--ext_ip_addr", "192.0.2.77")
    assert location == f"192.0.2.77:{port}"
    peer = met(f"127.0.0.1:{port}")
    assert (peer.name, str(peer.location), peer.role) == ("batch", location, "scheduler")


@pytest.mark.cluster
def test_udp_port_is_where_it_is_found(start):
    port = free_port()
    _, location = start("-u", str(port))
    with Runtime("127.0.0.1", port, announce=False) as runtime:
        poll_until(lambda: location in map(str, runtime.peers()))


@pytest.mark.cluster
def test_node_is_contacted_and_all_with_it(start, programs):
    port = free_port()
    there = f"127.0.0.1:{port}"
    node = programs.start("-m", "greencoro", "node", "-i", "127.0.0.1", "-c", "1", "-u", str(port))
    assert there in node.line()
    _, location = start("--node", "127.0.0.1", "-u", str(port), "--node", "127.0.0.2:9")
    status = [sys.executable, "-m", "greencoro", "scheduler", "status", location, "-i", "127.0.0.1", "--json"]

    def nodes():
        shown = subprocess.run(status, capture_output=True, text=True, cwd=ROOT)
        return [node["name"] for node in json.loads(shown.stdout)["nodes"]]

    poll_until(lambda: nodes() == [there], 30)


@pytest.mark.cluster
def test_secret_is_warned_about_and_used(start, met):
    program, location = start("-s", "a long enough secret")
    assert "visible to everybody" in program.errors()
    assert "12 characters" not in program.errors()
    short, _ = start("-s", "tiny")
    assert short.errors().count("the secret has fewer than 12 characters") == 1
    assert met(location, secret="a long enough secret").role == "scheduler"
    with pytest.raises(NetworkError):
        met(location)


@pytest.mark.cluster
def test_secret_file_is_used(start, met, tmp_path):
    file = tmp_path / "another"
    file.write_text("a long enough secret")
    file.chmod(0o600)
    _, location = start("--secret_file", str(file))
    assert met(location, secret="a long enough secret").role == "scheduler"


@pytest.mark.cluster
def test_certfile_and_keyfile_make_it_talk_by_tls(start, met, programs, tmp_path):
    made = programs.start("-m", "greencoro", "cert", "make", str(tmp_path / "tls"))
    assert made.wait() == 0, made.errors()
    cert, key = tmp_path / "tls" / "greencoro.cert", tmp_path / "tls" / "greencoro.key"
    _, location = start("--certfile", str(cert), "--keyfile", str(key))
    assert met(location, certfile=cert, keyfile=key).role == "scheduler"
    with pytest.raises(NetworkError):
        met(location)


@pytest.mark.cluster
def test_dest_path_and_max_file_size_are_those_of_files_of_peers(start, met, tmp_path):
    directory = tmp_path / "files"
    _, location = start("--dest_path", str(directory), "--max_file_size", "1k")
    peer = met(location)
    runtime = Runtime(node="127.0.0.1", discover_peers=False, announce=False, settings=Settings.from_env())
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(bytes(1000))
    large.write_bytes(bytes(2000))
    with runtime:
        runtime.connect(location)
        assert runtime.send_file(peer.location, str(small)) == 0
        assert runtime.send_file(peer.location, str(large)) != 0
    assert [path.name for path in directory.rglob("[a-z]*") if path.is_file()] == ["small"]


@pytest.mark.cluster
def test_debug_logs_everything(start):
    program, _ = start("-d")
    poll_until(lambda: "runtime.started" in program.errors())
    os.kill(program.pid, signal.SIGTERM)
    program.wait()
    quiet, _ = start()
    os.kill(quiet.pid, signal.SIGTERM)
    quiet.wait()
    assert quiet.errors() == ""


# Commands.


@pytest.mark.cluster
def test_commands_on_standard_input_are_status_and_quit(programs):
    for word in ("quit", "exit"):
        read, write = os.pipe()
        program = programs.start(SCRIPT, "-i", "127.0.0.1", "-u", str(free_port()), stdin=read)
        os.close(read)
        program.line()
        os.write(write, b"status\n")
        assert program.line() == "no computations, no nodes"
        os.write(write, b"what\n")
        assert program.line() == "commands: status, quit (or exit)"
        os.write(write, f"{word}\n".encode())
        assert program.wait() == 0
        os.close(write)


@pytest.mark.cluster
def test_daemon_reads_no_commands(programs, start):
    read, write = os.pipe()
    os.write(write, b"quit\n")
    program, location = start("--daemon", stdin=read)
    os.close(read)
    status = programs.start("-m", "greencoro", "scheduler", "status", location, "-i", "127.0.0.1")
    assert status.wait() == 0
    assert program.process.poll() is None
    os.close(write)


@pytest.mark.cluster
def test_end_of_standard_input_ends_nothing(programs, start):
    _, location = start(stdin=subprocess.DEVNULL)
    status = programs.start("-m", "greencoro", "scheduler", "status", location, "-i", "127.0.0.1")
    assert status.wait() == 0


@pytest.mark.cluster
def test_status_of_a_scheduler_that_is_not_there_is_one_clear_line(programs, start):
    port = free_port()
    status = ["-m", "greencoro", "scheduler", "status", "-i", "127.0.0.1", "--seconds", "0.5"]
    for place in ([f"127.0.0.1:{port}"], ["-u", str(port)]):
        program = programs.start(*status, *place)
        assert program.wait() == 1
        assert program.errors().count("\n") == 1, program.errors()
    _, location = programs.node("-c", "1")
    program = programs.start(*status, location)
    assert program.wait() == 1
    assert "is no scheduler" in program.errors()


def test_script_runs_from_any_directory(tmp_path):
    shown = subprocess.run([sys.executable, SCRIPT, "--help"], capture_output=True, text=True, cwd=Path("/"))
    assert shown.returncode == 0
    assert "--zombie_period" in shown.stdout
