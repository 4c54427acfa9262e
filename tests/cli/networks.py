"""Runtimes in other processes, for commands that look for them."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from tests.cluster.programs import Program, Programs

PEER = """
import json, sys, time
from greencoro import Runtime, log
from greencoro.hub import native
log.enable_console("WARNING")
port, ahead, arguments = json.loads(sys.argv[1])
with Runtime("127.0.0.1", port, **arguments) as runtime:
    def tell_time(request):
        request.reply({"wall_clock_seconds": native.wall_clock() + ahead})
    runtime.handle("greencoro.clock", tell_time, on_reactor=True)
    print(runtime.location, runtime.secret.fingerprint, flush=True)
    while True:
        time.sleep(60)
"""


class Network:
    """Processes on loopback that have one UDP port and one secret."""

    def __init__(self, directory: Path) -> None:
        self.udp_port = free_udp_port()
        self._programs = Programs(directory)
        self._secret_file = directory / "secret"

    def peer(self, ahead: float = 0.0, **arguments: object) -> tuple[Program, str, str]:
        """A process with a runtime: it, its location, its secret's fingerprint. Its clock may go wrong."""
        told = json.dumps([self.udp_port, ahead, arguments])
        program = self._programs.start("-c", PEER, told, GREENCORO_SECRET_FILE=str(self._secret_file))
        location, fingerprint = program.line().split()
        return program, location, fingerprint

    def start(self, command: str, *arguments: str, **environment: str) -> Program:
        """A command of greencoro's, on this network."""
        environment = {"GREENCORO_SECRET_FILE": str(self._secret_file)} | environment
        network = "--node", "127.0.0.1", "--udp_port", str(self.udp_port)
        return self._programs.start("-m", "greencoro", command, *network, *arguments, **environment)

    def run(self, command: str, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """The exit code of a command, what it printed, and what it wrote to standard error."""
        program = self.start(command, *arguments, **environment)
        code = program.wait()
        return code, program.rest(), program.errors()

    def end(self) -> None:
        self._programs.end()


def free_udp_port() -> int:
    """A UDP port that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
