from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import machine


def test_it_names_the_processor_the_python_and_the_versions():
    here = machine.describe(["psutil", "no-such-distribution"])
    assert here.cpus >= 1
    assert here.python.startswith("CPython 3.")
    assert here.packages["psutil"]
    assert here.packages["no-such-distribution"] is None


def test_the_release_of_erlang_is_read_where_its_programs_are(monkeypatch, tmp_path):
    program = tmp_path / "lib" / "bin" / "erl"
    program.parent.mkdir(parents=True)
    (tmp_path / "lib" / "releases").mkdir()
    program.touch()
    (tmp_path / "erl").symlink_to(program)
    monkeypatch.setattr(machine.shutil, "which", lambda name: str(tmp_path / name))
    assert machine.describe([]).packages["Erlang/OTP"] == "of an unknown release"
    (tmp_path / "lib" / "releases" / "start_erl.data").write_text("13.1.5 25\n")
    assert machine.describe([]).packages["Erlang/OTP"] == "25"


def test_erlang_that_is_not_installed_has_no_release(monkeypatch):
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    assert machine.describe([]).packages["Erlang/OTP"] is None


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/tmp/some/file", ("tmpfs", "tmpfs")),
        ("/home", ("/dev/sdb", "xfs")),
        ("/tmp-not", ("/dev/sda", "ext4")),
    ],
)
def test_a_path_is_on_the_file_system_that_is_mounted_nearest_above_it(monkeypatch, path, found):
    mounted = [
        ("/dev/sda", "/", "ext4"),
        ("/dev/sda1", "/home", "ext4"),
        ("/dev/sdb", "/home", "xfs"),  # over the one before
        ("tmpfs", "/tmp", "tmpfs"),
    ]
    partitions = [
        SimpleNamespace(device=device, mountpoint=mountpoint, fstype=fstype) for device, mountpoint, fstype in mounted
    ]
    monkeypatch.setattr(machine.psutil, "disk_partitions", lambda all: partitions)
    assert machine.file_system(Path(path)) == found


def test_the_file_system_of_temporary_files_is_named(monkeypatch):
    monkeypatch.setattr(machine, "file_system", lambda path: ("/dev/sda", "ext4"))
    assert machine.describe([]).disk == "/dev/sda (ext4)"


def test_a_processor_without_a_name_is_called_by_its_architecture():
    assert machine._cpu("processor : 0\nmodel name\t: Fast One\n") == "Fast One"
    assert machine._cpu("processor : 0\nCPU part : 0xd0c\n").startswith("unnamed ")
