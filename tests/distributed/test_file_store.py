import errno
import fcntl
import hashlib
import os
import stat
import threading

import pytest

from greencoro.distributed import file_store, owner_locks, user_directory
from greencoro.distributed.file_store import FileStore
from greencoro.distributed.transfer_words import Place
from greencoro.errors import ConfigError, TransferError
from tests.support.polling import poll_until

PLACE = Place(("a", "b"), "f")


@pytest.fixture
def store(tmp_path):
    made = FileStore(tmp_path / "dest")
    yield made
    made.close()


@pytest.fixture
def umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def ignored():
    """Nobody keeps accounts here."""


def put(store, content, place=PLACE, mode=0o666, mtime_ns=10**18 + 7, overwrite=False):
    part = store.new_part(mode)
    try:
        part.write(content)
        part.finish(mtime_ns)
        return store.save(part, place, overwrite, ignored)
    finally:
        part.discard()


def names(store):
    return sorted(str(path.relative_to(store.path)) for path in store.path.rglob("*") if "lock" not in path.name)


def test_F6_a_file_is_there_with_its_permissions_less_the_umask_and_its_time(store, umask):
    assert put(store, b"one", mode=0o664) == (None, True)
    found = store.look(PLACE)
    assert (found.st_size, found.st_mtime_ns, stat.S_IMODE(found.st_mode)) == (3, 10**18 + 7, 0o644)
    assert names(store) == ["a", "a/b", "a/b/f"]


@pytest.mark.parametrize(("mode", "kept"), [(0o4755, 0o755), (0o7777, 0o755), (0o000, 0o000), (0o400, 0o400)])
def test_F5_bits_beyond_the_permissions_are_never_taken_over(store, umask, mode, kept):
    put(store, b"x", mode=mode)
    assert stat.S_IMODE(store.look(PLACE).st_mode) == kept


def test_F1_a_file_has_its_name_only_when_it_is_whole_and_on_the_disk(store, monkeypatch):
    put(store, b"old")
    steps = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)

        def noted(*args, _name=name, _real=real, **kwargs):
            steps.append((_name, (store.path / "a/b/f").read_bytes()))
            return _real(*args, **kwargs)

        monkeypatch.setattr(os, name, noted)
    put(store, b"new", overwrite=True)
    assert steps == [("fsync", b"old"), ("replace", b"old"), ("fsync", b"new")]


def test_without_overwrite_a_file_that_came_meanwhile_stays(store):
    first, second = store.new_part(0o600), store.new_part(0o600)
    first.write(b"first")
    second.write(b"second")
    assert store.save(first, PLACE, False, ignored) == (None, True)
    before, saved = store.save(second, PLACE, False, ignored)
    assert (before.st_size, saved) == (5, False)
    for part in (first, second):
        part.discard()
    assert (store.path / "a/b/f").read_bytes() == b"first"
    assert names(store) == ["a", "a/b", "a/b/f"]


def test_F1_the_way_to_a_file_is_on_the_disk_before_it_is_said_to_be_saved(store, monkeypatch):
    synced = []
    real = os.fsync

    def note(descriptor):
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    put(store, b"x")
    assert synced[1:] == [str(store.path), str(store.path / "a"), str(store.path / "a/b")]


def as_a_file_system_without_links(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.parametrize("has_links", [True, False])
def test_F7_without_overwrite_a_file_of_another_process_that_comes_in_between_stays(store, monkeypatch, has_links):
    if not has_links:
        as_a_file_system_without_links(monkeypatch)
    there, real = store.path / "a/b/f", file_store._found

    def look(name, parent):
        found = real(name, parent)
        if found is None:
            there.write_bytes(b"theirs")
        return found

    monkeypatch.setattr(file_store, "_found", look)
    before, saved = put(store, b"mine")
    assert (before.st_size, saved) == (6, False)
    assert there.read_bytes() == b"theirs"
    assert names(store) == ["a", "a/b", "a/b/f"]


def test_F7_where_there_are_no_links_one_process_after_the_other_takes_a_name(store, monkeypatch):
    as_a_file_system_without_links(monkeypatch)
    assert put(store, b"1") == (None, True)
    directory = os.open(store.path / "a/b", os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)  # as another process would
    saver = threading.Thread(target=put, args=(store, b"2", PLACE._replace(file="g")))
    saver.start()
    poll_until(lambda: any(path.read_bytes() == b"2" for path in store.path.glob(".greencoro-*-*")))
    saver.join(0.1)
    assert not (store.path / "a/b/g").exists()
    os.close(directory)
    saver.join(10)
    assert (store.path / "a/b/g").read_bytes() == b"2"


def test_F7_a_file_that_goes_while_its_name_is_taken_makes_room_for_the_new_one(store, monkeypatch):
    put(store, b"old")
    there, real, looks = store.path / "a/b/f", file_store._found, []

    def look(name, parent):
        looks.append(name)
        if len(looks) == 1:
            return None  # it was not there yet
        if len(looks) == 2:
            there.unlink()
        return real(name, parent)

    monkeypatch.setattr(file_store, "_found", look)
    assert put(store, b"new") == (None, True)
    assert there.read_bytes() == b"new"


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EXDEV, errno.EACCES])
def test_other_errors_than_that_there_are_no_links_are_raised(store, monkeypatch, error):
    def refuse(*args, **kwargs):
        raise OSError(error, "no")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(OSError, match="no"):
        put(store, b"x")
    assert names(store) == ["a", "a/b"]


def test_accounts_hear_of_a_file_before_another_one_is_saved_or_removed(store):
    told = []

    def note(what):
        told.append((what, (store.path / "f").exists(), file_store._placing.locked()))

    place = Place((), "f")
    for overwrite in (False, True):
        part = store.new_part(0o600)
        part.finish(0)
        assert store.save(part, place, overwrite, lambda: note("placed"))[1]
        part.discard()
    store.delete(place, lambda: note("removed"))
    assert told == [("placed", True, True)] * 2 + [("removed", False, True)]


@pytest.mark.parametrize("kind", ["directory", "link", "pipe"])
def test_F3_what_is_no_regular_file_is_neither_replaced_nor_removed(store, tmp_path, kind):
    (tmp_path / "kept").write_text("kept")
    there = store.path / "f"
    {
        "directory": there.mkdir,
        "link": lambda: there.symlink_to(tmp_path / "kept"),
        "pipe": lambda: os.mkfifo(there),
    }[kind]()
    place = Place((), "f")
    with pytest.raises(TransferError, match="no regular file"):
        put(store, b"x", place, overwrite=True)
    with pytest.raises(TransferError, match="no regular file"):
        store.delete(place, ignored)
    assert stat.S_IFMT(there.lstat().st_mode) != stat.S_IFREG
    assert (tmp_path / "kept").read_text() == "kept"


def test_a_digest_is_that_of_the_file(store):
    content = os.urandom(3 << 20)
    put(store, content)
    reads = []
    assert store.digest(PLACE, lambda: reads.append(1)) == hashlib.sha256(content).hexdigest()
    assert len(reads) == 3


def test_F1_a_full_disk_leaves_the_old_file_and_no_rest(store, monkeypatch):
    put(store, b"old")

    def full(descriptor, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        put(store, b"new", overwrite=True)
    monkeypatch.undo()
    assert (store.path / "a/b/f").read_bytes() == b"old"
    assert names(store) == ["a", "a/b", "a/b/f"]


def test_a_write_that_takes_only_part_of_the_data_is_continued(store, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    put(store, b"0123456789")
    assert (store.path / "a/b/f").read_bytes() == b"0123456789"


def test_F7_what_a_dead_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    dead, living = FileStore(tmp_path), FileStore(tmp_path)
    dead.new_part(0o600).write(b"x")
    dead.new_part(0o000)
    mine = living.new_part(0o600)
    bystander = tmp_path / ".greencoro-without-lock-1"
    bystander.touch()
    assert len(list(tmp_path.iterdir())) == 6
    os.close(dead._lock)  # as the system does for a process that is gone
    FileStore(tmp_path).remove_abandoned()
    assert set(tmp_path.iterdir()) == {bystander, mine.path, tmp_path / f"{living._mark}.lock"}
    mine.discard()
    living.close()
    assert list(tmp_path.iterdir()) == [bystander]


def test_F7_the_lock_file_of_another_user_names_nothing_to_remove(tmp_path, monkeypatch):
    (tmp_path / ".greencoro-x.lock").touch()
    (tmp_path / ".greencoro-x-1").touch()
    user = os.geteuid()
    monkeypatch.setattr(owner_locks.os, "geteuid", lambda: user + 1)
    FileStore(tmp_path).remove_abandoned()
    assert len(list(tmp_path.iterdir())) == 2


def test_the_default_directory_is_the_users_alone_and_made_when_the_first_file_comes(tmp_path, monkeypatch):
    monkeypatch.setattr(user_directory, "default_path", lambda: tmp_path / "greencoro-1")
    store = FileStore(None)
    assert not store.path.exists()
    old = os.umask(0)
    try:
        put(store, b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE(store.path.stat().st_mode) == stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    store.close()
    (tmp_path / "greencoro-1").chmod(0o755)
    with pytest.raises(ConfigError, match="this user's alone"):
        FileStore(None).new_part(0o600)


def test_a_directory_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="dest_path"):
        FileStore(tmp_path / "file")
    with pytest.raises(ConfigError, match="dest_path"):
        FileStore(tmp_path / "file" / "below")
