"""A cluster without other processes, for tests of what is above it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from greencoro import LocalCluster


@contextmanager
def inline_cluster(directory) -> Iterator[LocalCluster]:
    """The user's own secret and settings are none of a test's business."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("GREENCORO_"):
                patch.delenv(name)
        patch.setenv("GREENCORO_SECRET_FILE", str(directory / "secret"))
        with LocalCluster(inline=True) as cluster:
            yield cluster
