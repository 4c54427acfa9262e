"""Directories that jobs have left are removed, whatever is in them."""

import os
import subprocess
import sys
import time

import pytest

from greencoro.compute import removal
from tests.support.polling import poll_until


def test_directories_that_nobody_may_enter_are_removed(tmp_path):
    # Root may enter everything, so as somebody else where the test is root.
    program = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from greencoro.compute import removal
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
top = Path("top")  # of the working directory, to which nobody needs a way
(top / "a" / "b").mkdir(parents=True)
(top / "a" / "b" / "file").write_text("x")
for path in (top / "a" / "b", top / "a", top):
    path.chmod(0)
assert removal.remove(top)
assert not top.exists()
"""
    tmp_path.chmod(0o777)
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)


def test_what_links_lead_to_stays_as_it_is(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    (outside / "kept").mkdir()
    inside = tmp_path / "inside"
    (inside / "shut").mkdir(parents=True)
    (inside / "shut" / "link").symlink_to(outside)
    (inside / "link").symlink_to(outside)
    removal._open_up(inside)
    assert removal.remove(inside)
    assert (outside / "kept").exists()
    assert outside.stat().st_mode & 0o777 == 0o500


@pytest.mark.parametrize(("user", "opened"), [(0, []), (1000, ["top"])])
def test_root_changes_no_modes_in_what_others_can_change_as_well(tmp_path, monkeypatch, user, opened):
    found = []
    (tmp_path / "top" / "within").mkdir(parents=True)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(removal.shutil, "rmtree", lambda *args, **kwargs: None)
    monkeypatch.setattr(removal, "_open_up", lambda directory: found.append(directory.name))
    assert not removal.remove(tmp_path / "top")
    assert found == opened


def test_name_is_free_at_once_and_the_rest_follows(tmp_path):
    directory = tmp_path / "server"
    directory.mkdir()
    for n in range(20_000):
        (directory / str(n)).touch()
    began = time.monotonic()
    removal.remove_later(directory)
    assert time.monotonic() - began < 0.5  # of 20,000 removals it waits for none
    assert not directory.exists()
    directory.mkdir()
    removal.wait()
    assert os.listdir(tmp_path) == ["server"]
    removal.remove_later(directory)
    poll_until(lambda: os.listdir(tmp_path) == [], 10)
    removal.remove_later(directory)  # there is nothing
    removal.wait()


def test_what_cannot_be_removed_is_named_once(tmp_path, monkeypatch, caplog):
    directory = tmp_path / "server"
    (directory / "within").mkdir(parents=True)

    def refuse(path, *args, **kwargs):
        raise PermissionError(1, "Operation not permitted", path)

    monkeypatch.setattr(os, "rmdir", refuse)
    assert not removal.remove(directory)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "cannot be removed: " in caplog.text
    assert "Operation not permitted" in caplog.text


@pytest.fixture(autouse=True)
def _over():
    yield
    removal.wait()
