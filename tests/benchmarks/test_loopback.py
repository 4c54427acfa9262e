import subprocess
import sys

import pytest

from benchmarks.rounds import ROOT

#: In a process of its own, which does not come back.
PROGRAM = """
import socket
from benchmarks import loopback

loopback.enter()
assert [name for _, name in socket.if_nameindex()] == ["lo"]
with socket.create_server(("", 0)) as listener:
    socket.create_connection(("127.0.0.1", listener.getsockname()[1])).close()
try:
    socket.create_connection(("192.0.2.1", 9), 5)
except OSError as error:
    print(error.strerror)
"""

REFUSED = """
from benchmarks import loopback

loopback._unshare = lambda flags: False
loopback.enter()
"""


def run(program):
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)


def test_a_process_alone_with_loopback_reaches_itself_and_nobody_else():
    done = run(PROGRAM)
    if "no network namespace" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert (done.returncode, done.stdout, done.stderr) == (0, "Network is unreachable\n", "")


def test_where_the_kernel_does_not_allow_it_the_program_ends_with_a_sentence():
    done = run(REFUSED)
    assert (done.returncode, done.stderr) == (
        1,
        "no network namespace can be made here: needs root, or user namespaces\n",
    )
