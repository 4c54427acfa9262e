"""A socket at which this process tells other programs of its user what became of its jobs.

It is in a directory of this user's own, and whoever comes is asked by the system who it is: neither a secret nor the
network lets anybody in, so that other clients of one secret know nothing of each other's jobs (S16).
"""

from __future__ import annotations

import _socket
import json
import logging
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gevent import monkey

from greencoro.compute.job_journal import journal
from greencoro.distributed import user_directory
from greencoro.errors import ComputeError, ConfigError, GreencoroError, PeerUnreachable, RemoteProtocolError
from greencoro.hub import exit as process_exit
from greencoro.hub import forks, native

__all__ = ["ask", "doors", "open_door"]

_log = logging.getLogger(__name__)

# A weak reference to it can be had.
_listener: Any = monkey.get_original("socket", "socket")

_SUFFIX = ".sock"
#: Of a question; of an answer: 1000 jobs with all that is kept of them.
_MAX_QUESTION_BYTES = 4096
_MAX_ANSWER_BYTES = 128 * 1024 * 1024
#: Longest wait of who asks: to be let in, and for each piece of the answer.
_SECONDS = 5.0
#: In which whoever has come has asked and taken the answer. One is heard at a time: less than the next one waits.
_VISIT_SECONDS = 3.0
#: After the system had no room for one who came.
_PAUSE_SECONDS = 1.0
#: A socket at which nobody listens yet.
_UNOPENED = ".new"
#: As the system has it: process id, user id, group id.
_CREDENTIALS = struct.Struct("3i")

_lock = native.Lock()
#: The process that has opened its door; one that it forked has none.
_opened_by = 0


def _directory() -> Path:
    return user_directory.default_path() / "clients"


def open_door() -> None:
    """Answer from now on until the process ends; where that cannot be, it is logged, and all else goes on."""
    global _opened_by
    with _lock:
        if _opened_by == os.getpid():
            return
        _opened_by = os.getpid()
    try:
        user_directory.make(user_directory.default_path(), private=True, parameter="TMPDIR")
        user_directory.make(_directory(), private=True, parameter="TMPDIR")
        file = _directory() / f"{os.getpid()}{_SUFFIX}"
        listener = _listen(file)
    except (OSError, ConfigError) as error:
        _log.info("`greencoro explain` cannot ask this process: %s", error)
        return
    owner = os.getpid()
    try:
        native.Thread(lambda: _serve(listener), "greencoro-explain").start()
    except RuntimeError as error:
        # From Python 3.12 on none is started once the script has ended.
        listener.close()
        _close(file, owner)
        _log.info("`greencoro explain` cannot ask this process: %s", error)
        return
    process_exit.at_exit(-10, lambda: _close(file, owner))


def _listen(file: Path) -> _socket.socket:
    # Elsewhere until it answers, for whoever looks meanwhile would take it for a dead one's.
    unopened = file.with_suffix(_UNOPENED)
    unopened.unlink(missing_ok=True)  # of a process that had this number before
    listener: _socket.socket = _listener(_socket.AF_UNIX, _socket.SOCK_STREAM)
    forks.keep_from_children(listener, _listener.close)
    with _short(unopened) as address:
        listener.bind(address)
    listener.listen(8)
    unopened.replace(file)
    return listener


def _close(file: Path, owner: int) -> None:
    if os.getpid() == owner:
        file.unlink(missing_ok=True)


@contextmanager
def _short(file: Path) -> Iterator[str]:
    """The address of a socket's file, which may be 107 bytes long: by way of its directory."""
    directory = os.open(file.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{file.name}"
    finally:
        native.close(directory)


# A thread of its own: also while coroutines compute there is an answer.


def _serve(listener: _socket.socket) -> None:
    while True:
        try:
            descriptor, _ = listener._accept()  # type: ignore[attr-defined]
        except OSError as error:
            # No descriptor, say, or no memory; that passes.
            _log.info("`greencoro explain` cannot ask this process now: %s", error)
            native.sleep(_PAUSE_SECONDS)
            continue
        visitor = _socket.socket(fileno=descriptor)
        try:
            _receive(visitor, native.monotonic() + _VISIT_SECONDS)
        except OSError as error:
            _log.debug("who asked what became of jobs did not wait for the answer: %s", error)
        finally:
            visitor.close()


def _receive(visitor: _socket.socket, deadline: float) -> None:
    credentials = visitor.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _CREDENTIALS.size)
    user = _CREDENTIALS.unpack(credentials)[1]
    if user not in (0, os.geteuid()):
        return
    question = _read(visitor, _MAX_QUESTION_BYTES, deadline)
    try:
        answer = _answer(json.loads(question))
    except (ValueError, RecursionError, GreencoroError) as error:
        answer = {"error": str(error)}
    # One limit for all of it: `sendall` has the socket's for the whole.
    visitor.settimeout(_left(deadline))
    visitor.sendall(json.dumps(answer).encode() + b"\n")


def _answer(question: Any) -> dict[str, Any]:
    me = {"pid": os.getpid(), "program": sys.argv[0] if sys.argv else ""}
    job = question.get("job") if isinstance(question, dict) else None
    if isinstance(job, int | str) and not isinstance(job, bool):
        return me | {"lines": journal.lines(job), "jobs": [journal.report(job)]}
    count = question.get("last") if isinstance(question, dict) else None
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ComputeError("it is not said which jobs are meant")
    lines, reports = journal.last(count)
    return me | {"lines": lines, "jobs": reports}


def _left(deadline: float) -> float:
    """Seconds."""
    left = deadline - native.monotonic()
    if left <= 0:
        raise TimeoutError("it took too long")
    return left


def _read(stream: _socket.socket, limit: int, deadline: float | None = None) -> bytes:
    """A line; where there is no deadline, with the socket's limit for each piece."""
    line = bytearray()
    while not line.endswith(b"\n"):
        if deadline is not None:
            stream.settimeout(_left(deadline))
        data = stream.recv(min(limit, 65536))
        if not data or len(line) + len(data) > limit:
            raise OSError("the connection ended early, or brought too much")
        line += data
    return bytes(line)


# Whoever asks; blocks the calling thread.


def doors() -> dict[int, Path]:
    """The sockets of this user's processes that can be asked, by process id; those of dead ones are removed."""
    found = {}
    with suppress(FileNotFoundError, ConfigError):
        user_directory.make(user_directory.default_path(), private=True, parameter="TMPDIR")
        for file in sorted(_directory().iterdir()):
            if file.suffix == _SUFFIX and file.stem.isdecimal() and _is_answered(file):
                found[int(file.stem)] = file
    return found


def _is_answered(file: Path) -> bool:
    try:
        with _connected(file):
            return True
    except ConnectionRefusedError:
        file.unlink(missing_ok=True)  # it was killed
    except OSError:
        pass  # it has just ended, or is stopped
    return False


@contextmanager
def _connected(file: Path) -> Iterator[_socket.socket]:
    stream = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        stream.settimeout(_SECONDS)
        with _short(file) as address:
            stream.connect(address)
        yield stream
    finally:
        stream.close()


def ask(file: Path, question: dict[str, Any]) -> dict[str, Any]:
    """What the process with that socket answers: ``pid``, ``program``, ``lines`` and ``jobs``.

    Args:
        question: ``job``: its number, or the reference as it is printed; or ``last``: how many of the last jobs.

    Raises:
        PeerUnreachable: It does not answer.

        ComputeError: It knows nothing of the job.
    """
    try:
        with _connected(file) as stream:
            stream.sendall(json.dumps(question).encode() + b"\n")
            answer = json.loads(_read(stream, _MAX_ANSWER_BYTES))
    except OSError as error:
        raise PeerUnreachable(f"process {file.stem} does not answer: {error}") from error
    except ValueError as error:
        raise RemoteProtocolError(f"process {file.stem} has answered what is no JSON") from error
    if "error" in answer:
        raise ComputeError(answer["error"])
    return dict(answer)
