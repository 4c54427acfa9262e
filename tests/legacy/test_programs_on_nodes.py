"""Programs written for asyncoro.discoro, with node daemons in other processes: run as they are."""

from __future__ import annotations

import importlib.util
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.legacy.old_programs import OldPrograms, old_programs, output
from tests.support.ports import free_port

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="the nodes have two servers: needs two CPUs"),
]

needs_httpd = pytest.mark.skipif(
    importlib.util.find_spec("greencoro.legacy.httpd") is None, reason="needs asyncoro.httpd"
)
needs_numpy = pytest.mark.skipif(importlib.util.find_spec("numpy") is None, reason="needs numpy")

CLIENTS: list[Any] = [
    "discoro_client2",
    "discoro_client3",
    "discoro_client4",
    "discoro_client5",
    pytest.param("discoro_client6", marks=needs_numpy),
    "discoro_client6_channel",
    "discoro_client7",
    "discoro_client8",
    "discoro_client9",
]


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[OldPrograms]:
    with old_programs(tmp_path) as programs:
        yield programs


def test_a_client_and_a_node_that_were_told_nothing_find_each_other(programs: OldPrograms) -> None:
    """On the port and at the address that they have by default."""
    programs.node("-c", "2", "--port", "0")
    programs.run("discoro_client1")


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_prints_with_a_node_what_its_docstring_says(programs: OldPrograms, name: str) -> None:
    port = free_port()
    programs.node("-c", "2", "-i", "127.0.0.1", "-u", port)
    programs.run(name, port)


def test_a_client_that_came_first_is_served_by_a_node_that_comes_later(programs: OldPrograms) -> None:
    port = free_port()
    client = programs.start("discoro_client3", port)
    client.program.look_at_family()
    programs.node("-c", "2", "-i", "127.0.0.1", "-u", port)
    assert client.ends() == output("discoro_client3")


def test_clients_use_a_node_one_after_the_other(programs: OldPrograms) -> None:
    port = free_port()
    programs.node("-c", "2", "-i", "127.0.0.1", "-u", port)
    for _ in range(2):
        programs.run("discoro_client3", port)


def test_a_node_is_used_by_the_place_at_which_it_is_known(programs: OldPrograms) -> None:
    port, servers = free_port(), free_port()
    programs.node("-c", "1", "-i", "127.0.0.1", "-u", port, "--tcp_ports", servers)
    programs.run("discoro_ssh", port)


def test_clients_of_a_shared_scheduler_take_turns(programs: OldPrograms) -> None:
    port = free_port()
    programs.node("-c", "2", "-i", "127.0.0.1", "-u", port)
    script = str(Path(__file__).parent.parent.parent / "scripts" / "discoro.py")
    scheduler = programs.programs.start(script, "--daemon", "-i", "127.0.0.1", "-u", str(port))
    assert scheduler.line().startswith("discoro.py at ")
    clients = {name: programs.start("discoro_shared", port, name) for name in ("ada", "bob")}
    for name, client in clients.items():
        assert client.ends() == output("discoro_shared").replace("NAME", name)


@needs_httpd
def test_a_page_tells_of_a_computation_whose_main_thread_reads_commands(programs: OldPrograms) -> None:
    udp_port, port = free_port(), free_port()
    programs.node("-c", "1", "-i", "127.0.0.1", "-u", udp_port)
    program = programs.start("discoro_httpd", udp_port, port)
    first = {program.line(), program.line()}
    assert first == {"scheduled", "server is ready"}
    program.type("3")
    assert {program.line(), program.line()} == set(output("discoro_httpd").splitlines())
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/cluster_status", timeout=10) as answer:
        assert b"127.0.0.1" in answer.read()
    program.end_input()
    assert program.ends() == ""
