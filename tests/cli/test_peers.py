"""The command ``greencoro peers``, run as people run it."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys

import pytest

from greencoro import __version__
from greencoro.cli import main
from tests.cluster.programs import ROOT
from tests.support.polling import poll_until
from tests.support.terminal import AtTerminal

pytestmark = pytest.mark.cluster

PYTHON = ".".join(map(str, sys.version_info[:3]))


def test_it_lists_who_answers_in_columns(network):
    _, second, _ = network.peer(name="two of them")
    _, first, _ = network.peer(name="one")
    code, out, errors = network.run("peers", "--seconds", "4")
    assert (code, errors) == (0, "")
    headings, *rows = out.splitlines()
    assert headings.split() == ["name", "location", "greencoro", "Python", "answered", "after"]
    assert [row[: headings.index("greencoro")].split("  ")[0].rstrip() for row in rows] == ["one", "two of them"]
    for row, location in zip(rows, (first, second), strict=True):
        assert row[headings.index("location") :].split()[:3] == [location, __version__, PYTHON]
        assert row[headings.index("answered") :].endswith(" s")


def test_where_nobody_answers_it_says_where_it_asked_and_what_to_try(network):
    network.peer(secret="quite another secret")
    code, out, errors = network.run("peers", "--seconds", "0.5")
    assert (code, errors) == (0, "")
    assert out.count("\n") == 1
    assert out.startswith(
        f"no peers: nobody answered within 0.5 s; asked 127.255.255.255:{network.udp_port}, as 127.0.0.1:"
    )
    assert "`greencoro doctor`" in out


def test_as_json_it_is_one_object(network):
    program = network.start("peers", "--json", "--seconds", "6", "-d")
    poll_until(lambda: "runtime.started" in program.errors(), 40)
    _, location, fingerprint = network.peer(name="one")
    assert program.wait() == 0
    found = json.loads(program.rest())
    here = found.pop("location")
    assert here.startswith("127.0.0.1:") and here != location
    (peer,) = found.pop("peers")
    # Python alone takes longer to start than that.
    assert 0.01 < peer.pop("answered_after_seconds") < 10
    assert peer == {"name": "one", "location": location, "greencoro": __version__, "python": PYTHON}
    assert found == {
        "format": 1,
        "fingerprint": fingerprint,
        "asked": [f"127.255.255.255:{network.udp_port}"],
        "seconds": 6.0,
        "not_reached": [],
    }


def test_one_who_takes_no_part_in_discovery_is_listed_where_it_is_named(network):
    _, location, _ = network.peer(name="hidden", discover_peers=False)
    assert "no peers" in network.run("peers", "--seconds", "0.5")[1]
    code, out, _ = network.run("peers", "--seconds", "1", "--peer", location)
    assert code == 0 and "hidden" in out


def test_a_host_without_a_port_is_asked_at_the_tcp_port_of_the_number_of_the_udp_port(network):
    network.peer(name="hidden", discover_peers=False, tcp_port=network.udp_port)
    code, out, _ = network.run("peers", "--seconds", "1", "--peer", "127.0.0.1")
    assert code == 0 and "hidden" in out


def test_of_those_named_who_do_not_answer_standard_error_tells_and_the_others_are_listed(network):
    _, location, _ = network.peer(name="hidden", discover_peers=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nowhere = f"127.0.0.1:{taken.getsockname()[1]}"
    code, out, errors = network.run("peers", "--peer", nowhere, "--peer", location)
    assert code == 1 and "hidden" in out
    assert f"peer({nowhere}) failed: cannot reach {nowhere}: Connection refused" in errors


def test_one_who_accepts_and_never_speaks_is_told_of_when_the_time_is_over(network):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        location = f"127.0.0.1:{silent.getsockname()[1]}"
        code, out, errors = network.run("peers", "--seconds", "0.5", "--peer", location)
    assert code == 1 and out.startswith("no peers")
    assert f", and {location}, as 127.0.0.1:" in out and f"`greencoro doctor --peer {location}`" in out
    assert f"peer({location}) failed: cannot reach {location}: no answer within 0.5 s" in errors


def test_at_a_terminal_it_is_a_table_and_names_are_no_markup(network, tmp_path):
    network.peer(name="[red]one[/red]")
    environment = dict(os.environ) | {
        "PYTHONPATH": str(ROOT),
        "GREENCORO_SECRET_FILE": str(tmp_path / "secret"),
        "TERM": "xterm",
        "COLUMNS": "150",
    }
    command = [
        sys.executable,
        "-m",
        "greencoro",
        "peers",
        "--node",
        "127.0.0.1",
        "--udp_port",
        str(network.udp_port),
        "--seconds",
        "4",
    ]
    with AtTerminal(command, environment) as terminal:
        terminal.read_until(lambda output: "└" in output, 40)
        assert "[red]one[/red]" in terminal.output
        assert "┃" in terminal.output


def test_a_udp_port_that_another_program_has_for_itself_is_one_clear_line(network):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", network.udp_port))
        code, out, errors = network.run("peers")
    assert (code, out) == (1, "")
    assert errors.count("\n") == 1
    assert errors.startswith("greencoro peers: cannot listen for discovery at ") and "greencoro doctor" in errors


@pytest.mark.parametrize("arguments", [["--seconds", "0"], ["--peer", "a b"], ["--secret_file", "/nowhere/secret"]])
def test_usage_errors_end_with_2(capsys, arguments):
    assert main(["peers", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == "" and arguments[0] in said.err


def test_ctrl_c_ends_it_with_130_and_no_traceback(network):
    program = network.start("peers", "--seconds", "600", "-d")
    poll_until(lambda: "runtime.started" in program.errors(), 40)
    os.kill(program.pid, signal.SIGINT)
    assert program.wait() == 130
    assert program.rest() == ""
    assert "Traceback" not in program.errors()
