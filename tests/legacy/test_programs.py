"""Programs written for asyncoro that have one process, or several that talk over sockets: run as they are."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.legacy.old_programs import PROGRAMS, OldPrograms, old_programs, output
from tests.support.ports import free_port

#: Those that run by themselves.
ALONE = [
    "at_exit",
    "categories",
    "channels",
    "coros",
    "db_cursor",
    "dockerfile",
    "hotswap",
    "hotswap_restart",
    "locks",
    "messages",
    "monitors",
    "perf",
    "pipe_csum",
    "pipe_grep",
    "pool",
    "sock_file_copy",
    "socket_afile",
    "udp",
]


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[OldPrograms]:
    with old_programs(tmp_path) as programs:
        yield programs


@pytest.mark.parametrize("name", ALONE)
def test_a_program_prints_what_its_docstring_says(programs: OldPrograms, name: str) -> None:
    programs.run(name)


def test_coroutines_go_on_while_the_main_thread_waits_for_input(programs: OldPrograms) -> None:
    program = programs.start("input_loop")
    assert [program.line() for _ in range(3)] == ["tick 0", "tick 1", "tick 2"]
    printed = []
    for text in ("6", "x", "7"):
        program.type(text)
        printed.append(program.line())
    program.type("quit")
    assert "".join(f"{line}\n" for line in printed) + program.ends() == output("input_loop")


def test_lines_are_answered_by_a_server_whose_main_thread_reads_commands(programs: OldPrograms) -> None:
    port = free_port()
    server = programs.start("tut_sock_server", port)
    assert server.line() == "serving"
    programs.run("tut_sock_client", port)
    server.type("quit")
    assert server.ends() == ""


def test_an_encrypted_connection_needs_the_certificate(programs: OldPrograms, tmp_path: Path) -> None:
    made = programs.programs.start("-m", "greencoro", "cert", "make", str(tmp_path))
    assert made.wait() == 0, made.errors()
    programs.run("tls_echo", tmp_path / "greencoro.cert", tmp_path / "greencoro.key")


@pytest.mark.parametrize("kind", ["chat", "chat_sock", "chat_chan"])
def test_a_chat_shows_each_what_the_others_type(programs: OldPrograms, kind: str) -> None:
    port = free_port()
    server = programs.start(f"{kind}_server", port)
    assert server.line() == "serving"
    ada = programs.start(f"{kind}_client", port, "ada")
    assert ada.line() == "ada joined"
    bob = programs.start(f"{kind}_client", port, "bob")
    assert bob.line() == "bob joined"
    assert ada.line() == "bob joined"
    for speaker, listener, name in ((ada, bob, "ada"), (bob, ada, "bob")):
        for number in range(3):
            speaker.type(f"line {number}")
        assert [listener.line() for _ in range(3)] == [f"{name}: line {number}" for number in range(3)]
    ada.type("quit")
    assert ada.ends() == "", "nobody sees what they typed themselves"
    assert bob.line() == "ada left"
    bob.end_input()
    assert bob.ends() == ""
    if kind == "chat_sock":
        # It accepts, until Ctrl-C.
        server.program.process.send_signal(signal.SIGINT)
        assert server.ends() == "interrupted\n"
    else:
        server.type("quit")
        assert server.ends() == ""


def test_a_client_whose_server_is_gone_ends_though_it_waits_for_a_line(programs: OldPrograms) -> None:
    port = free_port()
    server = programs.start("chat_server", port)
    assert server.line() == "serving"
    client = programs.start("chat_client", port, "ada")
    assert client.line() == "ada joined"
    server.type("quit")
    assert server.ends() == ""
    assert client.ends() == ""


def test_every_program_is_run_by_a_test() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*programs*.py"))
    for path in PROGRAMS.glob("*.py"):
        name = path.stem
        run = f'"{name}"' in tests or (name.startswith("chat") and name.endswith(("_server", "_client")))
        assert run or name == "discoro_client5_proc", f"no test runs {name}"
