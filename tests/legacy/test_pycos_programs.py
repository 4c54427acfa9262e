"""Programs written for pycos: run as they are, with node daemons where they need servers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.legacy.old_programs import OldPrograms, old_programs
from tests.support.ports import free_port

pytestmark = pytest.mark.cluster

needs_two_cpus = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="the node has two servers: needs two CPUs")


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[OldPrograms]:
    with old_programs(tmp_path) as programs:
        yield programs


def test_tasks_of_one_process_do_as_pycos_has_it(programs: OldPrograms) -> None:
    programs.run("pycos_tasks")


def test_functions_channels_tasks_and_files_of_a_peer_are_used_under_pycos_names(
    programs: OldPrograms, tmp_path: Path
) -> None:
    port = free_port()
    server = programs.start("pycos_rps_server", port, tmp_path / "files")
    assert server.line() == "serving"
    programs.run("pycos_rps_client", port)
    assert server.line() == "endless is over"
    server.type("quit")
    assert server.ends() == ""


def test_what_an_rps_has_started_for_a_client_is_terminated_at_the_clients_end(
    programs: OldPrograms, tmp_path: Path
) -> None:
    port = free_port()
    server = programs.start("pycos_rps_server", port, tmp_path / "files")
    assert server.line() == "serving"
    programs.run("pycos_rps_parting", port)
    assert server.line() == "endless is over"
    server.type("quit")
    assert server.ends() == ""


@needs_two_cpus
@pytest.mark.parametrize("name", ["dispycos_client", "dispycos_status"])
def test_a_client_of_dispycos_prints_with_a_node_what_its_docstring_says(programs: OldPrograms, name: str) -> None:
    port = free_port()
    programs.node("-c", "2", "-i", "127.0.0.1", "-u", port)
    programs.run(name, port)
