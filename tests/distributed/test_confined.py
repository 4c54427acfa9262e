import os

import pytest

from greencoro.distributed import confined
from greencoro.distributed.plain_names import is_plain
from tests.support.descriptors import await_closed, opened


@pytest.fixture
def directory(tmp_path):
    inside = tmp_path / "dest"
    inside.mkdir()
    (tmp_path / "outside").mkdir()
    return inside


def test_a_plain_name_is_one_entry_of_a_directory():
    for name in ("a", "a b", "...", ".hidden", "x" * 255, "é" * 127, "-rf", "~", "$HOME", "a;b", "*"):
        assert is_plain(name), name
    for name in ("", ".", "..", "/", "a/b", "a\\b", "c:", "c:a", "\0", "x" * 256, "é" * 128, "\udc80", "x" * 10**8):
        assert not is_plain(name), name[:300]


def test_directories_on_the_way_are_made_only_where_asked_for(directory):
    with pytest.raises(FileNotFoundError), confined.opened(directory, ["a", "b"]):
        pass
    assert os.listdir(directory) == []
    with confined.opened(directory, ["a", "b"], make=True) as here:
        assert os.path.samestat(os.fstat(here), (directory / "a/b").stat())


@pytest.mark.parametrize("way", [["link"], ["a", "link"], ["a", "link", "b"], ["file"], ["file", "b"]])
def test_F3_no_link_and_no_file_is_followed(directory, way):
    (directory / "a").mkdir()
    for place in (directory, directory / "a"):
        (place / "link").symlink_to(directory.parent / "outside")
    (directory / "file").touch()
    before = opened()
    with pytest.raises(OSError) as refused, confined.opened(directory, way, make=True):
        pass
    assert confined.leads_elsewhere(refused.value)
    assert os.listdir(directory.parent / "outside") == []
    await_closed(before)


def test_F3_a_directory_that_is_replaced_by_a_link_in_between_is_not_left(directory):
    (directory / "a").mkdir()
    with confined.opened(directory, ["a"]) as here:
        (directory / "a").rename(directory / "moved")
        (directory / "a").symlink_to(directory.parent / "outside")
        os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    assert os.listdir(directory / "moved") == ["f"]
    assert os.listdir(directory.parent / "outside") == []


def test_the_directory_itself_may_be_reached_through_a_link(directory, tmp_path):
    (tmp_path / "way-in").symlink_to(directory)
    with confined.opened(tmp_path / "way-in", ["a"], make=True):
        assert os.listdir(directory) == ["a"]


@pytest.mark.parametrize("durable", [False, True])
def test_F1_names_of_new_directories_are_forced_to_the_disk_where_that_is_asked_for(tmp_path, monkeypatch, durable):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    for _ in range(2):
        with confined.opened(tmp_path, ("a", "b"), make=True, durable=durable):
            pass
    assert synced == ([str(tmp_path), str(tmp_path / "a")] if durable else []), "once, when they were made"
