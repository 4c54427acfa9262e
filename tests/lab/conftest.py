"""Labs, where this machine can make them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import ssh as sshd
from tests.lab.netlab import Lab, why_not
from tests.lab.programs import Hosts
from tests.support.members import Members


@pytest.fixture(scope="session")
def _why_not() -> str | None:
    return why_not()


@pytest.fixture
def lab(_why_not: str | None) -> Iterator[Lab]:
    """Three hosts, h1 to h3."""
    if _why_not is not None:
        pytest.skip(_why_not)
    with Lab(3, seed=7) as made:
        yield made


@pytest.fixture
def members(lab: Lab, tmp_path: Path) -> Iterator[Members]:
    """Starts members in the lab's hosts."""
    made = Members(tmp_path, lab)
    yield made
    made.end()


@pytest.fixture
def hosts(lab: Lab, tmp_path: Path) -> Hosts:
    """Starts programs in the lab's hosts."""
    return Hosts(lab, tmp_path)


@pytest.fixture
def ssh(lab: Lab, tmp_path: Path) -> Iterator[sshd.Ssh]:
    with sshd.running(lab, tmp_path / "ssh") as made:
        yield made
