"""Pairs of programs written for asyncoro.disasyncoro, which find each other: run as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.legacy.old_programs import OldPrograms, old_programs, output
from tests.support.ports import free_port

pytestmark = pytest.mark.cluster


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[OldPrograms]:
    with old_programs(tmp_path) as programs:
        yield programs


@pytest.mark.parametrize("first", ["server", "client"])
def test_programs_that_were_told_nothing_find_each_other_in_any_order(programs: OldPrograms, first: str) -> None:
    """On the port and at the address that they have by default."""
    if first == "client":
        client = programs.start("tut_client")
        server = programs.start("tut_server")
        assert server.line() == "serving"
    else:
        server = programs.start("tut_server")
        assert server.line() == "serving"
        client = programs.start("tut_client")
    assert client.ends() == output("tut_client")
    server.type("quit")
    assert server.ends() == ""


def test_a_secret_lets_a_client_in_and_its_last_message_arrives(programs: OldPrograms) -> None:
    port = free_port()
    server = programs.start("remote_coro_server", port)
    assert server.line() == "serving"
    stranger = programs.start("remote_coro_client", port, "another one")
    assert stranger.ends() == "not found\n"
    programs.run("remote_coro_client", port, "test")
    assert "serving\n" + server.ends() == output("remote_coro_server")


def test_a_remote_channel_reaches_subscribers_of_both_processes(programs: OldPrograms) -> None:
    port = free_port()
    server = programs.start("remote_channel_server", port)
    programs.run("remote_channel_client", port)
    assert server.ends() == output("remote_channel_server")


def test_functions_are_run_remotely_and_their_ends_are_told(programs: OldPrograms) -> None:
    port = free_port()
    server = programs.start("rci_monitor_server", port)
    assert server.line() == "serving"
    programs.run("rci_monitor_client", port)
    server.type("quit")
    assert server.ends() == ""


def test_files_go_to_a_peer_that_is_known_by_its_place(programs: OldPrograms, tmp_path: Path) -> None:
    port = free_port()
    server = programs.start("files_server", port, tmp_path / "files")
    assert server.line() == "serving"
    programs.run("files_client", port)
    server.type("quit")
    assert server.ends() == ""
