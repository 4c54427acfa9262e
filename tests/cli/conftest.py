"""What commands that are called in the process of the tests need, and leave behind."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.networks import Network
from tests.cli.node_daemons import Nodes
from tests.cluster.programs import Programs


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    # A command shows log lines at its standard error, which is the runner's for as long as the command runs.
    root = logging.getLogger("greencoro")
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Programs]:
    """Starts programs that have one secret, as has this process."""
    monkeypatch.setenv("GREENCORO_SECRET_FILE", str(tmp_path / "secret"))
    started = Programs(tmp_path)
    yield started
    started.end()


@pytest.fixture
def nodes(programs: Programs) -> Iterator[Nodes]:
    started = Nodes(programs)
    yield started
    started.end()


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    made = Network(tmp_path)
    yield made
    made.end()
