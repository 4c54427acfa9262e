"""Files over a network that alters what it carries or is cut while they are on their way: F1, F2, F9."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from tests.cluster.test_transfers import Reader, names
from tests.lab.netlab import Lab
from tests.support.members import MemberProcess, Members
from tests.support.polling import poll_until

pytestmark = [pytest.mark.cluster, pytest.mark.lab]

MIB = 1 << 20


def send(a: MemberProcess, b: MemberProcess, file: Path, timeout: float = 20.0) -> int:
    """The result of `send_file`."""
    who = f"a/{os.urandom(8).hex()}"
    a.call("send_file", who=who, location=b.location, file=str(file), timeout=timeout)
    return int(a.call("value", within=50, who=who, timeout=45))


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_F1_F2_where_an_attacker_alters_frames_0_means_the_same_content_and_the_name_never_holds_another(
    lab: Lab, members: Members, tmp_path: Path
) -> None:
    dest, source = tmp_path / "dest", tmp_path / "f"
    dest.mkdir()
    (dest / "f").write_bytes(os.urandom(4 * MIB))
    digests = [digest(dest / "f")]
    b = members.start("b", host="h2", parameters={"dest_path": str(dest)})
    a = members.start("a", host="h1")

    def send_another() -> int:
        before = digest(dest / "f")
        source.write_bytes(os.urandom(4 * MIB))
        digests.append(digest(source))
        result = send(a, b, source)
        assert result in (0, -1)
        # Where the answer is lost the file is saved all the same.
        assert digest(dest / "f") in ([digests[-1]] if result == 0 else [before, digests[-1]])
        return result

    with Reader(dest / "f") as reader:
        assert send_another() == 0
        results = []
        # A file is some 3 000 frames: the connection is made again in mid file, and again.
        for tamper, count in ((0.003, 3), (0.0002, 4)):
            for direction in ("out", "in"):
                lab.netem("h1", direction, tamper=tamper)
            results += [send_another() for _ in range(count)]
        lab.heal()
        poll_until(lambda: send_another() == 0, 30, "a file gets through a clean network")
    tampered = sum(lab.stats()[host]["tampered"] for host in ("h1", "h2"))
    print(f"{tampered} frames altered, results {results}, {len(reader.seen)} looks at the file")
    assert tampered and 0 in results
    assert set(reader.seen) <= set(digests)
    poll_until(lambda: names(dest) == ["f"], what="nothing is left of those that failed")
    members.check()
    assert "Traceback" not in a.errors() + b.errors()


@pytest.mark.parametrize(("tick", "timeout"), [(5.0, 1.5), (0.25, 30.0)], ids=["timeout", "loss of the peer"])
def test_F9_a_transfer_that_is_cut_ends_on_both_sides_gives_all_back_and_a_later_one_works(
    lab: Lab, members: Members, tmp_path: Path, tick: float, timeout: float
) -> None:
    dest = tmp_path / "dest"
    for name, size in (("small", 10), ("cut", 8 * MIB), ("later", 8 * MIB)):
        (tmp_path / name).write_bytes(os.urandom(size))
    # Two such files have no room: the later one has some where nothing is reserved for the one before it.
    limits = {"dest_path": str(dest), "max_dest_size": 12 * MIB}
    b = members.start("b", host="h2", parameters=limits, tick_seconds=tick)
    a = members.start("a", host="h1", tick_seconds=tick, connect_timeout_seconds=1.0)
    # Before anything is counted, for what is opened once only.
    assert send(a, b, tmp_path / "small") == 0
    before = descriptors(a), descriptors(b)
    lab.netem("h1", "out", rate=2e6)
    a.call("send_file", who="a/cut", location=b.location, file=str(tmp_path / "cut"), timeout=timeout)
    poll_until(lambda: any(path.stat().st_size > MIB for path in dest.iterdir()), what="some of it is there")
    lab.partition(["h1"], ["h2"])
    began = time.monotonic()
    assert a.call("value", within=50, who="a/cut", timeout=45) == -1
    took = time.monotonic() - began
    # While it is cut still: neither needs to hear that from the other.
    poll_until(lambda: names(dest) == ["small"], what="nothing is left of it")
    poll_until(lambda: descriptors(a) <= before[0] and descriptors(b) <= before[1], what="its descriptors are closed")
    print(f"ended after {took:.1f} s; {members.losses()}")
    assert took < min(timeout, 5 * tick) + 5
    assert bool(members.losses()) == (tick < timeout)
    lab.heal()
    assert send(a, b, tmp_path / "later", 30.0) == 0
    assert (dest / "later").read_bytes() == (tmp_path / "later").read_bytes()
    assert names(dest) == ["later", "small"]
    members.check()


def descriptors(member: MemberProcess) -> int:
    return len(os.listdir(f"/proc/{member.process.pid}/fd"))
