"""What goes wrong in the middle of a transfer."""

import hashlib
import os
import random
import subprocess
import threading

import pytest

from greencoro.distributed import file_store, transfer_incoming
from greencoro.distributed.file_store import FileStore, Part
from greencoro.distributed.transfer import Transfers
from greencoro.distributed.transfer_words import DATA, OFFER
from greencoro.errors import GreencoroError
from greencoro.hub.execution import sleep
from tests.distributed.file_pairs import files_fixture, make_files_fixture, offer  # noqa: F401  (fixtures)
from tests.support.polling import poll_until


def test_F2_what_changes_on_the_way_is_not_saved(files, monkeypatch, caplog):
    files.dest.joinpath("f").write_bytes(b"old")
    real = Part.write
    monkeypatch.setattr(Part, "write", lambda part, data: real(part, bytes([data[0] ^ 1]) + data[1:]))
    assert files.send(files.write(b"new" * 100_000), overwrite=True) == -1
    assert "digests differ" in caplog.text
    assert files.dest.joinpath("f").read_bytes() == b"old"
    assert files.there() == ["f"]


@pytest.mark.parametrize("change", ["rewrite", "truncate", "append", "same size and time"])
def test_F2_a_source_that_changes_while_it_is_read_gives_minus_1(files, monkeypatch, caplog, change):
    file = files.write(os.urandom(20 << 20))
    status = file.stat()
    changed = []
    real = Part.write

    def write(part, data):
        if not changed:
            changed.append(True)
            if change == "truncate":
                os.truncate(file, 100)
            else:
                with file.open("ab" if change == "append" else "r+b") as again:
                    again.write(b"changed")
            if change == "same size and time":
                os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        real(part, data)

    monkeypatch.setattr(Part, "write", write)
    assert files.send(file) == -1
    assert "while it was read" in caplog.text
    poll_until(lambda: files.there() == [], what="the part is removed")


def test_F1_a_reader_sees_one_content_or_the_other_while_the_link_is_cut_at_30_points(files, monkeypatch):
    contents = [os.urandom(3 << 20), os.urandom(3 << 20)]
    digests = {hashlib.sha256(content).digest() for content in contents}
    assert files.send(files.write(contents[0])) == 0
    stop, seen = threading.Event(), []

    def read():
        while not stop.is_set():
            seen.append(hashlib.sha256((files.dest / "f").read_bytes()).digest())

    reader = threading.Thread(target=read)
    reader.start()
    choose = random.Random(1)
    point = []
    write, finish = Part.write, Part.finish

    def reached(step):
        if point and point[0] == step:
            point.clear()
            files.pair.cut()
            poll_until(lambda: not files.other._receiver._transfers or files.pair.other.peer_infos() == [], seconds=1)

    def writing(part, data):
        part.chunks = getattr(part, "chunks", 0) + 1
        reached(part.chunks)
        write(part, data)

    def finishing(part, mtime_ns):
        reached("finish")
        finish(part, mtime_ns)

    monkeypatch.setattr(Part, "write", writing)
    monkeypatch.setattr(Part, "finish", finishing)
    try:
        for number in range(30):
            point[:] = [choose.choice([1, 2, 3, 4, 5, 6, "finish"])]
            result = files.send(files.write(contents[number % 2]), overwrite=True, timeout=5)
            assert result in (-1, 0, 1)
            poll_until(lambda: not files.other._receiver._transfers)
            assert files.there() == ["f"], "no rest"
    finally:
        stop.set()
        reader.join()
    assert set(seen) <= digests
    assert len(seen) > 10


def test_F1_F6_a_full_disk_gives_minus_1_and_leaves_what_was_there(runtime_pair, tmp_path, caplog):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "greencoro-test", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    one, other = Transfers(runtime_pair.one, tmp_path / "one"), Transfers(runtime_pair.other, disk, None, 1 << 40)
    try:
        file = tmp_path / "f"
        file.write_bytes(b"old")
        assert one.send_file(runtime_pair.other.location, file) == 0
        file.write_bytes(os.urandom(5 << 20))
        for full in range(0, 4 << 20, 400 << 10):
            # So much of it is taken by something else, and each time it is full at another point.
            (disk / "ballast").write_bytes(bytes(full))
            caplog.clear()
            assert one.send_file(runtime_pair.other.location, file, overwrite=True) == -1
            assert "No space left" in caplog.text
            assert (disk / "f").read_bytes() == b"old"
            poll_until(lambda: [p.name for p in disk.iterdir() if p.suffix not in (".lock", "")] == [])
            assert sorted(p.name for p in disk.iterdir() if not p.suffix) == ["ballast", "f"]
        (disk / "ballast").unlink()
        file.write_bytes(os.urandom(3 << 20))
        assert one.send_file(runtime_pair.other.location, file, overwrite=True) == 0
    finally:
        one.close()
        other.close()
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_caller_that_is_terminated_ends_its_transfer_on_both_sides(files, monkeypatch):
    gate, real = threading.Event(), Part.write

    def write(part, data):
        gate.wait(10)
        real(part, data)

    monkeypatch.setattr(Part, "write", write)
    coro = files.pair.one.spawn(files.send, files.write(bytes(20 << 20)))
    poll_until(lambda: files.there() != [])
    before = len(os.listdir("/proc/self/fd"))
    coro.terminate()
    gate.set()
    poll_until(lambda: files.there() == [] and not files.one._outgoing)
    poll_until(lambda: len(os.listdir("/proc/self/fd")) < before, what="both descriptors are closed")


def test_F9_a_receiver_that_hears_nothing_ends_the_transfer(files):
    before = len(os.listdir("/proc/self/fd"))
    files.request(OFFER, offer(1, "f", 10, timeout=0.3))
    assert len(files.there()) == 1
    poll_until(lambda: files.there() == [])
    # All but the lock of its directory, and the descriptor that lists them.
    poll_until(lambda: len(os.listdir("/proc/self/fd")) <= before + 1)


def test_F9_a_sender_that_hears_nothing_ends_the_transfer(files, monkeypatch, caplog):
    files.pair.other.handle(DATA, lambda request: None, on_reactor=True)
    before = len(os.listdir("/proc/self/fd"))
    assert files.send(files.write(b"x" * 10), timeout=0.3) == -1
    assert "for 0.3 s" in caplog.text, "whichever side says it first"
    poll_until(lambda: files.there() == [], what="the receiver was told")
    poll_until(lambda: len(os.listdir("/proc/self/fd")) <= before + 1)


def test_F9_a_comparison_that_takes_longer_than_the_timeout_is_progress(files, monkeypatch):
    file = files.write(os.urandom(12 << 20))
    assert files.send(file) == 0
    real = FileStore.digest
    monkeypatch.setattr(FileStore, "digest", lambda store, place, on_read: real(store, place, lambda: slow(on_read)))

    def slow(on_read):
        on_read()
        threading.Event().wait(0.1)

    assert files.send(file, timeout=0.5) == 1


@pytest.mark.parametrize("step", ["finish", "sync"])
def test_F9_a_disk_that_takes_longer_than_the_timeout_is_progress(files, monkeypatch, step):
    monkeypatch.setattr(file_store, "_SYNC_BYTES", 1)
    real, synced = getattr(Part, step), []

    def slowly(part, *args):
        if not synced:
            threading.Event().wait(1.2)
        synced.append(step)
        real(part, *args)

    monkeypatch.setattr(Part, step, slowly)
    assert files.send(files.write(os.urandom(100_000)), timeout=0.5) == 0
    assert synced


def test_F9_a_disk_that_hangs_ends_the_transfer_and_what_was_there_stays(files, monkeypatch, caplog):
    monkeypatch.setattr(transfer_incoming, "_PATIENCE", 2)
    files.dest.joinpath("f").write_bytes(b"old")
    gate, real = threading.Event(), Part.finish

    def finish(part, mtime_ns):
        gate.wait(20)
        real(part, mtime_ns)

    monkeypatch.setattr(Part, "finish", finish)
    assert files.send(files.write(b"new"), overwrite=True, timeout=0.3) == -1
    assert "no progress for 0.3 s" in caplog.text
    # Said in order: when this is answered the receiver knows that the sender gave up.
    files.request("greencoro.ping", {})
    gate.set()
    poll_until(lambda: files.there() == ["f"])
    assert files.dest.joinpath("f").read_bytes() == b"old"


def test_an_error_of_any_kind_at_the_receiver_is_told_to_the_sender_at_once(files, monkeypatch, caplog):
    def fail(store, *args, **kwargs):
        "\udc00".encode()

    monkeypatch.setattr(FileStore, "look", fail)
    monkeypatch.setattr(FileStore, "delete", fail)
    assert files.send(files.write(b"x"), timeout=100) == files.delete("f", timeout=100) == -1
    assert caplog.text.count("UnicodeEncodeError") >= 2
    poll_until(lambda: not files.other._receiver._transfers and not files.other._receiver._accounts._under_way)


def test_messages_go_on_while_the_disk_of_the_receiver_hangs(files, monkeypatch):
    gate, real = threading.Event(), Part.write

    def write(part, data):
        gate.wait(20)
        real(part, data)

    monkeypatch.setattr(Part, "write", write)
    coro = files.pair.one.spawn(files.send, files.write(bytes(8 << 20)))
    poll_until(lambda: files.there() != [])

    def echo(coro=None):
        there, value = coro.receive(10)
        there.send(value)

    def ask(there, coro=None):
        there.send((coro, 5))
        return coro.receive(10)

    assert files.pair.run(ask, files.pair.at_other(echo)) == 5
    assert files.request("greencoro.ping", {}).header == {}
    gate.set()
    assert coro.value(20) == 0


def test_transfers_that_are_closed_take_nothing_and_leave_nothing(files, tmp_path):
    files.request(OFFER, offer(1, "f", 10))
    assert len(files.there()) == 1
    files.other.close()
    assert list(files.dest.iterdir()) == []
    with pytest.raises(GreencoroError, match="the receiver finishes"):
        files.request(OFFER, offer(2, "f", 10))
    assert files.send(files.write(b"x")) == -1
    files.one.close()
    assert files.send(files.write(b"x")) == -1
    files.other.close()


def test_a_disk_that_hangs_holds_up_no_close_and_its_rest_is_found_at_the_next_start(files, monkeypatch):
    gate, hangs, real = threading.Event(), threading.Event(), Part.write

    def write(part, data):
        hangs.set()
        gate.wait(20)
        real(part, data)

    monkeypatch.setattr(Part, "write", write)
    coro = files.pair.one.spawn(files.send, files.write(b"x"))
    assert hangs.wait(10)
    files.other.close(0.1)
    assert [path.suffix for path in files.dest.iterdir()].count(".lock") == 1
    gate.set()
    assert coro.value(10) == -1
    poll_until(lambda: files.there() == [])
    files.other._store.close()


def test_a_transfer_under_way_is_given_up_when_its_sender_closes(files, monkeypatch):
    gate, real = threading.Event(), Part.write

    def write(part, data):
        gate.wait(10)
        real(part, data)

    monkeypatch.setattr(Part, "write", write)
    coro = files.pair.one.spawn(files.send, files.write(bytes(20 << 20)))
    poll_until(lambda: files.there() != [])
    files.one.close()
    assert coro.value(5) == -1
    gate.set()
    poll_until(lambda: files.there() == [])


def test_a_coroutine_that_waits_for_a_transfer_lets_others_run(files, monkeypatch):
    gate, real = threading.Event(), Part.write

    def write(part, data):
        gate.wait(20)
        real(part, data)

    monkeypatch.setattr(Part, "write", write)
    sender = files.pair.one.spawn(files.send, files.write(b"x"))
    assert files.pair.run(lambda: sleep(0.01) or "ran", timeout=10) == "ran"
    gate.set()
    assert sender.value(10) == 0
