"""A process of another minor version of Python, with the real interpreter."""

from __future__ import annotations

import platform
import subprocess

import pytest

from greencoro.config import Settings
from greencoro.distributed.hello import minor_version
from greencoro.distributed.runtime import Runtime
from greencoro.errors import IncompatibleVersion
from tests.support.examples import program_environment
from tests.support.other_pythons import another_python
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster

HERE = minor_version(platform.python_version())
KEY = b"k" * 32

PEER = f"""
import platform, sys
from greencoro import Runtime, log
log.enable_console("WARNING")
with Runtime("127.0.0.1", discover_peers=False, secret_key={KEY!r}) as runtime:
    print(runtime.location, platform.python_version(), flush=True)
    sys.stdin.read()
"""


CLIENT = """
import sys, time
from greencoro import Scheduler
with Scheduler(node="127.0.0.1", nodes=[sys.argv[1]]) as scheduler:
    while "runs Python" not in scheduler.why_no_server():
        time.sleep(0.05)
    print(scheduler.why_no_server(), flush=True)
"""


@pytest.fixture
def python():
    found = another_python()
    if found is None:
        pytest.skip("there is no other minor version of Python with gevent, psutil and cryptography; see OTHER_PYTHON")
    return found


def test_it_is_refused_and_both_sides_name_both_versions(python, tmp_path):
    errors = tmp_path / "errors"
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            [python, "-c", PEER],
            env=program_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
        Runtime("127.0.0.1", discover_peers=False, secret_key=KEY, settings=Settings()) as runtime,
    ):
        assert process.stdout is not None and process.stdin is not None
        location, version = process.stdout.readline().split()
        there = minor_version(version)
        assert there != HERE
        with pytest.raises(IncompatibleVersion, match=rf"runs Python {there}, this side {HERE}: use the same minor"):
            runtime.connect(location, 20)
        assert not runtime.peers()
        poll_until(
            lambda: f"({runtime.location}) runs Python {HERE}, this side {there}: use the same" in errors.read_text(),
            seconds=20,
        )
        process.stdin.close()
        assert process.wait(30) == 0


def test_a_scheduler_says_of_a_node_which_versions_there_are(python, tmp_path, programs):
    errors = tmp_path / "errors of the node"
    secret = {"GREENCORO_SECRET_FILE": str(tmp_path / "secret")}
    command = [python, "-m", "greencoro", "node", "-i", "127.0.0.1", "--port", "0", "-c", "1", "--daemon"]
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            command,
            env=program_environment(**secret),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as node,
    ):
        try:
            assert node.stdout is not None
            location = node.stdout.readline().split(" at ")[1].split(": ")[0]
            client = programs.start("-c", CLIENT, location, **secret)
            said = client.line()
            assert client.wait() == 0
        finally:
            node.terminate()
            node.wait(30)
    assert f"({location}) runs Python 3." in said and f"this side {HERE}: use the same minor version" in said
    assert said.count("runs Python") == 1
    assert f"runs Python {HERE}, this side 3." in errors.read_text()
