import ssl
from pathlib import Path

import pytest

from greencoro.hub.tls_session import Certificates, Session

from .certificates import Files, make_files


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return make_files(tmp_path_factory.mktemp("tls"), "in memory")


@pytest.fixture
def both(files: Files) -> tuple[Session, Session]:
    """A client and a server that have shaken hands."""
    made = Certificates(files.certfile).client_session(), Certificates(files.certfile, files.keyfile).server_session()
    shake_hands(*made)
    return made


def shake_hands(client: Session, server: Session) -> None:
    ready = [False, False]
    for _ in range(10):
        for number, (one, other) in enumerate(((client, server), (server, client))):
            ready[number] = ready[number] or one.handshake()
            if data := one.data_to_send():
                other.receive_data(data)
        if all(ready):
            return
    raise AssertionError("no end of the handshake")


def test_what_one_writes_the_other_reads_and_nobody_else(both: tuple[Session, Session]) -> None:
    client, server = both
    secret = b"secret words " * 10_000  # more than one record
    wire = client.encrypt(secret)
    assert b"secret" not in wire
    server.receive_data(wire)
    parts = []
    while (part := server.read(1 << 20)) is not None:
        parts.append(part)
    assert b"".join(parts) == secret
    client.receive_data(server.encrypt(memoryview(b"answer")))
    assert client.read(3) == b"ans" and client.read(100) == b"wer"


def test_a_record_of_which_a_part_came_gives_nothing_yet(both: tuple[Session, Session]) -> None:
    client, server = both
    wire = client.encrypt(b"whole")
    server.receive_data(wire[:-1])
    assert server.read(100) is None
    server.receive_data(wire[-1:])
    assert server.read(100) == b"whole"


def test_an_altered_record_is_an_error(both: tuple[Session, Session]) -> None:
    client, server = both
    wire = bytearray(client.encrypt(b"whole"))
    wire[-1] ^= 1
    server.receive_data(bytes(wire))
    with pytest.raises(ssl.SSLError):
        server.read(100)


@pytest.mark.parametrize("with_goodbye", [True, False])
def test_the_end_is_the_end_with_and_without_goodbye(both: tuple[Session, Session], with_goodbye: bool) -> None:
    client, server = both
    server.receive_data(client.encrypt(b"last"))
    server.receive_data(client.goodbye() if with_goodbye else b"")
    assert [server.read(100), server.read(100), server.read(100)] == [b"last", b"", b""]


def test_a_client_refuses_another_certificate(files: Files, tmp_path: Path) -> None:
    other = make_files(tmp_path, "somebody else")
    client = Certificates(other.certfile).client_session()
    server = Certificates(files.certfile, files.keyfile).server_session()
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(client, server)
    assert client.data_to_send()  # which tells the server


def test_files_that_cannot_be_read_are_named_at_once(files: Files, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Certificates(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Certificates(files.certfile, tmp_path / "nowhere")
