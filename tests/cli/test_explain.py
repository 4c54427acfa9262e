"""``greencoro explain``, asking real programs."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from greencoro.distributed import user_directory
from tests.support.polling import poll_until
from tests.support.stopping import stop

pytestmark = pytest.mark.cluster

#: Has a job that is over, one that failed and one that runs; then it computes, until a file is there.
CLIENT = """
    import sys
    from pathlib import Path
    from greencoro import Computation, LocalCluster

    def double(x):
        return 2 * x

    def fail(x):
        raise ValueError("secret " + x)

    def wait(name):
        import time
        while not Path(name).exists():
            time.sleep(0.05)

    with LocalCluster(servers=1), Computation() as computation:
        done = computation.run(double, 21)
        done.value()
        failed = computation.run(fail, "argument")
        try:
            failed.value()
        except ValueError:
            pass
        runs = computation.run(wait, {go!r})
        print(done, flush=True)
        while not Path({go!r}).exists():
            pass
        runs.value()
        print("\\n".join(computation.explain(runs)), flush=True)
"""


@pytest.fixture
def place(tmp_path):
    """A temporary directory whose path is too long for a socket."""
    made = tmp_path / ("t" * 100)
    made.mkdir()
    return str(made)


@pytest.fixture
def go(tmp_path):
    return tmp_path / "go"


@pytest.fixture
def start(programs, go, place):
    """Runs a client; it, and how its first job is printed."""

    def start(name="client.py"):
        client = programs.script(CLIENT.format(go=str(go)), name=name, TMPDIR=place)
        return client, client.line()

    return start


@pytest.fixture
def explain(programs, place):
    """Runs the command; its exit code, output and errors."""

    def explain(*arguments):
        program = programs.start("-m", "greencoro", "explain", *arguments, TMPDIR=place)
        code = program.wait()
        return code, program.rest(), program.errors()

    return explain


def sockets(place):
    return sorted(Path(place, f"greencoro-{os.geteuid()}", "clients").iterdir())


def test_what_became_of_a_job_is_told_while_its_program_computes(start, explain, go, place):
    client, done = start()
    code, told, _ = explain("1")
    lines = told.splitlines()
    assert code == 0
    assert lines[0].startswith(f"job 1 double ({done}): submitted ")
    assert lines[1].startswith("waited ")
    assert lines[2].startswith(f"attempt 1 at {done.partition('@')[2]} for ")
    assert lines[3].startswith("finished after ")
    assert explain(done)[1].splitlines()[1:] == lines[1:]
    assert explain(done.partition("@")[0])[1].splitlines()[1:] == lines[1:]

    # Of what it raised only the class is known, for the rest may tell of its arguments (S16).
    failed = explain("2", "--pid", str(client.pid))[1]
    assert "ValueError" in failed
    assert "secret" not in failed
    assert "argument" not in failed

    code, told, _ = explain("--last", "2")
    lines = told.splitlines()
    assert code == 0
    assert lines[0] == f"process {client.pid}, {client.process.args[1]}:"
    assert lines[1].startswith("job 2 fail: exception after ")
    assert lines[2].startswith("job 3 wait: attempt 1 at ")
    assert " so far" in lines[2]

    code, told, _ = explain("3", "--json")
    told = json.loads(told)
    assert (code, told["format"]) == (0, 1)
    [asked] = told["clients"]
    assert asked["pid"] == client.pid
    [job] = asked["jobs"]
    assert (job["job"], job["name"], job["state"], job["outcome"]) == (3, "wait", "running", "")
    assert job["steps"][-1]["attempt"] == 1

    go.touch()
    assert client.line().startswith("job 3 wait (wait/")
    client.wait()
    assert sockets(place) == []


def test_job_that_nobody_knows_is_one_clear_line(start, explain):
    assert explain("7") == (
        1,
        "",
        "greencoro explain: no program of this user that runs on this machine has had a computation\n",
    )
    client, _ = start()
    nothing = "nothing is known of job 7: this process has had 3 jobs\n"
    assert explain("7") == (1, "", f"greencoro explain: process {client.pid}: {nothing}")
    named = "nothing is known of job slow: it is named by a number, or as name/number@host:port; this process has had"
    assert named in explain("slow")[2]
    code, _, errors = explain("1", "--pid", "1")
    assert code == 1
    assert errors == "greencoro explain: process 1 is no program of this user with a computation, or is over\n"
    assert explain("--last", "0")[0] == 2


def test_number_that_two_programs_know_is_asked_for_by_process(start, explain):
    first, done = start()
    second, other = start("second.py")
    code, _, errors = explain("1")
    assert code == 1
    assert "know a job 1 each: name one of them by --pid" in errors
    assert {str(first.pid), str(second.pid)} <= set(errors.replace(",", "").split())
    assert explain("1", "--pid", str(first.pid))[1].startswith(f"job 1 double ({done})")
    # A reference is in one of them, but for a chance that this does not leave out.
    if other != done:
        assert explain(other)[1].startswith(f"job 1 double ({other})")
    assert len(explain()[1].splitlines()) == 8


def test_program_that_was_killed_leaves_nothing_to_ask(start, explain, place):
    client, _ = start()
    assert [file.name for file in sockets(place)] == [f"{client.pid}.sock"]
    client.process.kill()
    client.wait()
    code, _, errors = explain()
    assert code == 1
    assert "no program of this user" in errors
    assert sockets(place) == []


def test_program_that_is_stopped_is_not_waited_for_long(start, explain):
    client, _ = start()
    stop(client.pid)
    try:
        code, _, errors = explain("1")
    finally:
        os.kill(client.pid, signal.SIGCONT)
    assert code == 1
    assert f"process {client.pid} does not answer" in errors


#: Asks as another user; prints what came.
THIEF = """
    import os, socket, sys
    os.setgid(65534)
    os.setuid(65534)
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(10)
    try:
        stream.connect(sys.argv[1])
        stream.sendall(b'{"last": 5}\\n')
        print(stream.recv(100))
    except OSError as error:
        print(type(error).__name__)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root, to be another user")
def test_S16_another_user_is_told_nothing(programs, go):
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        os.chmod(place, 0o755)
        client = programs.script(CLIENT.format(go=str(go)), TMPDIR=place)
        client.line()
        [file] = sockets(place)
        thief = [sys.executable, "-c", textwrap.dedent(THIEF), str(file)]
        assert subprocess.run(thief, capture_output=True, text=True, cwd="/").stdout == "PermissionError\n"
        # Whoever gets as far as the socket is asked by the system who he is.
        for path, mode in ((file.parent.parent, 0o755), (file.parent, 0o755), (file, 0o777)):
            os.chmod(path, mode)
        answer = subprocess.run(thief, capture_output=True, text=True, cwd="/").stdout
        assert answer in ("b''\n", "ConnectionResetError\n", "BrokenPipeError\n")


QUESTIONS = [b"", b"\n", b"[]\n", b'{"last": -1}\n', b'{"job": 1.5}\n', b"x" * 10_000, b"\xff\n"]


def test_question_that_is_none_ends_nothing(start, explain, place):
    start()
    [file] = sockets(place)
    directory = os.open(file.parent, os.O_PATH)
    for question in QUESTIONS:
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(10)
            stream.connect(f"/proc/self/fd/{directory}/{file.name}")
            try:
                stream.sendall(question)
                stream.shutdown(socket.SHUT_WR)
                answer = stream.recv(1000)
            except OSError:
                answer = b""
        assert answer == b"" or "error" in json.loads(answer)
    os.close(directory)
    assert explain("1")[0] == 0


def test_directory_that_others_can_write_to_is_not_used(programs, go, place, explain):
    theirs = Path(place, user_directory.default_path().name, "clients")
    theirs.mkdir(parents=True)
    theirs.parent.chmod(0o700)
    theirs.chmod(0o777)
    client = programs.script(CLIENT.format(go=str(go)), TMPDIR=place)
    client.line()
    assert explain("1")[0] == 1
    assert list(theirs.iterdir()) == []
    go.touch()
    poll_until(lambda: client.process.poll() == 0, 40)
