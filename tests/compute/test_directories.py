import os
import stat

import pytest

from greencoro.compute import directories
from greencoro.compute.directories import DaemonDirectory
from greencoro.errors import ConfigError


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def default(tmp_path, monkeypatch):
    path = tmp_path / "default"
    monkeypatch.setattr(directories, "default_path", lambda: path)
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
    (abandoned / ".lock").touch()
    (abandoned / "server-1").mkdir()
    bystander = tmp_path / "node-without-lock"
    bystander.mkdir()
    directory = DaemonDirectory(tmp_path)
    assert not abandoned.exists()
    assert bystander.exists()
    directory.remove()


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
