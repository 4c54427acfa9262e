"""How two nodes of Erlang are run: its own distribution, over a connection on loopback.

Usually a node finds another's port by asking a daemon, epmd, which the first node starts and which stays. Here both are
told the port, and only one listens: there is no daemon, and nothing is left.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.local import erlang
from benchmarks.measure import Measurement, measured
from benchmarks.pycos_setup import free_ports

PROGRAM = erlang.PROGRAM

#: What all its rows have in common.
SETUP = "two nodes of Erlang/OTP as Debian ships it, its own distribution on 127.0.0.1, not encrypted"

_SCRIPT = Path(__file__).with_name("nodes.escript")


@contextlib.contextmanager
def script(question: str, operations: int) -> Iterator[erlang.Script]:
    """Run both nodes within the ``with`` statement; gives the one that measures, see `local.erlang`."""
    port = free_ports(1)
    # Given to each node, so that none looks for a file with it, or makes one.
    cookie = secrets.token_hex(16)
    with _node("server", "-kernel inet_dist_use_interface {127,0,0,1}", port, cookie, question, operations) as server:
        server.wait_until_ready()
        with _node("client", "-dist_listen false", port, cookie, question, operations) as client:
            yield client


@contextlib.contextmanager
def _node(role: str, flags: str, port: int, cookie: str, question: str, operations: int) -> Iterator[erlang.Script]:
    command = [PROGRAM, str(_SCRIPT), role, question, str(operations)]
    all_flags = f"-name {role}@127.0.0.1 -setcookie {cookie} -start_epmd false -erl_epmd_port {port} {flags}"
    env = os.environ | erlang.ENVIRONMENT | {"ERL_FLAGS": all_flags, "HOME": tempfile.gettempdir()}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            yield erlang.Script(process)
        finally:
            process.kill()


def measure(question: str, operations: int) -> Measurement:
    """Have the nodes answer a question of one turn; returns what that took."""
    with script(question, operations) as client:
        client.wait_until_ready()
        with measured(operations) as measurement:
            client.take_turn()
    return measurement
