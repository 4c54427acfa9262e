"""Files between two runtimes of one process, over every transport."""

import logging
import os
import stat
import threading
from pathlib import Path

import pytest

from greencoro.distributed.file_store import FileStore, Part
from greencoro.distributed.transfer import Transfers
from greencoro.distributed.transfer_outgoing import Outgoing
from greencoro.errors import ConfigError
from greencoro.hub import native
from greencoro.hub.coroutine import Coro
from tests.distributed.file_pairs import files_fixture, make_files_fixture, offer  # noqa: F401  (fixtures)
from tests.support.polling import poll_until


def warnings_of_the_sender(caplog):
    """What was said of calls here; the receiver's words come by another thread, any time."""
    return [record.getMessage() for record in caplog.records if record.name == "greencoro.distributed.transfer"]


@pytest.fixture
def umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 3 * 1024 * 1024 + 17])
def test_a_file_arrives_from_a_coroutine_and_from_a_thread(files, size):
    content = os.urandom(size)
    file = files.write(content)
    assert files.send(file) == 0
    assert files.pair.run(files.send, file, "deep/down", timeout=20) == 0
    assert (files.dest / "f").read_bytes() == (files.dest / "deep/down/f").read_bytes() == content
    assert (files.dest / "f").stat().st_mtime_ns == file.stat().st_mtime_ns
    assert files.there() == ["deep", "deep/down", "deep/down/f", "f"]


def test_F6_the_results_are_as_documented(files, umask, caplog):
    file = files.write(b"first", mode=0o664)
    assert [files.send(file), files.send(file)] == [0, 1], "twice in a row, mode 0664 and umask 022"
    assert stat.S_IMODE((files.dest / "f").stat().st_mode) == 0o644
    os.utime(file, ns=(0, 12345))
    other = files.send(file)
    assert isinstance(other, os.stat_result)
    kept = (files.dest / "f").stat()
    assert (other, other.st_mtime_ns, other.st_mtime) == (kept, kept.st_mtime_ns, kept.st_mtime)
    assert [files.send(file, overwrite=True), files.send(file, overwrite=True)] == [0, 1]
    assert not warnings_of_the_sender(caplog)
    assert files.send(files.source / "missing") == -1
    [warning] = warnings_of_the_sender(caplog)
    assert "No such file" in warning


def test_F6_a_file_that_only_looks_the_same_is_another_one(files):
    file = files.write(b"aaaa")
    assert files.send(file) == 0
    status = file.stat()
    file.write_bytes(b"bbbb")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert files.send(file).st_size == 4
    assert (files.dest / "f").read_bytes() == b"aaaa"
    assert files.send(file, overwrite=True) == 0
    assert (files.dest / "f").read_bytes() == b"bbbb"


def test_F6_other_permissions_make_another_file(files):
    file = files.write(b"x", mode=0o600)
    assert files.send(file) == 0
    file.chmod(0o644)
    assert isinstance(files.send(file), os.stat_result)
    assert files.send(file, overwrite=True) == 0


def test_F5_a_set_uid_bit_is_not_taken_over(files, umask):
    file = files.write(b"x", mode=0o4755)
    assert file.stat().st_mode & stat.S_ISUID
    assert files.send(file) == 0
    assert stat.S_IMODE((files.dest / "f").stat().st_mode) == 0o755
    assert files.send(file) == 1


@pytest.mark.parametrize(("mode", "kept"), [(0o2755, 0o755), (0o1777, 0o755), (0o7600, 0o600), (0o666, 0o644)])
def test_F5_permissions_are_at_most_0o777_less_the_umask(files, umask, mode, kept):
    assert files.send(files.write(b"x", mode=mode)) == 0
    assert stat.S_IMODE((files.dest / "f").stat().st_mode) == kept


def test_F5_the_owner_is_not_taken_over(files):
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    file = files.write(b"x")
    os.chown(file, 1234, 5678)
    assert files.send(file) == 0
    there = (files.dest / "f").stat()
    assert (there.st_uid, there.st_gid) == (os.geteuid(), os.getegid())
    assert files.send(file) == 1


@pytest.mark.parametrize("kind", ["pipe", "directory", "device"])
def test_special_files_are_not_sent_and_the_log_says_why(files, caplog, monkeypatch, kind):
    path = files.source / "special"
    {"pipe": lambda: os.mkfifo(path), "directory": path.mkdir, "device": lambda: path.symlink_to("/dev/null")}[kind]()
    opened = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *args, **kwargs: (opened.append(path), real(path, *args, **kwargs))[1])
    assert files.send(path) == -1
    [warning] = warnings_of_the_sender(caplog)
    assert f"it is a {kind}, and only regular files are sent" in warning
    assert str(path) not in opened, "to open some devices is to use them"


def test_a_name_and_a_directory_of_the_user_that_cannot_be_give_minus_1(files, caplog):
    file = files.write(b"x")
    for dir in ("/abs", "..", "a/../b", "a\\b", "x" * 256):
        assert files.send(file, dir) == -1
        assert files.delete(file, dir) == -1
    assert files.send("") == files.send("..") == files.delete("") == -1
    assert len(warnings_of_the_sender(caplog)) == 13
    assert files.there() == []
    for dir in ("./a//b/", Path("a/b"), "a/b"):
        assert files.send(file, dir, overwrite=True) in (0, 1)
    assert files.there() == ["a", "a/b", "a/b/f"]


def test_arguments_that_cannot_be_meant_are_refused_at_the_call(files, tmp_path):
    file = files.write(b"x")
    for bad in ({"timeout": "1"}, {"progress": 3}, {"dir": 5}):
        with pytest.raises(TypeError):
            files.send(file, **bad)
    for call, name in ((files.one.send_file, r"send_file\(\)"), (files.one.del_file, r"del_file\(\)")):
        with pytest.raises(TypeError, match=f"{name} takes the path of a file, not 7"):
            call(files.pair.other.location, 7)
        with pytest.raises(TypeError, match=f"{name} takes a Location.* not 5"):
            call(5, file)
    with pytest.raises(ValueError):
        files.delete(file, timeout=float("nan"))
    for limits in ({"max_file_size": -1}, {"max_file_size": 1.5}, {"max_dest_size": "1"}, {"max_dest_size": True}):
        with pytest.raises(ConfigError):
            Transfers(files.pair.one, tmp_path / "x", **limits)


@pytest.mark.parametrize("path", ["/tmp/\ud800/f", "/tmp/a\0b/f", b"/tmp/\xff/f", "/tmp/f\udcff", "\ud800"])
def test_a_path_that_names_no_file_gives_minus_1(files, caplog, path):
    assert files.send(path) == -1
    assert len(warnings_of_the_sender(caplog)) == 1
    assert not files.one._outgoing


def test_a_source_below_a_directory_whose_name_is_no_text_is_sent(files):
    below = os.path.join(os.fsencode(files.source), b"\xff")
    os.mkdir(below)
    with open(os.path.join(below, b"f"), "wb") as file:
        file.write(b"x")
    assert files.send(os.path.join(below, b"f")) == 0
    assert files.there() == ["f"]


def test_where_no_thread_can_be_had_the_log_says_so_and_nothing_is_left(files, monkeypatch, caplog):
    def no_thread(thread):
        raise RuntimeError("can't start new thread")

    file = files.write(b"x")
    monkeypatch.setattr(native.Thread, "start", no_thread)
    for _ in range(10):
        assert files.send(file) == -1
    assert "can't start new thread" in warnings_of_the_sender(caplog)[0]
    assert not files.one._outgoing
    monkeypatch.undo()
    assert files.send(file) == 0, "no turn was lost"


def test_a_peer_that_is_not_there_gives_minus_1(files, caplog):
    file = files.write(b"x")
    assert files.one.send_file(files.pair.one.location, file) == -1
    assert files.one.del_file("127.0.0.1:1", file) == -1
    assert len(warnings_of_the_sender(caplog)) == 2


def test_files_are_removed_and_directories_stay(files):
    file = files.write(b"x")
    assert files.send(file, "a/b") == files.send(file) == 0
    assert files.delete("/elsewhere/f", "a/b") == files.pair.run(files.delete, "f") == 0
    assert files.delete("f") == files.delete("b", "a") == files.delete("a") == files.delete("f", "nowhere") == -1
    assert files.there() == ["a", "a/b"]


def test_directories_that_were_made_for_files_go_with_the_last_one_where_that_is_asked_for(files):
    file = files.write(b"x")
    (files.dest / "own").mkdir()
    for dir in ("a/b/c", "a/d", "own/e"):
        assert files.send(file, dir) == 0
    assert files.delete(file, "a/b/c", prune=True) == 0
    assert files.there() == ["a", "a/d", "a/d/f", "own", "own/e", "own/e/f"]
    assert files.delete(file, "a/d", prune=True) == files.delete(file, "own/e", prune=True) == 0
    # What this runtime did not make stays, the directory of all files before all.
    assert files.there() == ["own"]
    assert files.send(file) == files.delete(file, prune=True) == 0
    assert files.dest.is_dir()
    # And what was there and empty is filled again.
    assert files.send(file, "a/b") == 0 and files.there() == ["a", "a/b", "a/b/f", "own"]


def test_another_directory_takes_what_comes_from_then_on(files, tmp_path):
    file = files.write(b"x")
    assert files.send(file) == 0
    files.other.dest_path = tmp_path / "new" / "deeper"
    assert files.other.dest_path == tmp_path / "new" / "deeper"
    assert files.send(file, "a") == 0
    assert files.there() == ["f"] and (tmp_path / "new" / "deeper" / "a" / "f").read_bytes() == b"x"
    assert files.delete(file, "a") == 0 and files.delete(file) == -1
    file.chmod(0o600)
    with pytest.raises(ConfigError):
        files.other.dest_path = file


def test_F7_of_two_transfers_to_one_name_at_once_one_wins_whole(files):
    contents = [os.urandom(700_000), os.urandom(500_000)]
    sources = []
    for number, content in enumerate(contents):
        (files.source / str(number)).mkdir()
        sources.append(files.write(content, f"{number}/f"))
    for round in range(100):
        overwrite = round % 2 == 0
        (files.dest / "f").unlink(missing_ok=True)
        coros = [files.pair.one.spawn(files.send, source, overwrite=overwrite) for source in sources]
        results = [coro.value(20) for coro in coros]
        if overwrite:
            assert results == [0, 0]
        else:
            assert sorted(map(type, results), key=str) == [int, os.stat_result]
        assert (files.dest / "f").read_bytes() in contents
    assert files.there() == ["f"]


def test_F6_F7_of_two_senders_of_the_same_file_at_once_one_saves_it_and_the_other_finds_it_there(files):
    file = files.write(os.urandom(300_000))
    for _ in range(20):
        (files.dest / "f").unlink(missing_ok=True)
        coros = [files.pair.one.spawn(files.send, file) for _ in range(2)]
        assert sorted(coro.value(20) for coro in coros) == [0, 1]
    assert files.there() == ["f"]


def test_many_transfers_and_removals_at_once_wait_for_their_turn(files):
    sources = [files.write(os.urandom(100_000), f"f{number}") for number in range(40)]
    coros = [files.pair.one.spawn(files.send, source) for source in sources]
    assert [coro.value(30) for coro in coros] == [0] * 40
    assert files.there() == sorted(source.name for source in sources)
    coros = [files.pair.one.spawn(files.delete, source) for source in sources]
    assert [coro.value(30) for coro in coros] == [0] * 40


def test_progress_is_told_in_the_callers_place_at_a_bounded_rate(files, monkeypatch):
    monkeypatch.setattr(FileStore, "free_bytes", lambda store: 1 << 40)
    real = Part.write

    def slowly(part, data):
        real(part, data)
        threading.Event().wait(0.02)

    monkeypatch.setattr(Part, "write", slowly)
    size = 16 << 20
    file = files.write(bytes(size))
    told = []

    def note(done, total):
        told.append((done, total, Coro.current()))

    def caller():
        return files.send(file, progress=note), Coro.current()

    result, coro = files.pair.run(caller)
    assert result == 0
    assert [done for done, _, _ in told] == sorted({done for done, _, _ in told})
    assert told[-1] == (size, size, coro)
    assert {(total, where) for _, total, where in told} == {(size, coro)}
    assert 2 < len(told) < 30, "32 chunks in 0.7 s or longer, ten times a second"


def test_progress_of_an_empty_file_is_told_once(files):
    told = []
    assert files.send(files.write(b""), progress=lambda *numbers: told.append(numbers)) == 0
    assert told == [(0, 0)]


def test_progress_is_told_when_the_size_is_known_and_not_before(files, monkeypatch):
    gate, real, told = threading.Event(), Outgoing._open, []

    def late(outgoing):
        gate.wait(0.5)
        return real(outgoing)

    monkeypatch.setattr(Outgoing, "_open", late)
    assert files.send(files.write(b"12345"), progress=lambda *numbers: told.append(numbers)) == 0
    assert told[-1] == (5, 5)
    assert {total for _, total in told} == {5}


def test_progress_that_fails_ends_the_transfer_and_its_error_is_raised(files, monkeypatch):
    gate = threading.Event()
    real = Part.write

    def write(part, data):
        gate.wait(10)
        real(part, data)

    monkeypatch.setattr(Part, "write", write)

    def fail(done, total):
        gate.set()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        files.send(files.write(bytes(30 << 20)), progress=fail)
    poll_until(lambda: files.there() == [])


def test_a_bar_is_drawn_on_standard_error(files, capsys):
    assert files.send(files.write(bytes(1000), "some [bold] name"), progress=True) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "some [bold] name" in captured.err
    assert "1.0/1.0 kB" in captured.err


def test_of_a_file_that_is_there_already_no_bar_is_left(files, capsys, monkeypatch):
    monkeypatch.setattr("greencoro.distributed.transfer._PROGRESS_SECONDS", 0.001)
    file = files.write(bytes(20 << 20))
    assert files.send(file) == 0
    capsys.readouterr()
    assert files.send(file, progress=True) == 1
    assert capsys.readouterr().err == ""


def test_a_transfer_that_fails_is_told_once_to_those_who_set_up_no_logging(files, capsys, monkeypatch):
    monkeypatch.setattr("greencoro.distributed.transfer._log", logging.Logger("greencoro.nobody"))
    missing = files.source / "missing"
    assert files.send(missing) == -1
    assert files.send(files.write(b"x"), "../up") == -1
    assert files.delete("nothing") == -1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    to = files.pair.other.location
    assert lines[0] == f"greencoro: send_file({str(missing)!r}) to {to} failed: No such file or directory"
