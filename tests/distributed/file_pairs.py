"""Two peers of which one sends files to the other."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from greencoro.distributed.transfer import Transfers
from tests.distributed.conftest import Pair


@dataclass
class Files:
    """Two peers, of whom `one` sends files from `source` to `other`, which saves them below `dest`."""

    pair: Pair
    one: Transfers
    other: Transfers
    source: Path
    dest: Path

    def send(self, *args, **kwargs):
        return self.one.send_file(self.pair.other.location, *args, **kwargs)

    def delete(self, *args, **kwargs):
        return self.one.del_file(self.pair.other.location, *args, **kwargs)

    def write(self, content, name="f", mode=0o644):
        file = self.source / name
        file.write_bytes(content)
        file.chmod(mode)
        return file

    def there(self):
        """All that is below the other's directory, but for its lock."""
        return sorted(str(p.relative_to(self.dest)) for p in self.dest.rglob("*") if p.suffix != ".lock")

    def request(self, operation, header, parts=(), timeout=10.0):
        """As a client made by hand would ask."""
        return self.pair.one.request(self.pair.other.location, operation, header, parts, timeout)


def offer(number, name, size, **others):
    return {
        "transfer": number,
        "directory": [],
        "file": name,
        "size": size,
        "mtime_ns": 0,
        "mode": 0o644,
        "overwrite": True,
        "timeout": 5.0,
    } | others


@pytest.fixture(name="make_files")
def make_files_fixture(runtime_pair, tmp_path):
    made = []

    def make(**limits):
        (tmp_path / "source").mkdir()
        made.append(Transfers(runtime_pair.one, tmp_path / "dest-of-one"))
        made.append(Transfers(runtime_pair.other, tmp_path / "dest", **limits))
        return Files(runtime_pair, *made, tmp_path / "source", tmp_path / "dest")

    yield make
    for transfers in made:
        transfers.close()


@pytest.fixture(name="files")
def files_fixture(make_files):
    return make_files()
