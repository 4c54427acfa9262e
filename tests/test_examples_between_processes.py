"""The example programs that come in pairs, each as a process of its own."""

from __future__ import annotations

import contextlib
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.examples import EXAMPLES, ROOT, program_environment, run_program
from tests.support.polling import poll_until

NEWS = "delivered to 2\n" + 2 * "['news: the channel is open', 'news: this line is longer']\n"
RCI = "the average is 3.0\ncounter finished 6\nno average: division by zero\n"


@pytest.fixture
def secret(tmp_path: Path) -> str:
    return str(tmp_path / "private" / "secret")


@pytest.fixture
def serve(secret: str) -> Iterator[Callable[[str], str]]:
    """Start an example that goes on; the last word of its first line says where it is to be found."""
    started: list[subprocess.Popen[str]] = []

    def serve(name: str) -> str:
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / f"{name}.py"), "0"],
            env=program_environment(GREENCORO_SECRET_FILE=secret),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        return process.stdout.readline().split()[-1]

    yield serve
    for process in started:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)


@pytest.mark.parametrize(
    ("server", "client", "output"), [("news_server", "news_client", NEWS), ("rci_server", "rci_client", RCI)]
)
def test_a_client_prints_what_it_should(
    serve: Callable[[str], str], secret: str, server: str, client: str, output: str
) -> None:
    ended = run_program(EXAMPLES / f"{client}.py", serve(server), GREENCORO_SECRET_FILE=secret)
    assert (ended.stdout, ended.returncode) == (output, 0), ended.stderr


@pytest.mark.parametrize(("client", "missing"), [("news_client", "no channel 'news'"), ("rci_client", "no function")])
def test_a_client_that_finds_no_server_says_so(client: str, missing: str, secret: str, tmp_path: Path) -> None:
    impatient = tmp_path / "impatient.py"
    impatient.write_text((EXAMPLES / f"{client}.py").read_text().replace("timeout=10", "timeout=0.3"))
    ended = run_program(impatient, "127.0.0.1:9", GREENCORO_SECRET_FILE=secret)
    assert (ended.stdout, ended.returncode) == ("", 1)
    assert missing in ended.stderr and "Traceback" not in ended.stderr


def test_the_page_shows_what_they_print() -> None:
    page = (ROOT / "docs/howto/channels-and-functions.md").read_text()
    assert NEWS in page
    assert RCI in page
    # Each client after the start of its server.
    for server, client in (("news_server", "news_client"), ("rci_server", "rci_client")):
        assert page.index(f"$ .venv/bin/python examples/{server}.py &") < page.index(f"python examples/{client}.py\n")


def test_what_one_types_in_a_room_the_others_see(serve: Callable[[str], str], secret: str) -> None:
    location = serve("room_server")

    def client(name: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(EXAMPLES / "room_client.py"), location, name],
            env=program_environment(GREENCORO_SECRET_FILE=secret),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    with client("ada") as ada, client("bob") as bob:
        assert ada.stdin and ada.stdout and bob.stdin and bob.stdout
        seen: queue.Queue[str] = queue.Queue()
        lines = bob.stdout
        threading.Thread(target=lambda: [seen.put(line) for line in lines], daemon=True).start()

        def bob_sees() -> str | None:
            print("hello", file=ada.stdin, flush=True)  # until bob is there to see it
            with contextlib.suppress(queue.Empty):
                return seen.get(timeout=0.2)
            return None

        assert poll_until(bob_sees, seconds=30) == "ada: hello\n"
        ada.stdin.close()
        assert ada.wait(20) == 0
        assert "ada left\n" in iter(lambda: seen.get(timeout=10), None)
        assert ada.stdout.read() == "", "nobody sees what they typed themselves"
        bob.stdin.close()
        assert bob.wait(20) == 0


def test_one_tally_is_kept_for_all_clients_that_have_its_secret(serve: Callable[[str], str], secret: str) -> None:
    location = serve("tally_server")
    for total in (6, 12):
        ended = run_program(EXAMPLES / "tally_client.py", location, GREENCORO_SECRET_FILE=secret)
        assert (ended.stdout, ended.returncode) == (f"the tally is {total}\n", 0), ended.stderr


@pytest.mark.parametrize(
    ("pair", "arguments", "own", "other"),
    [("room", ["eve"], "seven moody", "nine moody"), ("tally", [], 'secret="four quiet harbours"', "")],
    ids=["another text", "the file of the user"],
)
def test_a_client_with_another_secret_is_not_let_in(
    serve: Callable[[str], str], secret: str, tmp_path: Path, pair: str, arguments: list[str], own: str, other: str
) -> None:
    location = serve(f"{pair}_server")
    stranger = tmp_path / "stranger.py"
    text = (EXAMPLES / f"{pair}_client.py").read_text()
    assert own in text
    stranger.write_text(text.replace(own, other).replace("timeout=10", "timeout=1"))
    ended = run_program(stranger, location, *arguments, GREENCORO_SECRET_FILE=secret)
    assert (ended.stdout, ended.returncode) == ("", 1)
    assert f"no {pair} at {location}" in ended.stderr
