"""What commands that are called in the process of the tests need, and leave behind."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.networks import Network


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    # A command shows log lines at its standard error, which is the runner's for as long as the command runs.
    root = logging.getLogger("greencoro")
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    made = Network(tmp_path)
    yield made
    made.end()
