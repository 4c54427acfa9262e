"""Clusters of real processes, none of which outlives its test."""

import contextlib
import os
from collections.abc import Iterator

import pytest

from greencoro import Computation, LocalCluster
from tests.cluster.programs import Programs
from tests.support.hygiene import Snapshot, leftovers, snapshot
from tests.support.polling import poll_until


@pytest.fixture(scope="session", autouse=True)
def _secret_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's own secret and settings are none of a test's business."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("GREENCORO_"):
                patch.delenv(name)
        patch.setenv("GREENCORO_SECRET_FILE", str(tmp_path_factory.mktemp("secret") / "secret"))
        yield


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    before = snapshot()
    with LocalCluster(servers=2) as cluster:
        yield cluster
    _assert_nothing_left(before)


@pytest.fixture(autouse=True)
def _leaves_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """In place of the one for all tests: a cluster that several tests share starts fresh servers for each of them."""
    if "cluster" in request.fixturenames:
        yield
        return
    before = snapshot()
    yield
    _assert_nothing_left(before)


def _assert_nothing_left(before: Snapshot) -> None:
    # What a test stopped may take a moment to be gone.
    with contextlib.suppress(AssertionError):
        poll_until(lambda: not leftovers(before), 10)
    assert leftovers(before) == []


@pytest.fixture
def computation(cluster: LocalCluster) -> Iterator[Computation]:
    with Computation() as computation:
        cluster.wait_for_servers(2)
        yield computation


@pytest.fixture
def programs(tmp_path) -> Iterator[Programs]:
    started = Programs(tmp_path)
    yield started
    started.end()
