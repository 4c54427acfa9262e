"""Contents in pieces: cut at one end, put together at the other."""

import hashlib
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greencoro.compute import big_parts
from greencoro.compute.big_parts import Gathering, check_size, send_in_pieces
from greencoro.compute.job_words import MAX_CONTENT_BYTES, Piece, Purpose
from greencoro.compute.parts import DataFile, ModuleFile, Package, digest_of
from greencoro.compute.shipping import Shipping
from greencoro.distributed.location import Location
from greencoro.distributed.peer_info import PeerInfo
from greencoro.errors import DeadlineExceeded, PackagingError, RemoteProtocolError
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from tests.support.polling import poll_until

TOKEN = "ab" * 32
SERVER = PeerInfo(Location("10.0.0.1", 1), "server", b"1" * 16)


class Runtime:
    """A network to a server that gathers what comes in pieces."""

    def __init__(self, max_message_bytes=400):
        self.settings = SimpleNamespace(max_message_bytes=max_message_bytes)
        self.gathering = Gathering()
        self.arrived = []
        self.said = []
        self.room = Completion()
        self.room.set()
        self.under_way = self.most = 0
        self.answers_until = None

    def request(self, to, operation, header, parts=(), timeout=None):
        assert operation == "server.piece"
        piece = Piece.from_header(header)
        if self.answers_until is not None and piece.offset >= self.answers_until:
            raise DeadlineExceeded("no answer")
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self.room.wait()
        self.under_way -= 1
        self.said.append((piece.purpose, len(parts[0])))
        content = self.gathering.add(piece, bytes(parts[0]))
        if content is not None:
            self.arrived.append(bytes(content))

    def post(self, to, operation, header, parts=()):
        self.said.append((operation, sum(map(len, parts))))
        package = Package.from_wire(header["package"], parts)
        self.arrived.append(package)
        return 0


def piece(whole, offset, **other):
    about = {"digest": hashlib.sha256(whole).hexdigest(), "size": len(whole), "purpose": Purpose.PACKAGE, **other}
    return Piece(TOKEN, offset=offset, **about)


@given(content=st.binary(min_size=1, max_size=200), limit=st.integers(1, 300))
def test_what_is_sent_in_pieces_arrives_whole(content, limit):
    runtime = Runtime(max_message_bytes=limit)
    send_in_pieces(runtime, SERVER, TOKEN, content, Purpose.SCATTERED, "it", 1.0)
    assert runtime.arrived == [content]
    assert max(size for _, size in runtime.said) <= max(1, limit // 4)


def test_a_piece_that_does_not_follow_the_one_before_it_is_refused():
    whole = bytes(range(10))
    for first, then in [(4, 5), (4, 3), (0, 4)]:
        gathering = Gathering()
        if first:
            assert gathering.add(piece(whole, 0), whole[:first]) is None
        with pytest.raises(RemoteProtocolError, match="does not follow"):
            gathering.add(piece(whole, then), whole[then:])
    gathering = Gathering()
    gathering.add(piece(whole, 0), whole[:4])
    with pytest.raises(RemoteProtocolError, match="does not follow"):
        gathering.add(piece(bytes(10), 4), bytes(6))  # of another content of that size


def test_pieces_that_are_empty_or_more_than_announced_are_refused():
    whole = bytes(10)
    for data in (b"", bytes(11)):
        with pytest.raises(RemoteProtocolError, match="does not follow"):
            Gathering().add(piece(whole, 0), data)


def test_what_is_not_what_was_announced_is_refused_and_the_next_content_is_not():
    whole = bytes(range(10))
    gathering = Gathering()
    with pytest.raises(RemoteProtocolError, match="digest"):
        gathering.add(piece(whole, 0), bytes(10))
    assert gathering.add(piece(whole, 0), whole) == whole


def test_a_content_that_begins_anew_is_gathered_anew():
    whole = bytes(range(10))
    gathering = Gathering()
    gathering.add(piece(whole, 0), whole[:4])
    assert gathering.add(piece(whole, 0), whole[:5]) is None
    assert gathering.add(piece(whole, 5), whole[5:]) == whole


@pytest.mark.parametrize(
    "wrong", [{"size": 0}, {"size": MAX_CONTENT_BYTES + 1}, {"offset": -1}, {"digest": "x"}, {"purpose": "mine"}]
)
def test_a_malformed_piece_is_refused(wrong):
    header = piece(bytes(10), 0).to_header() | wrong
    with pytest.raises(RemoteProtocolError):
        Piece.from_header(header)


def test_each_piece_has_the_time_limit_and_the_error_says_how_far_it_came():
    runtime = Runtime()
    runtime.answers_until = 200
    with pytest.raises(DeadlineExceeded, match=r"file x, 1000 bytes: .* has taken 200 of them, and no more within 2 s"):
        send_in_pieces(runtime, SERVER, TOKEN, bytes(1000), Purpose.PACKAGE, "file x", 2.0)


def test_it_is_said_how_far_it_has_come_where_that_takes_long(monkeypatch, caplog):
    monkeypatch.setattr(big_parts, "_SAY_EVERY_SECONDS", -1.0)
    send_in_pieces(Runtime(4 << 20), SERVER, TOKEN, bytes(3 << 20), Purpose.PACKAGE, "file x", 2.0)
    said = [record.getMessage().partition("): ")[2] or record.getMessage() for record in caplog.records]
    assert len(said) == 3
    assert "sending file x to" in caplog.text
    assert "2 of 3 MiB" in caplog.text


def test_there_is_a_limit_to_what_a_server_takes():
    check_size("it", MAX_CONTENT_BYTES)
    with pytest.raises(PackagingError, match="it: 1073741825 bytes; 1073741824 may be sent to a server at once"):
        check_size("it", MAX_CONTENT_BYTES + 1)


def test_a_large_file_goes_in_pieces_before_its_package_and_once():
    runtime = Runtime()
    content = bytes(range(256))
    package = Package([DataFile("x", 0o644, digest_of(content), content)], "3.11")
    shipping = Shipping([])
    for _ in range(2):
        shipping.send(runtime, SERVER, TOKEN, [package])
    assert runtime.said == [
        (Purpose.PACKAGE, 100),
        (Purpose.PACKAGE, 100),
        (Purpose.PACKAGE, 56),
        ("server.package", 0),
    ]
    assert runtime.arrived[0] == content
    assert runtime.arrived[1].digest == package.digest


def test_a_package_of_many_small_parts_goes_in_several_messages_the_last_of_which_is_the_package():
    runtime = Runtime()
    sources = [bytes([letter]) * 40 for letter in range(10)]
    files = [ModuleFile(f"m{n}", False, (), digest_of(each), each) for n, each in enumerate(sources)]
    package = Package(files, "3.11")
    Shipping([]).send(runtime, SERVER, TOKEN, [package])
    assert max(size for _, size in runtime.said) <= 100
    kept = {part.digest for each in runtime.arrived for part in each.parts if part.content is not None}
    assert kept == package.digests()
    assert runtime.arrived[-1].digest == package.digest


def test_one_content_at_a_time_goes_to_a_server_and_small_packages_do_not_wait_for_it():
    runtime, shipping = Runtime(), Shipping([])
    runtime.room = Completion()
    contents = [bytes([n]) * 150 for n in range(2)]
    packages = [Package([DataFile(f"f{c[0]}", 0o644, digest_of(c), c)], "3.11") for c in contents]
    senders = [Coro(shipping.send, runtime, SERVER, TOKEN, [package]) for package in packages]
    poll_until(lambda: runtime.under_way == 1)
    small = Package([DataFile("small", 0o644, digest_of(b"x"), b"x")], "3.11")
    Coro(shipping.send, runtime, SERVER, TOKEN, [small]).value(5)
    assert runtime.arrived[0].digest == small.digest
    runtime.room.set()
    for sender in senders:
        sender.value(5)
    assert runtime.most == 1
    assert sorted(each for each in runtime.arrived if isinstance(each, bytes)) == contents
