"""How pycos is started here: quiet, on loopback, with no discovery to wait for.

pycos is imported inside functions only, so that greencoro can be measured where pycos is not installed.
"""

from __future__ import annotations

import contextlib
import importlib
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

#: What dispycosnode reserves: the scheduler's port, its own, and one for each server.
_PORTS_BESIDE_SERVERS = 2

#: What the rows that run jobs on servers have in common.
SERVERS_SETUP = "dispycosnode with 2 servers, private scheduler, no discovery, all on 127.0.0.1, not encrypted"


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


def pause(task=None):  # type: ignore[no-untyped-def]  # travels as source, where annotations have no meaning
    yield task.sleep(0.05)


@contextlib.contextmanager
def servers(count: int, functions: Sequence[Callable[..., Any]]) -> Iterator[Any]:
    """Run so many servers within the ``with`` statement; gives a client that is scheduled there, when all are there.

    Args:
        functions: Of the jobs.
    """
    first_port = ports_for(count)
    node = subprocess.Popen(node_command(first_port, count), stdin=subprocess.DEVNULL)
    try:
        pycos = quiet()
        client = start_scheduler(first_port).Client([*functions, pause])

        def prepare(task: Any = None) -> Any:
            yield from reach_node(first_port, task)
            assert (yield client.schedule()) == 0
            seen: set[str] = set()
            while len(seen) < count:
                # All at once, each busy for a moment, so that they come to different servers as soon as these run.
                pauses = []
                for _ in range(count):
                    pauses.append((yield client.rtask(pause)))
                for each in pauses:
                    yield each()
                    seen.add(str(each.location))

        def close(task: Any = None) -> Any:
            yield client.close()

        pycos.Task(prepare).value()
        yield client
        pycos.Task(close).value()
    finally:
        node.terminate()
        node.wait(10)


def run_jobs(
    client: Any, method: str, submitters: int, function: Callable[..., Any], items: Sequence[Any]
) -> list[Any]:
    """The results of a job for each item, in no order.

    Args:
        method: Of the client, which starts a job: ``rtask`` or ``io_rtask``.

        submitters: How many tasks submit, each its share.
    """
    pycos = quiet()
    start = getattr(client, method)

    def submit(share: Sequence[Any], task: Any = None) -> Any:
        under_way = []
        for item in share:
            under_way.append((yield start(function, item)))
        results = []
        for remote in under_way:
            results.append((yield remote()))
        return results

    def run(task: Any = None) -> Any:
        tasks = [pycos.Task(submit, items[first::submitters]) for first in range(submitters)]
        results = []
        for each in tasks:
            results += yield each.finish()
        return results

    return list(pycos.Task(run).value())


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
