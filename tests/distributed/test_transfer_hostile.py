"""What a client made by hand asks for, and what it sends."""

import hashlib
import os
import stat
import threading

import pytest

from greencoro.distributed.file_store import Part
from greencoro.distributed.transfer_words import DATA, DELETE, DIGEST, NEWS, OFFER
from greencoro.errors import BusyResource, GreencoroError, TransferError
from tests.distributed.file_pairs import files_fixture, make_files_fixture, offer  # noqa: F401  (fixtures)
from tests.distributed.hand_made import HandMade, asked
from tests.support.polling import poll_until

#: Of a place that is none inside, and of a description that is none.
REFUSALS = ("TransferError", "RemoteProtocolError")


def tree(directory):
    """What is in a directory: names, kinds, permissions, contents and targets."""
    found = {}
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        content = (
            os.readlink(path) if path.is_symlink() else path.read_bytes() if stat.S_ISREG(status.st_mode) else None
        )
        found[str(path.relative_to(directory))] = (status.st_mode, status.st_mtime_ns, content)
    return found


HOSTILE = [
    (dir, file, sep)
    for sep in ("/", "\\", "::", "x")
    for dir, file in [
        (f"..{sep}outside", "kept"),
        (f"a{sep}..{sep}..{sep}outside", "kept"),
        (f"{sep}tmp", "evil"),
        (f"a{sep}{sep}..", "evil"),
        ("link", "kept"),
        (f"a{sep}link", "kept"),
        (f"a{sep}inner{sep}link", "new"),
        ("file", "below"),
        ("", f"..{sep}dest-evil{sep}kept"),
        ("", ".."),
        ("..", "outside"),
        (f"..{sep}dest-evil", "kept"),
        ("C:", "evil"),
        (f"{sep}{sep}host{sep}share", "evil"),
        ("a\0b", "evil"),
        ("a", "x" * 300),
        ("", ""),
    ]
]


def hostile_places():
    """What offers and removals of them say: the texts as they are, and taken apart by the sender in every way."""
    for dir, file, sep in HOSTILE:
        # Taken apart by another separator than it says, or not at all; "..xoutside" is a good name.
        undone = [] if sep == "x" else [[dir], dir.split("/")]
        for directory in (dir, dir.split(sep), *undone):
            if isinstance(directory, list) and set(directory) <= {"a"} and file in ("kept", "evil", "new", "below"):
                continue  # taken apart like this it is a place inside
            yield {"directory": directory, "file": file, "sep": sep}
    yield {"directory": [], "file": "link"}
    yield {"directory": [], "file": "a"}
    yield {"directory": ["a"], "file": ".."}


class Planted:
    """A directory to save in with links that lead out of it, and what they lead to; as they were at first."""

    def __init__(self, around, dest):
        self.around, self.dest = around, dest
        outside = around / "outside"
        for directory in (outside, around / "dest-evil"):
            directory.mkdir()
            (directory / "kept").write_text("kept")
        (dest / "a/inner").mkdir(parents=True)
        for place in (dest, dest / "a", dest / "a/inner"):
            (place / "link").symlink_to(outside)
        (dest / "a/up").symlink_to("..")
        (dest / "file").write_text("file")
        self.before, self.inside = self.now(), self.now_inside()

    def now(self):
        return {name: it for name, it in tree(self.around).items() if name != "dest" and not name.endswith(".lock")}

    def now_inside(self):
        return {name: it for name, it in tree(self.dest).items() if not name.endswith(".lock")}

    def check(self):
        assert self.now_inside() == self.inside
        assert self.now() == self.before


def test_F3_nothing_outside_dest_path_is_written_or_removed(files, tmp_path):
    planted = Planted(tmp_path, files.dest)
    places = list(hostile_places())
    for number, place in enumerate(places, 1):
        with pytest.raises(GreencoroError):
            files.request(OFFER, offer(number, "", 0) | place)
        with pytest.raises(GreencoroError):
            files.request(DELETE, place)
    poll_until(lambda: not files.other._receiver._transfers)
    assert len(HOSTILE) >= 60 and len(places) > 200
    planted.check()


def test_F3_nothing_outside_dest_path_is_written_or_removed_for_a_client_made_by_hand(tcp_world, tmp_path):
    runtime = tcp_world.runtime(dest_path=tmp_path / "dest")
    planted = Planted(tmp_path, tmp_path / "dest")
    client = HandMade(runtime)

    def send(number, place):
        """The whole of a file, whatever is said to its offer; that."""
        reply = client.ask(number, OFFER, offer(number, "", 4) | place)
        digest = hashlib.sha256(b"evil").hexdigest()
        client.send(asked(0, DATA, {"transfer": number, "at": 0}, [b"evil"]))
        client.send(asked(0, DIGEST, {"transfer": number, "digest": digest}))
        return reply

    for number, place in enumerate(hostile_places(), 1):
        assert send(number, place)["error"] in REFUSALS, place
        assert client.ask(number, DELETE, place)["error"] in REFUSALS, place
    planted.check()
    # And it was the place that was refused.
    assert send(9999, {"directory": ["a"], "file": "good"})["do"] == "send"
    good = tmp_path / "dest/a/good"
    poll_until(lambda: good.exists() and good.read_bytes() == b"evil")
    assert client.ask(9999, DELETE, {"directory": ["a"], "file": "good"}) == {}
    assert not good.exists()
    client.close()


def test_F3_a_temporary_file_of_another_transfer_can_be_neither_replaced_nor_removed(files):
    files.request(OFFER, offer(1, "f", 10))
    [part] = [name for name in files.there() if name.startswith(".greencoro-")]
    for name in (part, part.rpartition("-")[0] + ".lock"):
        with pytest.raises(TransferError, match="are taken"):
            files.request(DELETE, {"directory": [], "file": name})
        with pytest.raises(TransferError, match="are taken"):
            files.request(OFFER, offer(2, name, 10))
    assert files.there() == [part]


def test_F4_a_file_beyond_max_file_size_is_refused_before_data_is_sent(make_files, caplog):
    files = make_files(max_file_size=1000)
    assert files.send(files.write(b"x" * 1000)) == 0
    assert files.send(files.write(b"x" * 1001, "g")) == -1
    assert "max_file_size is 1000" in caplog.text
    assert files.there() == ["f"]
    same = files.write(b"x" * 1001, "same")
    (files.dest / "same").write_bytes(same.read_bytes())
    os.utime(files.dest / "same", ns=(0, same.stat().st_mtime_ns))
    (files.dest / "same").chmod(0o644)
    assert files.send(same) == -1, "also where it is there already"


@pytest.mark.parametrize("limit", [None, 0])
def test_F4_none_and_0_are_no_limit(make_files, limit):
    files = make_files(max_file_size=limit)
    assert files.send(files.write(b"x" * 5_000_000)) == 0


def test_F4_all_files_of_a_peer_are_limited_and_removing_some_makes_room(make_files, caplog):
    files = make_files(max_dest_size=1000)
    assert files.send(files.write(b"x" * 600)) == 0
    assert files.send(files.write(b"y" * 600, "g")) == -1
    assert "max_dest_size is 1000" in caplog.text
    assert files.send(files.write(b"y" * 400, "g")) == 0
    assert files.send(files.write(b"z", "h")) == -1
    assert files.delete("f") == 0
    assert files.send(files.write(b"z" * 600, "j")) == 0
    assert files.delete("j") == 0
    assert files.send(files.write(b"z" * 300, "f")) == 0
    assert files.send(files.write(b"z" * 200, "f"), overwrite=True) == 0
    assert files.send(files.write(b"w" * 400, "h")) == 0, "what was replaced no longer counts"
    assert files.send(files.write(b"z", "i")) == -1


def test_F4_a_file_of_60_percent_can_be_replaced_by_another_one_and_sent_again_and_again(make_files):
    files = make_files(max_dest_size=1000)
    for content in (b"x" * 600, b"y" * 600, b"z" * 600):
        file = files.write(content)
        assert files.send(file, overwrite=True) == 0
        assert [files.send(file) for _ in range(3)] == [1] * 3
    assert files.send(files.write(b"g" * 401, "g")) == -1
    assert files.send(files.write(b"g" * 400, "g")) == 0


def test_F4_a_file_that_is_there_already_is_compared_whatever_room_is_left(make_files, caplog):
    files = make_files(max_dest_size=1000)
    file = files.write(b"x" * 2000)
    (files.dest / "f").write_bytes(b"x" * 2000)
    os.utime(files.dest / "f", ns=(0, file.stat().st_mtime_ns))
    (files.dest / "f").chmod(0o644)
    assert files.send(file) == 1
    (files.dest / "f").write_bytes(b"y" * 2000)
    os.utime(files.dest / "f", ns=(0, file.stat().st_mtime_ns))
    assert files.send(file, overwrite=True) == -1
    assert "max_dest_size is 1000" in caplog.text
    assert (files.dest / "f").read_bytes() == b"y" * 2000


def test_F4_a_peer_that_comes_again_after_a_loss_has_what_it_had_and_no_room_for_what_did_not_come(make_files):
    files = make_files(max_dest_size=1000)
    assert files.send(files.write(b"x" * 600)) == 0
    files.request(OFFER, offer(1, "g", 400))
    assert files.send(files.write(b"h", "h")) == -1
    files.pair.cut()
    poll_until(lambda: files.there() == ["f"])
    assert files.send(files.write(b"h" * 401, "h")) == -1
    assert files.send(files.write(b"h" * 400, "h")) == 0
    assert files.send(files.write(b"i", "i")) == -1


def refused_by_news(files, say):
    """What the receiver says after ``say(link)``, which is not as it should be."""
    heard = []
    files.pair.one.handle(NEWS, lambda request: heard.append(request.header), on_reactor=True)
    [info] = files.pair.one.peer_infos()
    say(lambda operation, header, parts=(): files.pair.one.post(info, operation, {"transfer": 9} | header, parts))
    [failed] = poll_until(lambda: [news["failed"] for news in heard if "failed" in news])
    poll_until(lambda: not files.other._receiver._transfers and files.there() == [])
    return failed


def test_F4_declared_as_one_byte_a_file_of_a_gigabyte_is_cut_off_there(files):
    assert files.request(OFFER, offer(9, "f", 1)).header["do"] == "send"

    def lie(post):
        for number in range(64):
            post(DATA, {"at": number << 20}, [bytes(1 << 20)])

    assert "more bytes came than the 1" in refused_by_news(files, lie)


@pytest.mark.parametrize(
    ("operation", "header", "parts", "what"),
    [
        (DATA, {"at": 5}, [b"x"], "was due"),
        (DATA, {"at": "0"}, [b"x"], "'at'"),
        (DATA, {}, [b"x"], "'at'"),
        (DATA, {"at": 0}, [], "one part"),
        (DATA, {"at": 0}, [bytes(100)] * 2, "one part"),
        (DATA, {"at": 0}, [bytes(9 << 20)], "under way"),
        (DIGEST, {"digest": "0" * 64}, [], "after 0 of"),
        (DIGEST, {"digest": 7}, [], "SHA-256"),
    ],
)
def test_what_breaks_the_rules_ends_the_transfer_and_nothing_else(files, operation, header, parts, what):
    assert files.request(OFFER, offer(9, "f", 16 << 20)).header["do"] == "send"
    assert what in refused_by_news(files, lambda post: post(operation, header, parts))
    assert files.pair.one.peers() == [files.pair.other.location]


def test_messages_about_no_transfer_do_no_harm(files):
    [info] = files.pair.one.peer_infos()
    for header in ({"transfer": 77}, {"transfer": "x"}, {}, {"transfer": -1}):
        for operation in (DATA, DIGEST, NEWS, "greencoro.file.cancel", "greencoro.file.still-here"):
            files.pair.one.post(info, operation, header)
    assert files.send(files.write(b"x")) == 0


def test_a_peer_may_have_only_so_many_transfers_under_way(files):
    for number in range(1, 17):
        files.request(OFFER, offer(number, f"f{number}", 10))
    with pytest.raises(BusyResource, match="under way already"):
        files.request(OFFER, offer(17, "f", 10))
    with pytest.raises(GreencoroError, match=r"number 3 already"):
        files.request(OFFER, offer(3, "f", 10))
    files.pair.cut()
    poll_until(lambda: files.there() == [], what="parts of a peer that is lost are removed")
    assert files.send(files.write(b"x")) == 0


def test_a_third_peer_has_nothing_to_say_about_a_transfer(files, monkeypatch):
    gate, real = threading.Event(), Part.write

    def write(part, data):
        gate.wait(20)
        real(part, data)

    monkeypatch.setattr(Part, "write", write)
    third = files.pair.world.runtime()
    assert third.peer(files.pair.one.location, timeout=10) == 0
    [to_one] = third.peer_infos()
    sender = files.pair.one.spawn(files.send, files.write(b"x"))
    poll_until(lambda: files.other._receiver._transfers)
    for number in range(50):
        for news in ({"result": 0}, {"failed": "lie"}, {"written": 1}):
            third.post(to_one, NEWS, {"transfer": number} | news)
    # What was said before this has been heard.
    third.request(to_one, "greencoro.ping", {}, timeout=10)
    gate.set()
    assert sender.value(20) == 0
    assert (files.dest / "f").read_bytes() == b"x"
