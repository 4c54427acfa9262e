"""How many megabytes a second go to another process in a file?

A process sends one big file, and the other one saves it in another directory: where files are kept in memory, so that
no disk is measured, and in the rows "disk" on the disk that temporary files are on. Size and end of the copy are
checked. 1 MB is 1,000,000 bytes; an operation is 1 MiB of the file.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import socket
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import execnet_setup, greencoro_setup, pycos_setup, side
from benchmarks.measure import Measurement, measured
from benchmarks.question import Counts, Question, Sample, Side, Target

SECONDS = 60.0  # longest wait for anything here

MIB = 1 << 20

_BYTES_IN_MB = 1e6


def _directory(on_disk: bool) -> Path:
    return Path(tempfile.gettempdir()) if on_disk else side.memory_directory()


def _destination(on_disk: bool) -> Path:
    return _directory(on_disk) / "come"


def _files(mebibytes: int, on_disk: bool) -> tuple[Path, Path]:
    """A small file to warm up with, and the one to measure, each the only one of its directory."""
    paths = _directory(on_disk) / "warm" / "small", _directory(on_disk) / "go" / "big"
    content = os.urandom(MIB)
    for path, size in zip(paths, (max(1, mebibytes // 10), mebibytes), strict=True):
        path.parent.mkdir()
        with path.open("wb") as file:
            for number in range(size):
                file.write(number.to_bytes(8) + content[8:])
            # Otherwise the disk would be busy with it when the copy is written.
            os.fsync(file.fileno())
    return paths


def _check(sent: Path, saved: Path) -> None:
    ends = []
    for path in (sent, saved):
        with path.open("rb") as file:
            size = file.seek(-MIB, os.SEEK_END) + MIB
            ends.append((size, file.read()))
    assert ends[0] == ends[1], f"{saved} is not {sent}"


def _sample(measurement: Measurement) -> Sample:
    return measurement.sample(measurement.operations * MIB / _BYTES_IN_MB / measurement.seconds, {})


# greencoro


def _greencoro_receiver(on_disk: bool = False, tls: bool = False) -> None:
    here = greencoro_setup.runtime(tls, dest_path=_destination(on_disk))
    side.announce(str(here.location))
    side.wait_to_be_killed()


def _greencoro(mebibytes: int, name: str, on_disk: bool = False, tls: bool = False) -> Sample:
    small, big = _files(mebibytes, on_disk)
    with greencoro_setup.partner("file", name, tls) as (here, location):
        assert here.send_file(location, small) == 0
        with measured(mebibytes) as measurement:
            assert here.send_file(location, big) == 0
    _check(big, _destination(on_disk) / big.name)
    return _sample(measurement)


def greencoro(mebibytes: int) -> Sample:
    return _greencoro(mebibytes, "greencoro")


def greencoro_tls(mebibytes: int) -> Sample:
    return _greencoro(mebibytes, greencoro_setup.TLS, tls=True)


def greencoro_disk(mebibytes: int) -> Sample:
    return _greencoro(mebibytes, "greencoro disk", on_disk=True)


# pycos


def _pycos_receiver(on_disk: bool = False) -> None:
    network = pycos_setup.start_network("receiver", dest_path=str(_destination(on_disk)))
    side.announce(str(network.location.port))
    side.wait_to_be_killed()


def _pycos(mebibytes: int, name: str, on_disk: bool) -> Sample:
    small, big = _files(mebibytes, on_disk)
    with side.partner("file", name) as port:
        network = pycos_setup.start_network("sender")
        pycos = pycos_setup.quiet()
        location = pycos.Location("127.0.0.1", int(port))

        def send(path: Path, task: Any = None) -> Any:
            assert (yield network.peer(location)) == 0
            return (yield network.send_file(location, str(path), timeout=SECONDS))

        assert pycos.Task(send, small).value() == 0
        with measured(mebibytes) as measurement:
            assert pycos.Task(send, big).value() == 0
        # Before the partner is gone: pycos says goodbye to it, and would wait ten seconds for an answer.
        network.terminate()
    _check(big, _destination(on_disk) / big.name)
    return _sample(measurement)


def pycos(mebibytes: int) -> Sample:
    return _pycos(mebibytes, "pycos", on_disk=False)


def pycos_disk(mebibytes: int) -> Sample:
    return _pycos(mebibytes, "pycos disk", on_disk=True)


# execnet


def execnet(mebibytes: int) -> Sample:
    small, big = _files(mebibytes, on_disk=False)

    def send(gateway: Any, path: Path) -> None:
        rsync = importlib.import_module("execnet").RSync(path.parent, verbose=False)
        rsync.add_target(gateway, str(_destination(on_disk=False)))
        rsync.send()

    with execnet_setup.gateway() as gateway:
        send(gateway, small)
        with measured(mebibytes) as measurement:
            send(gateway, big)
    _check(big, _destination(on_disk=False) / big.name)
    return _sample(measurement)


# the floor


def _socket_receiver(with_digest: bool = False) -> None:
    destination = _destination(on_disk=False)
    destination.mkdir()
    content = memoryview(bytearray(MIB))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        side.announce(str(listener.getsockname()[1]))
        connection, _ = listener.accept()
        while head := connection.recv(8, socket.MSG_WAITALL):
            left = int.from_bytes(head)
            digest = hashlib.sha256()
            with (destination / "big").open("wb", buffering=0) as file:
                while left:
                    # Few large pieces, as the digest is of them.
                    come = connection.recv_into(content, min(left, MIB), socket.MSG_WAITALL if with_digest else 0)
                    file.write(content[:come])
                    if with_digest:
                        digest.update(content[:come])
                    left -= come
            connection.sendall(digest.digest() if with_digest else b"!")


def digested(mebibytes: int) -> Sample:
    small, big = _files(mebibytes, on_disk=False)
    content = memoryview(bytearray(MIB))

    def send(connection: socket.socket, path: Path) -> None:
        digest = hashlib.sha256()
        with path.open("rb", buffering=0) as file:
            connection.sendall(path.stat().st_size.to_bytes(8))
            while size := file.readinto(content):
                connection.sendall(content[:size])
                digest.update(content[:size])
        assert connection.recv(32, socket.MSG_WAITALL) == digest.digest()

    name = "floor digest"
    with side.partner("file", name) as port, socket.create_connection(("127.0.0.1", int(port))) as connection:
        send(connection, small)
        with measured(mebibytes) as measurement:
            send(connection, big)
    _check(big, _destination(on_disk=False) / big.name)
    return _sample(measurement)


def sendfile(mebibytes: int) -> Sample:
    small, big = _files(mebibytes, on_disk=False)

    def send(connection: socket.socket, path: Path) -> None:
        with path.open("rb") as file:
            connection.sendall(path.stat().st_size.to_bytes(8))
            connection.sendfile(file)
        assert connection.recv(1) == b"!"

    with side.partner("file", "floor") as port, socket.create_connection(("127.0.0.1", int(port))) as connection:
        send(connection, small)
        with measured(mebibytes) as measurement:
            send(connection, big)
    _check(big, _destination(on_disk=False) / big.name)
    return _sample(measurement)


_COUNTS = Counts(1024, 256, 4)
_GREENCORO = "send_file, encrypted, its digest checked on both sides, with the default settings"
_PYCOS = "send_file; host 127.0.0.1, no discovery; without a digest, not encrypted"

QUESTION = Question(
    name="file",
    text="how many megabytes a second go to another process in a file?",
    unit="MB/s",
    better="more",
    sides=(
        Side(
            "greencoro",
            greencoro,
            _COUNTS,
            f"{_GREENCORO}; both files in memory",
            partner=_greencoro_receiver,
            in_memory=True,
        ),
        Side(
            greencoro_setup.TLS,
            greencoro_tls,
            _COUNTS,
            greencoro_setup.TLS_SETUP,
            partner=partial(_greencoro_receiver, tls=True),
            in_memory=True,
        ),
        Side(
            "pycos",
            pycos,
            _COUNTS,
            f"{_PYCOS}; both files in memory",
            partner=_pycos_receiver,
            package="pycos",
            in_memory=True,
        ),
        Side(
            "execnet",
            execnet,
            _COUNTS,
            f"RSync, which reads and sends the whole file at once; {execnet_setup.SETUP}; without a digest; both files "
            "in memory",
            package="execnet",
            in_memory=True,
        ),
        Side(
            "greencoro disk",
            greencoro_disk,
            _COUNTS,
            f"{_GREENCORO}; both files on disk, where the copy is when send_file returns",
            partner=partial(_greencoro_receiver, on_disk=True),
        ),
        Side(
            "pycos disk",
            pycos_disk,
            _COUNTS,
            f"{_PYCOS}; both files on disk, where the copy comes when the kernel writes it",
            partner=partial(_pycos_receiver, on_disk=True),
            package="pycos",
        ),
        Side(
            "floor",
            sendfile,
            _COUNTS,
            "sendfile to a TCP socket; recv and write at the other end; both files in memory; no digest, not encrypted",
            partner=_socket_receiver,
            in_memory=True,
        ),
        Side(
            "floor digest",
            digested,
            _COUNTS,
            "read, send and SHA-256 in one thread; recv, write and SHA-256 in one thread; both files in memory; not "
            "encrypted",
            partner=partial(_socket_receiver, with_digest=True),
            in_memory=True,
        ),
    ),
    targets=(
        Target("greencoro", "pycos", "at least", 1.0),
        Target(greencoro_setup.TLS, "pycos"),
        Target(greencoro_setup.TLS, "greencoro"),
        Target("greencoro", "execnet"),
        Target("greencoro disk", "pycos disk"),
        Target("greencoro", "floor"),
        Target("greencoro", "floor digest"),
    ),
    timeout_seconds=120.0,
)

if __name__ == "__main__":
    side.main(QUESTION)
