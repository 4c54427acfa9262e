"""Every example program, and every program in the README and the manual, is run and its output compared."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from greencoro import AsyncSocket
from tests.support.examples import EXAMPLES, ROOT, Block, fenced_blocks, program_environment, run_program
from tests.support.polling import poll_until

SQUARES = "1 squared is 1\n2 squared is 4\n3 squared is 9\n"
MONITOR = "quick finished 42\nbroken exception KeyError('nowhere')\npatient terminated None\n"
CLUSTER_SQUARES = "the root of 2 is 1.414\n1 1.0\n4 2.0\n-9 ValueError('math domain error')\n16 4.0\n"

OUTPUTS = {
    "coroutines": (
        "they came in this order: 0 1 2 3 4 5 6 7 8 9\nand returned: 100 101 102 103 104 105 106 107 108 109\n"
    ),
    "call": "apples 3\npears 1\nthere are no 'plums'\nno answer in time\n",
    "channel": "delivered to 2\ntotal 7\nlargest 4\n",
    "categories": "fire!\nthe yearly report\na note\nnothing else is urgent\n",
    "tcp_echo": "100 answers; the last is: HELLO FROM 99\n",
    "udp": "mean of 3 readings: 20.0\n",
    "pipe_checksum": "sha256sum agrees with hashlib: True\nthe clock ticked meanwhile: True\n",
    "pipe_grep": "".join(f"LINE {number} IS ODD\n" for number in (1, 3, 5, 7, 9)),
    "old_style": "half the square of 6 is 18.0\nthe square of 7 is 49\n",
    "supervised": "2.5\nBrokenResource (ZeroDivisionError)\n2.0\n",
    "hot_swap": "Hello Ada\nenglish makes room for french\nBonjour Ada\n",
}

#: Run by tests of their own: here, or (the demo) in tests/cluster/test_demo.py.
PROGRAMS = {
    *("squares", "square_server", "square_client", "monitor", "cluster_squares", "analyse_sources"),
    *("chat_server", "chat_client", "web_server"),
    # In tests/test_examples_between_processes.py.
    *("news_server", "news_client", "rci_server", "rci_client", "room_server", "room_client"),
    *("tally_server", "tally_client"),
    # In tests/test_examples_on_clusters.py and tests/lab/test_examples_in_the_lab.py.
    *("cluster_map", "cluster_status", "cluster_objects", "cluster_files", "cluster_pipes", "cluster_stream"),
    *("cluster_channel", "cluster_own_scheduler", "cluster_never_yields", "cluster_memory", "cluster_ssh"),
    *OUTPUTS,
}
PARTS = {"source_report", "number_lines"}

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: The machine that the pages call their other one.
OTHER_MACHINE = "10.0.0.5"


class Program(NamedTuple):
    """A fenced ``python`` block of a page, with what the ``text`` block right behind it says that it prints."""

    page: Path
    number: int
    code: str
    output: str | None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.number}"


def programs(page: Path) -> Iterator[Program]:
    blocks = [*fenced_blocks(page.read_text()), Block("", "", "")]
    for number, (block, following) in enumerate(itertools.pairwise(blocks)):
        if block.language == "python":
            shows_output = following.language == "text" and following.before in ("", "prints")
            yield Program(page, number, block.content, following.content if shows_output else None)


ALL_PROGRAMS = [program for page in PAGES if "_build" not in page.parts for program in programs(page)]
#: These start server processes.
CLUSTER_NAMES = re.compile(r"LocalCluster|Scheduler\(")


def _param(program: Program) -> object:
    return pytest.param(
        program, id=str(program), marks=[pytest.mark.cluster] if CLUSTER_NAMES.search(program.code) else []
    )


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    return tmp_path / "private" / "secret"


@pytest.fixture
def run(secret: Path):
    def run(*arguments: str | Path, **options: Path) -> subprocess.CompletedProcess[str]:
        return run_program(*arguments, GREENCORO_SECRET_FILE=str(secret), **options)

    return run


@pytest.fixture
def serve(secret: Path):
    """Start a Python program that goes on; the last word of its first line says where it is to be found."""
    started: list[subprocess.Popen[str]] = []

    def serve(*arguments: str | Path) -> str:
        environment = program_environment(GREENCORO_SECRET_FILE=str(secret))
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        return process.stdout.readline()

    yield serve
    for process in started:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)


def test_every_example_is_run_by_a_test():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == PROGRAMS | PARTS


@pytest.mark.parametrize(
    ("name", "output"),
    [
        *OUTPUTS.items(),
        ("squares", SQUARES),
        ("monitor", MONITOR),
        pytest.param("cluster_squares", CLUSTER_SQUARES, marks=pytest.mark.cluster),
    ],
)
def test_an_example_prints_what_it_should(run, name, output):
    ended = run(EXAMPLES / f"{name}.py")
    assert (ended.stdout, ended.returncode) == (output, 0), ended.stderr


def test_the_monitor_example_shows_the_traceback_of_what_failed(run):
    assert "KeyError: 'nowhere'" in run(EXAMPLES / "monitor.py").stderr


def test_two_processes_talk(run, serve):
    location = serve(EXAMPLES / "square_server.py", "0").split()[-1]
    ended = run(EXAMPLES / "square_client.py", location)
    assert (ended.stdout, ended.stderr, ended.returncode) == (SQUARES, "", 0)


def test_the_web_server_counts_visits_and_refuses_what_it_does_not_know(serve):
    url = serve(EXAMPLES / "web_server.py", "0").split()[-1]
    for expected in ("visit 1 to /a\n", "visit 2 to /a\n"):
        with urllib.request.urlopen(f"{url}/a", timeout=10) as answer:
            assert answer.read().decode() == expected
    with pytest.raises(urllib.error.HTTPError, match="405"):
        urllib.request.urlopen(urllib.request.Request(f"{url}/a", method="DELETE"), timeout=10)


def test_what_one_chat_client_types_the_others_see(serve):
    address = serve(EXAMPLES / "chat_server.py", "0").split()[-1]

    def client(name):
        return subprocess.Popen(
            [sys.executable, EXAMPLES / "chat_client.py", address, name],
            env=program_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    with client("ada") as ada, client("bob") as bob:
        seen = queue.Queue()
        threading.Thread(target=lambda: [seen.put(line) for line in bob.stdout], daemon=True).start()

        def bob_sees():
            print("hello", file=ada.stdin, flush=True)  # until bob is there to see it
            with contextlib.suppress(queue.Empty):
                return seen.get(timeout=0.2)

        assert poll_until(bob_sees, seconds=20) == "ada: hello\n"
        ada.stdin.close()
        assert ada.wait(10) == 0
        assert "ada left\n" in iter(lambda: seen.get(timeout=10), None)

        host, port = address.rsplit(":", 1)
        with AsyncSocket(socket.create_connection((host, int(port)))) as cut_off:
            cut_off.send_msg(b"eve")
            poll_until(lambda: (cut_off.send_msg(b"here"), "eve: here\n" in seen.queue)[1], seconds=20)
            # The connection ends by a reset, not by its end.
            cut_off.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert "eve left\n" in iter(lambda: seen.get(timeout=10), None)
        assert ada.stdout.read() == "", "nobody sees what they typed themselves"
        bob.stdin.close()
        assert bob.wait(10) == 0


@pytest.mark.parametrize("program", [_param(each) for each in ALL_PROGRAMS])
def test_a_program_of_a_page_prints_what_the_page_says(run, serve, tmp_path, program):
    code = program.code
    if OTHER_MACHINE in code:
        # One machine plays both: a node daemon on loopback, and a client that listens there too.
        line = serve("-m", "greencoro", "node", "-i", "127.0.0.1", "--port", "0", "-c", "1", "--daemon")
        location = re.match(r"greencoro node at (127\.0\.0\.1:\d+): 1 server, secret ", line)
        assert location, line
        code = code.replace(f'nodes=["{OTHER_MACHINE}"]', f'node="127.0.0.1", nodes=["{location[1]}"]')
        assert OTHER_MACHINE not in code
    file = tmp_path / "program.py"
    file.write_text(code)
    ended = run(file, directory=tmp_path)
    assert ended.returncode == 0, ended.stderr
    if program.output is not None:
        assert ended.stdout == program.output
        assert ended.stderr == ""


def test_what_the_two_machines_of_the_readme_compute_is_what_one_does():
    """The second program prints nothing on the page; it is the first with another `with` line."""
    [_, local, remote] = programs(ROOT / "README.md")
    assert (
        remote.code.replace('Scheduler(nodes=["10.0.0.5"])', "LocalCluster()").splitlines()[2:]
        == (local.code.splitlines()[2:])
    )


def test_the_programs_that_pages_show_are_the_examples():
    readme = (ROOT / "README.md").read_text()
    body = (EXAMPLES / "squares.py").read_text().split('"""')[-1].strip()
    assert "\n".join(line.split("  #")[0] for line in body.splitlines()) in "\n".join(
        line.split("  #")[0] for line in readme.splitlines()
    )
    for page, output in (
        ("tutorial/first-steps", MONITOR),
        ("tutorial/two-processes", SQUARES),
        ("tutorial/cluster", CLUSTER_SQUARES),
        ("tutorial/one-process", OUTPUTS["supervised"]),
        ("tutorial/one-process", OUTPUTS["hot_swap"]),
        ("howto/sockets-files-programs", OUTPUTS["tcp_echo"]),
        ("howto/sockets-files-programs", OUTPUTS["udp"]),
        ("howto/sockets-files-programs", OUTPUTS["pipe_grep"]),
        ("howto/old-generators", OUTPUTS["old_style"]),
    ):
        assert output in (ROOT / f"docs/{page}.md").read_text(), page


def test_links_between_pages_lead_somewhere():
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == []


def test_whoever_begins_is_told_where_the_commands_are():
    for page in (ROOT / "README.md", ROOT / "docs/tutorial/first-steps.md"):
        assert ". .venv/bin/activate" in page.read_text()
    # They are written for that: as commands that are found, from the checkout.
    for path in EXAMPLES.glob("*.py"):
        assert not re.search(r"^ +(?!greencoro |python )\S*(greencoro|python)\S* ", path.read_text(), re.MULTILINE), (
            path
        )


def test_options_that_pages_name_are_those_of_the_node():
    named = set()
    for page in PAGES:
        for command in re.findall(r"greencoro node((?: -{1,2}\w[^\n`]*)?)", page.read_text()):
            named |= set(re.findall(r"(?<= )-{1,2}[a-z_]+", command))
    environment = program_environment(COLUMNS="200")
    offered = subprocess.run(
        [sys.executable, "-m", "greencoro", "node", "--help"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert named, os.listdir(ROOT / "docs")
    assert {option for option in named if not re.search(rf"(?<!\S){option}\b", offered)} == set()
