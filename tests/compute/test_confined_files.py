import os
import stat

import pytest

from greencoro.compute import confined_files
from greencoro.errors import PackagingError


@pytest.fixture
def directory(tmp_path):
    inside = tmp_path / "work"
    inside.mkdir()
    (tmp_path / "work-evil").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").write_text("kept")
    return inside


def listing(path):
    return sorted(str(p.relative_to(path)) for p in path.rglob("*"))


def test_directories_are_made_and_a_file_is_replaced(directory):
    confined_files.write(directory, "a/b/c.txt", b"one")
    confined_files.write(directory, "a/b/c.txt", b"two")
    assert (directory / "a/b/c.txt").read_bytes() == b"two"
    assert listing(directory) == ["a", "a/b", "a/b/c.txt"]


def test_permissions_are_at_most_those_asked_for_and_the_umask(directory):
    before = os.umask(0o022)
    try:
        confined_files.write(directory, "run", b"", 0o4777)
    finally:
        os.umask(before)
    assert stat.S_IMODE((directory / "run").stat().st_mode) == 0o755


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/etc/x", "..", "../x", "../work-evil/x", "a/../../x", "a/./b", "a//b", "a/", ".", "a\0b"),
        *("..\\x", "c:x", "a\\b", "x" * 256, "\udc80", "a/" + "é" * 128),
    ],
)
def test_a_path_that_leads_elsewhere_is_refused_and_nothing_is_written(directory, path):
    before = listing(directory.parent)
    with pytest.raises(PackagingError, match="not a path inside"):
        confined_files.write(directory, path, b"x")
    assert listing(directory.parent) == before


@pytest.mark.parametrize("path", ["link/x", "link/kept", "deep/link/x"])
def test_a_link_on_the_way_is_not_followed(directory, path):
    (directory / "deep").mkdir()
    for place in (directory, directory / "deep"):
        (place / "link").symlink_to(directory.parent / "outside")
    with pytest.raises(PackagingError, match="leads through a link"):
        confined_files.write(directory, path, b"x")
    assert listing(directory.parent / "outside") == ["kept"]
    assert (directory.parent / "outside" / "kept").read_text() == "kept"


def test_a_link_in_the_place_of_the_file_is_replaced_not_followed(directory):
    (directory / "f").symlink_to(directory.parent / "outside" / "kept")
    confined_files.write(directory, "f", b"x")
    assert (directory.parent / "outside" / "kept").read_text() == "kept"
    assert (directory / "f").read_bytes() == b"x"


def test_what_cannot_be_written_says_why_and_leaves_no_rest(directory):
    (directory / "f").mkdir()
    with pytest.raises(PackagingError, match="cannot be written: Is a directory"):
        confined_files.write(directory, "f", b"x")
    assert listing(directory) == ["f"]
