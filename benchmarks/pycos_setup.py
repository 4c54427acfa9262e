"""How pycos is started here: quiet, on loopback, with no discovery to wait for.

pycos is imported inside functions only, so that greencoro can be measured where pycos is not installed.
"""

from __future__ import annotations

import importlib
import socket
import sys
from typing import Any

#: What dispycosnode reserves: the scheduler's port, its own, and one for each server.
_PORTS_BESIDE_SERVERS = 2


def quiet() -> Any:
    """The module `pycos` with its log lines (to stdout) limited to errors."""
    pycos = importlib.import_module("pycos")
    pycos.logger.setLevel(pycos.Logger.ERROR)
    return pycos


def start_network(name: str, **parameters: Any) -> Any:
    """pycos's runtime with its network, on a free port of loopback."""
    pycos = quiet()
    importlib.import_module("pycos.netpycos")  # replaces pycos.Pycos
    return pycos.Pycos(host="127.0.0.1", udp_port=0, tcp_port=0, discover_peers=False, name=name, **parameters)


def start_scheduler(first_port: int) -> Any:
    """The module `pycos.dispycos`, its private scheduler listening on a port of loopback."""
    pycos = quiet()
    pycos.config.NetPort = first_port  # read when the network is imported
    importlib.import_module("pycos.netpycos")
    dispycos = importlib.import_module("pycos.dispycos")
    dispycos.Scheduler(host="127.0.0.1", discover_peers=False)
    return dispycos


def node_command(first_port: int, servers: int) -> list[str]:
    """What runs a node of dispycos on loopback, to be dialled by `reach_node`."""
    arguments = f"--daemon --clean -c {servers} -i 127.0.0.1"
    scheduler = f"--scheduler_port {first_port}"
    node_ports = f"--node_ports {first_port + 1}-{first_port + 1 + servers}"
    return [sys.executable, "-m", "pycos.dispycosnode", *f"{arguments} {scheduler} {node_ports}".split()]


def reach_node(first_port: int, task: Any) -> Any:
    """Dial the node until it is there; for ``yield from`` in a task.

    The node's own way, its option --peer, is tried once only, and on a busy machine loses a message about one time in
    four, after which the node is never used.
    """
    pycos = quiet()
    while (yield pycos.Pycos.instance().peer(pycos.Location("127.0.0.1", first_port + 1))) != 0:
        yield task.sleep(0.005)


def ports_for(servers: int) -> int:
    """The first of as many free ports in a row as a scheduler and a node with so many servers take."""
    return free_ports(_PORTS_BESIDE_SERVERS + servers)


def free_ports(count: int) -> int:
    """The first of ``count`` TCP ports in a row that are free now, for programs that take numbers only."""
    # Below the range that the kernel hands out by itself, so that nobody is given one of them meanwhile.
    for first in range(20_000, 32_000, count):
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise RuntimeError(f"no {count} ports in a row are free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
