"""The first steps over two machines, as the pages tell them: two home directories stand for the machines."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.support.examples import ROOT, fenced_blocks, program_environment
from tests.support.ports import free_port

pytestmark = pytest.mark.cluster

PAGE = ROOT / "docs/tutorial/two-processes.md"
SQUARES = "1 squared is 1\n2 squared is 4\n3 squared is 9\n"


def programs(page: Path) -> list[str]:
    return [block.content for block in fenced_blocks(page.read_text()) if block.language == "py"]


class Machine:
    """A home directory, and what is done there."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(mode=0o700)
        ours = {name: value for name, value in program_environment(HOME=str(home)).items() if name != "XDG_CONFIG_HOME"}
        self._environment = {name: value for name, value in ours.items() if not name.startswith("GREENCORO_")}

    @contextlib.contextmanager
    def serves(self, code: str) -> Iterator[IO[str]]:
        """A program that goes on; what it prints."""
        (self.home / "server.py").write_text(code)
        command = [sys.executable, "server.py"]
        with subprocess.Popen(
            command, cwd=self.home, env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                yield process.stdout
            finally:
                process.send_signal(signal.SIGINT)
                process.wait(20)

    def run(self, *command: str) -> str:
        """What a command prints."""
        ended = subprocess.run(
            command,
            cwd=self.home,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def run_program(self, code: str) -> str:
        (self.home / "client.py").write_text(code)
        return self.run(sys.executable, "client.py")


@pytest.fixture
def machines(tmp_path: Path) -> tuple[Machine, Machine]:
    return Machine(tmp_path / "one"), Machine(tmp_path / "two")


def take_secret(to: Machine, of: Machine) -> None:
    """The two lines of the page; a copy on one machine in the place of scp."""
    lines = [line.strip()[2:] for line in PAGE.read_text().splitlines() if ".config/greencoro" in line]
    assert [line.split()[0] for line in lines] == ["mkdir", "scp"]
    script = "\n".join(lines).replace("scp -p 10.0.0.5:", f"cp -p {of.home}/")
    to.run("bash", "-ec", script)


def test_the_readme_shows_the_programs_of_the_page() -> None:
    assert programs(ROOT / "README.md") == programs(PAGE)[:2]
    for page in (ROOT / "README.md", PAGE):
        assert "".join(
            line.strip() + "\n" for line in page.read_text().splitlines() if " squared is " in line
        ).endswith(SQUARES)


def test_on_one_network_no_address_is_typed(machines: tuple[Machine, Machine]) -> None:
    one, two = machines
    server, client = (
        code.replace("Runtime()", f'Runtime(node="127.0.0.1", udp_port={port})')
        for port in [free_port()]
        for code in programs(PAGE)[:2]
    )
    with one.serves(server) as said:
        assert said.readline().startswith("squares are served at 127.0.0.1:")
        take_secret(two, one)
        assert os.stat(two.home / ".config/greencoro/secret").st_mode & 0o777 == 0o600
        assert two.run_program(client) == SQUARES


def test_where_nobody_serves_it_is_said_once(machines: tuple[Machine, Machine]) -> None:
    client = programs(PAGE)[1].replace("Runtime()", 'Runtime(node="127.0.0.1", discover_peers=False)')
    assert "timeout=10)\n    if" in client
    said = machines[1].run_program(client.replace("timeout=10)\n    if", "timeout=0.1)\n    if"))
    assert said == "nobody serves squares; `greencoro doctor` finds out why\n"


def test_where_broadcasts_do_not_get_through_one_side_names_the_other(machines: tuple[Machine, Machine]) -> None:
    one, two = machines
    server, client, served, named = programs(PAGE)
    # Discovery is off, as it would be in vain there; the port is any that is free.
    server = server.replace("runtime = Runtime()\n", served).replace(
        "tcp_port=51347", 'node="127.0.0.1", discover_peers=False, tcp_port=0'
    )
    client = client.replace("with Runtime():\n", named)
    assert "tcp_port=0" in server and "peers=" in client
    with one.serves(server) as said:
        location = said.readline().split()[-1]
        take_secret(two, one)
        client = client.replace('"10.0.0.5:51347"]', f'"{location}"], node="127.0.0.1", discover_peers=False')
        assert two.run_program(client) == SQUARES
