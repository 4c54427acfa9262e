"""The example programs that compute on a cluster, each with a node daemon in another process, as its docstring says."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.programs import Program, Programs
from tests.support.examples import EXAMPLES, ROOT
from tests.support.polling import poll_until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="the examples' nodes have two servers: needs two CPUs"),
]

needs_numpy = pytest.mark.skipif(importlib.util.find_spec("numpy") is None, reason="needs numpy")

#: In which what happens at the same time at two servers comes in any order.
UNORDERED = {"cluster_status"}
#: In which the end may come in the middle of a server's set-up: that warns of a file that was not sent to its end.
MAY_WARN = {"cluster_memory"}
ALL: list[Any] = [
    "cluster_map",
    "cluster_status",
    "cluster_objects",
    "cluster_files",
    "cluster_pipes",
    pytest.param("cluster_stream", marks=needs_numpy),
    pytest.param("cluster_channel", marks=needs_numpy),
    "cluster_own_scheduler",
    "cluster_never_yields",
    "cluster_memory",
]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Programs]:
    """Programs that have one secret."""
    for name in list(os.environ):
        if name.startswith("GREENCORO_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GREENCORO_SECRET_FILE", str(tmp_path / "secret"))
    # Where the machine is busy, jobs that compute do so for longer than is usual.
    monkeypatch.setenv("GREENCORO_MAX_BLOCKED_SECONDS", "60")
    started = Programs(tmp_path)
    yield started
    started.end()


def docstring(name: str) -> str:
    text = ast.get_docstring(ast.parse((EXAMPLES / f"{name}.py").read_text()))
    assert text is not None
    return text


def options(name: str) -> list[str]:
    """What its docstring starts the node with."""
    [given] = re.findall(r"^ +greencoro node(.*?) ?&?$", docstring(name), re.MULTILINE)
    return str(given).split()


def output(name: str) -> str:
    """What its docstring says that it prints."""
    block = re.search(r"prints?[^\n]*\n(?:[^\n]+\n)*\n((?:    [^\n]*\n?)+)", docstring(name))
    assert block is not None
    return "".join(f"{line[4:]}\n" for line in block[1].splitlines())


def start(programs: Programs, name: str, location: str) -> Program:
    """Run it as its docstring says."""
    return programs.start(f"examples/{name}.py", location, directory=ROOT)


def ended(program: Program, seconds: float = 50.0) -> tuple[str, str, int]:
    code = program.wait(seconds)
    return program.rest(), program.errors(), code


@pytest.mark.parametrize("name", ALL)
def test_an_example_prints_with_a_node_what_its_docstring_says(programs: Programs, name: str) -> None:
    node, location = programs.node(*options(name))
    printed, errors, code = ended(start(programs, name, location))
    expected = output(name)
    if name in UNORDERED:
        printed, expected = ("\n".join(sorted(text.splitlines())) for text in (printed, expected))
    assert (printed, code) == (expected, 0), errors
    # A slow machine may be told what it waits for.
    assert not re.findall(r"Traceback|ERROR" if name in MAY_WARN else r"Traceback|ERROR|WARNING", errors), errors
    # Nothing of it is left: the next one may have the node.
    assert node.process.poll() is None


def test_statuses_of_a_node_frame_those_of_its_servers_and_these_those_of_the_jobs(programs: Programs) -> None:
    _, location = programs.node(*options("cluster_status"))
    printed, errors, _ = ended(start(programs, "cluster_status", location))
    lines = printed.splitlines()
    assert lines.count("ServerInitialized") == 2, errors
    first_job = next(at for at, line in enumerate(lines) if line.startswith("CoroCreated"))
    assert lines[0] == "ComputationScheduled" and lines[-1] == "ComputationClosed"
    assert lines.index("NodeDiscovered") < lines.index("ServerDiscovered") < lines.index("ServerInitialized")
    assert lines.index("ServerInitialized") < first_job
    for number, factors in ((1001, [7, 11, 13]), (1009, [1009])):
        assert lines.index(f"CoroCreated ({number},)") < lines.index(f"factors finished {factors}")


def test_own_scheduler_runs_once_more_what_a_lost_server_had(programs: Programs, tmp_path: Path) -> None:
    _, location = programs.node(*options("cluster_own_scheduler"))
    flag = tmp_path / "died"
    begins = "    if limit == 0:"
    dies = f"    import os\n    if limit == 1000 and not os.path.exists({str(flag)!r}):\n"
    dies += f"        open({str(flag)!r}, 'x')\n        os._exit(3)\n"
    text = (EXAMPLES / "cluster_own_scheduler.py").read_text()
    assert text.count(begins) == 1
    client = tmp_path / "deadly.py"
    client.write_text(text.replace(begins, dies + begins))
    printed, errors, code = ended(programs.start(str(client), location))
    assert (printed, code) == (output("cluster_own_scheduler"), 0), errors
    assert flag.exists()


def test_a_server_that_comes_in_the_place_of_another_reads_the_file_too(programs: Programs, tmp_path: Path) -> None:
    node, location = programs.node("-c", "1")
    text = (EXAMPLES / "cluster_memory.py").read_text()
    goes_on = "        jobs.finish(close=True)\n"
    assert text.count(goes_on) == 1
    waits = ['print("kill", flush=True)', "input()", 'print(jobs.execute(look_up, "Rome"))']
    client = tmp_path / "patient.py"
    client.write_text(text.replace(goes_on, "".join(f"        {line}\n" for line in waits) + goes_on))
    reading, writing = os.pipe()
    program = programs.start(str(client), location, stdin=reading)
    os.close(reading)
    while program.line() != "kill":
        continue
    [server] = node.servers()
    os.kill(server.pid, signal.SIGKILL)
    poll_until(lambda: [each for each in node.servers() if each.pid != server.pid], 20)
    os.write(writing, b"\n")
    os.close(writing)
    printed, errors, code = ended(program)
    # Those of the server that was killed are forgotten with it.
    assert (printed, code) == ("2746984\nlook-ups: 1\n", 0), errors


@pytest.mark.parametrize("name", ["cluster_map", "cluster_ssh"])
def test_an_example_that_finds_no_node_says_in_a_line_where_it_looked(programs: Programs, name: str) -> None:
    text = (EXAMPLES / f"{name}.py").read_text()
    text = text.replace("Computation([primes_below])", "Computation([primes_below], timeout=0.5)")
    text = text.replace("wait_for_servers(2)", "wait_for_servers(2, timeout=0.5)")
    program = programs.script(text.replace("sys.argv[1:]", '["127.0.0.1:9"]'))
    printed, errors, code = ended(program)
    assert (printed, code) == ("", 1)
    assert "127.0.0.1:9" in errors and "Traceback" not in errors and errors.count("\n") == 1


def test_every_cluster_example_is_run_here_or_in_the_lab() -> None:
    named = {each if isinstance(each, str) else each.values[0] for each in ALL}
    lab = (ROOT / "tests/lab/test_examples_in_the_lab.py").read_text()
    assert '"cluster_ssh"' in lab
    # This one starts its servers itself.
    assert {path.stem for path in EXAMPLES.glob("cluster_*.py")} == named | {"cluster_ssh", "cluster_squares"}
