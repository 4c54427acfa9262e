import errno
import hashlib
import os
import stat

import pytest

from greencoro.distributed import owner_locks, user_directory
from greencoro.distributed.file_store import FileStore
from greencoro.distributed.transfer_words import Place
from greencoro.errors import ConfigError, TransferError

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


def put(store, content, place=PLACE, mode=0o666, mtime_ns=10**18 + 7, overwrite=False):
    part = store.new_part(mode)
    try:
        part.write(content)
        return store.save(part, place, mtime_ns, overwrite)
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
    assert store.save(first, PLACE, 0, False) == (None, True)
    before, saved = store.save(second, PLACE, 0, False)
    assert (before.st_size, saved) == (5, False)
    for part in (first, second):
        part.discard()
    assert (store.path / "a/b/f").read_bytes() == b"first"
    assert names(store) == ["a", "a/b", "a/b/f"]


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
        store.delete(place)
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
