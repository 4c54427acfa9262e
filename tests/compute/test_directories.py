import fcntl
import os
import stat

import pytest

from greencoro.compute import directories
from greencoro.compute.directories import DaemonDirectory
from greencoro.distributed import owner_locks
from greencoro.errors import ConfigError


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def default(tmp_path, monkeypatch):
    path = tmp_path / "default"
    monkeypatch.setattr(directories.user_directory, "default_path", lambda: path)
    return path


def test_directories_are_the_users_alone(default):
    old = os.umask(0)
    try:
        directory = DaemonDirectory(None)
    finally:
        os.umask(old)
    assert mode(default) == mode(directory.path) == 0o700
    directory.remove()
    assert not directory.path.exists()


def test_two_daemons_have_directories_of_their_own(tmp_path):
    first, second = DaemonDirectory(tmp_path), DaemonDirectory(tmp_path)
    assert first.path != second.path
    assert first.path.exists()
    first.remove()
    assert second.path.exists()
    second.remove()


def test_directory_of_a_dead_daemon_is_removed(tmp_path):
    abandoned = tmp_path / "node-abandoned"
    abandoned.mkdir()
    (abandoned / "server-1").mkdir()
    lock = tmp_path / ".node-abandoned.lock"
    lock.touch()
    bystander = tmp_path / "node-without-lock"
    bystander.mkdir()
    directory = DaemonDirectory(tmp_path)
    assert not abandoned.exists()
    assert not lock.exists()
    assert bystander.exists()
    directory.remove()
    assert list(tmp_path.iterdir()) == [bystander]


def test_directory_that_was_removed_in_part_is_removed_by_the_next_daemon(tmp_path, monkeypatch):
    directory = DaemonDirectory(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(directories.removal, "remove", lambda path: False)
        directory.remove()
    assert directory.path.exists()
    DaemonDirectory(tmp_path).remove()
    assert list(tmp_path.iterdir()) == []


def test_lock_file_that_another_daemon_took_for_an_abandoned_one_is_made_again(tmp_path, monkeypatch):
    taken = []
    flock = fcntl.flock

    def lock_too_late(descriptor, operation):
        if not taken:
            # Between the making of the file and its locking.
            [file] = tmp_path.glob(".node-*")
            taken.append(file.name)
            file.unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(owner_locks.fcntl, "flock", lock_too_late)
    directory = DaemonDirectory(tmp_path)
    assert len(taken) == 1
    [lock] = tmp_path.glob(".node-*")
    assert lock.name == f".{directory.path.name}.lock"
    directory.remove()


def test_directory_that_a_file_of_another_user_names_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / "node-mine").mkdir()
    (tmp_path / ".node-mine.lock").touch()
    user = os.geteuid()
    monkeypatch.setattr(owner_locks.os, "geteuid", lambda: user + 1)
    DaemonDirectory(tmp_path).remove()
    assert (tmp_path / "node-mine").exists()


def test_default_directory_that_others_can_enter_is_refused(default):
    default.mkdir(mode=0o755)
    default.chmod(0o755)
    with pytest.raises(ConfigError, match="this user's alone"):
        DaemonDirectory(None)


def test_default_directory_that_is_a_link_is_refused(default, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    default.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="this user's alone"):
        DaemonDirectory(None)


def test_path_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot make a directory"):
        DaemonDirectory(tmp_path / "file" / "below")


def test_S17_servers_of_another_user_can_pass_through_to_theirs_and_nobody_else_can_look(default):
    old = os.umask(0)
    try:
        directory = DaemonDirectory(None, for_user=True)
    finally:
        os.umask(old)
    parent = default.with_name("default-servers")
    assert (directory.path.parent, mode(parent), mode(directory.path)) == (parent, 0o711, 0o700)
    directory.remove()


def test_S17_parent_that_others_could_write_to_is_refused_for_another_users_servers_as_well(default):
    parent = default.with_name("default-servers")
    parent.mkdir()
    parent.chmod(0o733)
    with pytest.raises(ConfigError, match="not a directory of this user's alone"):
        DaemonDirectory(None, for_user=True)
