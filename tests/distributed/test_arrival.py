"""What people see when a runtime starts, whether or not they set up logging."""

import contextlib
import logging
import os
import pty
import subprocess
import sys

import pytest

from greencoro.distributed.runtime import Runtime
from tests.distributed.conftest import SECRET_KEY

PROGRAM = """
from greencoro import Runtime
with Runtime({arguments}, secret_key=b"k" * 32) as runtime:
    with Runtime("127.0.0.1", name="second", discover_peers=False, secret_key=b"k" * 32):
        print(runtime.location, runtime.secret.fingerprint)
"""


def run(arguments, stderr=subprocess.PIPE):
    program = [sys.executable, "-c", PROGRAM.format(arguments=arguments)]
    done = subprocess.run(program, stdout=subprocess.PIPE, stderr=stderr, text=True, timeout=60, check=True)
    return done.stdout.split(), done.stderr


def run_on_terminal(arguments):
    controller, terminal = pty.openpty()
    try:
        out, _ = run(arguments, terminal)
        os.set_blocking(controller, False)
        with contextlib.suppress(BlockingIOError):
            return out, os.read(controller, 10_000).decode()
        return out, ""
    finally:
        os.close(controller)
        os.close(terminal)


def test_the_default_runtime_says_once_where_it_is_on_a_terminal_whose_program_set_up_no_logging():
    (location, fingerprint), errors = run_on_terminal("'127.0.0.1', discover_peers=False, name='first'")
    assert errors == f"greencoro: runtime.started name=first location={location} fingerprint={fingerprint}\r\n"


def test_one_that_is_private_to_its_process_says_nothing():
    assert run_on_terminal("'127.0.0.1', discover_peers=False, announce=False")[1] == ""


def test_where_no_person_reads_standard_error_nothing_is_written_that_warns_of_nothing():
    assert run("'127.0.0.1', discover_peers=False, name='first'")[1] == ""


@pytest.mark.parametrize("announce", [True, False])
def test_a_program_with_logging_finds_it_there_as_one_line(announce, caplog):
    arguments = {"discover_peers": False, "secret_key": SECRET_KEY, "announce": announce}
    with caplog.at_level(logging.INFO, "greencoro"), Runtime("127.0.0.1", **arguments) as runtime:
        lines = [record for record in caplog.records if record.getMessage().startswith("runtime.started")]
    assert [(line.levelname, str(runtime.location) in line.getMessage()) for line in lines] == [("INFO", True)]


def test_where_no_network_is_up_it_says_so_and_finds_those_on_this_machine(caplog, monkeypatch):
    monkeypatch.setattr("greencoro.distributed.options.default_address", lambda: "127.0.0.1")
    with Runtime(discover_peers=False, secret_key=SECRET_KEY) as runtime:
        (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert line.startswith("no network but loopback is up") and str(runtime.location) in line
        assert "`greencoro doctor`" in line
        with Runtime(discover_peers=False, secret_key=SECRET_KEY) as other:
            assert other.peer(runtime.location) == 0


def test_loopback_that_was_asked_for_is_no_reason_for_a_warning(caplog):
    with Runtime("127.0.0.1", discover_peers=False, secret_key=SECRET_KEY):
        assert not [record for record in caplog.records if record.levelname == "WARNING"]
