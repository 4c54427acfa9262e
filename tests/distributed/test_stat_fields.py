import os

import pytest

from greencoro.distributed import stat_fields
from greencoro.errors import RemoteProtocolError


def test_a_stat_arrives_as_it_was(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    os.utime(tmp_path / "f", ns=(-5, 1_700_000_000_123_456_789))
    found = (tmp_path / "f").stat()
    arrived = stat_fields.unpack(stat_fields.pack(found))
    assert arrived == found
    for name in ("st_atime", "st_mtime", "st_ctime", "st_atime_ns", "st_mtime_ns", "st_ctime_ns", "st_size", "st_mode"):
        assert getattr(arrived, name) == getattr(found, name), name


@pytest.mark.parametrize("fields", [None, [], [1] * 9, [1] * 11, [1.0] * 10, ["1"] * 10, [2**64] * 10, {"st_mode": 1}])
def test_what_is_no_stat_is_refused(fields):
    with pytest.raises(RemoteProtocolError, match="ten whole numbers"):
        stat_fields.unpack(fields)
