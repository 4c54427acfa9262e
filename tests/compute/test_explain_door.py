"""The socket at which a process tells what became of its jobs, asked by hand; `tests/cli/test_explain.py` has the
command."""

import _socket
import contextlib
import json
import logging
import os
import socket
import subprocess
import threading

import pytest

from greencoro.compute import explain_door
from greencoro.compute.explain_door import ask, doors
from greencoro.errors import ComputeError
from tests.cluster.programs import Programs
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster

#: Opens its door; then may have so many descriptors as it is told.
PROCESS = """
    import logging, resource, sys
    from greencoro.compute.explain_door import open_door
    from greencoro.compute.job_journal import journal

    logging.basicConfig(level=logging.INFO)
    journal.submitted("f")
    open_door()
    print("open", flush=True)
    for line in sys.stdin:
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(line), 64))
        print("done", flush=True)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(explain_door.user_directory.tempfile, "tempdir", None)


@pytest.fixture
def process(tmp_path, place):
    started = Programs(tmp_path)
    program = started.script(PROCESS, stdin=subprocess.PIPE)
    assert program.line() == "open"
    yield program
    program.process.stdin.close()
    assert program.wait() == 0
    started.end()


def tell(process, line):
    process.process.stdin.write(line)
    process.process.stdin.flush()
    assert process.line() == "done"


def connected(file):
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(10)
    with explain_door._short(file) as address:
        stream.connect(address)
    return stream


def answer_to(file, question):
    with connected(file) as stream, stream.makefile("rb") as answer:
        stream.sendall(question + b"\n")
        return json.loads(answer.readline())


@pytest.mark.parametrize(
    "question",
    [
        b"[" * 4000,
        b'{"job": true}',
        b'{"job": [1]}',
        b'{"job": "\\ud800"}',
        b'{"job": ' + b"9" * 4000 + b"}",
        b'{"last": true}',
        b'{"last": 1e400}',
        b"null",
        b"\xff\xff",
    ],
    ids=lambda question: question[:20].decode("latin-1"),
)
def test_S11_a_question_that_is_none_is_answered_with_an_error_and_the_next_one_is_heard(process, question):
    file = doors()[process.pid]
    assert set(answer_to(file, question)) == {"error"}
    assert ask(file, {"job": 1})["lines"][0].startswith("job 1 f: submitted")


def test_job_that_is_none_is_named(process):
    with pytest.raises(ComputeError, match="nothing is known of job 2"):
        ask(doors()[process.pid], {"job": 2})


def test_who_asks_slowly_keeps_nobody_else_from_an_answer(process):
    """One piece after another, each in time: there is a limit for all of them."""
    file = doors()[process.pid]
    over = threading.Event()
    with connected(file) as slow:
        slow.sendall(b"{")

        def drip():
            try:
                while not over.wait(0.3):
                    slow.sendall(b" ")
            except OSError:
                pass  # it was shown the door

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert ask(file, {"last": 1})["pid"] == process.pid
        finally:
            over.set()
            dripping.join()


def test_process_that_had_no_descriptor_for_a_while_answers_again(process):
    file = doors()[process.pid]
    tell(process, b"3\n")
    # One may still be let in, with the descriptor that the system has ready for it.
    with connected(file), connected(file):
        poll_until(lambda: "cannot ask this process now" in process.errors(), 20)
    tell(process, b"64\n")
    assert ask(file, {"last": 1})["pid"] == process.pid


def test_process_that_can_start_no_thread_any_more_has_no_door(place, monkeypatch, caplog):
    def start(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(explain_door, "_opened_by", 0)
    monkeypatch.setattr(explain_door.native.Thread, "start", start)
    with caplog.at_level(logging.INFO):
        explain_door.open_door()
    assert "cannot ask this process: can't create new thread" in caplog.text
    assert list(explain_door._directory().iterdir()) == []


def test_socket_at_which_nobody_listens_yet_is_left_alone(place, monkeypatch):
    """Whoever looks for processes to ask removes those of dead ones, which look the same."""
    directory = explain_door._directory()
    directory.mkdir(mode=0o700, parents=True)
    directory.parent.chmod(0o700)
    seen = []

    class Listener(_socket.socket):
        def listen(self, backlog):
            seen.append(doors())
            super().listen(backlog)
            seen.append(doors())

    monkeypatch.setattr(explain_door, "_listener", Listener)
    file = directory / f"{os.getpid()}.sock"
    with contextlib.closing(explain_door._listen(file)):
        assert seen == [{}, {}]
        assert doors() == {os.getpid(): file}
    assert [each.name for each in directory.iterdir()] == [file.name]
    assert doors() == {}
    assert list(directory.iterdir()) == []
