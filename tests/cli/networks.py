"""Runtimes in other processes, for commands that look for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cluster.programs import Program, Programs
from tests.support.ports import free_port

PEER = """
import json, platform, sys, time
from greencoro import Runtime, log
from greencoro.hub import native
log.enable_console("WARNING")
port, ahead, python, arguments = json.loads(sys.argv[1])
if python is not None:
    platform.python_version = lambda: python
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
        self.udp_port = free_port()
        self._programs = Programs(directory)
        self.secret_file = directory / "secret"

    def peer(
        self, ahead: float = 0.0, python: str | None = None, udp_port: int = 0, **arguments: object
    ) -> tuple[Program, str, str]:
        """A process with a runtime: it, its location, its secret's fingerprint.

        Its clock may go wrong, it may claim another version of Python, and be at another UDP port.
        """
        told = json.dumps([udp_port or self.udp_port, ahead, python, arguments])
        program = self._programs.start("-c", PEER, told, GREENCORO_SECRET_FILE=str(self.secret_file))
        location, fingerprint = program.line().split()
        return program, location, fingerprint

    def start(self, command: str, *arguments: str, **environment: str) -> Program:
        """A command of greencoro's, on this network."""
        environment = {"GREENCORO_SECRET_FILE": str(self.secret_file)} | environment
        network = "--node", "127.0.0.1", "--udp_port", str(self.udp_port)
        return self._programs.start("-m", "greencoro", command, *network, *arguments, **environment)

    def run(self, command: str, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """The exit code of a command, what it printed, and what it wrote to standard error."""
        program = self.start(command, *arguments, **environment)
        code = program.wait()
        return code, program.rest(), program.errors()

    def end(self) -> None:
        self._programs.end()


def examine(network: Network, *arguments: str, **environment: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code and findings of the doctor, by check."""
    quick = () if "--seconds" in arguments else ("--seconds", "0.2")
    code, out, errors = network.run("doctor", "--json", *quick, *arguments, **environment)
    assert "Traceback" not in errors, errors
    found = json.loads(out)
    assert found["format"] == 1
    assert found["ok"] is (code == 0)
    for each in found["findings"]:
        assert set(each) == {"check", "level", "text", "advice", "data"}
        assert each["level"] in ("OK", "WARN", "FAIL")
        assert each["level"] == "OK" or each["advice"], f"it says what to do: {each}"
    checks = [each["check"] for each in found["findings"]]
    assert len(set(checks)) == len(checks)
    return code, {each["check"]: each for each in found["findings"]}
