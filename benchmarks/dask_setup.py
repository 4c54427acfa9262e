"""How Dask is started here: its LocalCluster of processes with a thread each, on loopback.

Dask is imported inside functions only, so that others can be measured where it is not installed.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

#: The distribution that must be installed.
PACKAGE = "distributed"

#: What all its rows have in common.
SETUP = "dask.distributed's LocalCluster, a process with one thread for each worker, on 127.0.0.1, not encrypted"

#: Its pages about itself: off where they can be; else on loopback, at a port that is free.
PARAMETERS = {
    "threads_per_worker": 1,
    "processes": True,
    "host": "127.0.0.1",
    "dashboard_address": "127.0.0.1:0",
    "worker_dashboard_address": "127.0.0.1:0",
}


@contextlib.contextmanager
def servers(count: int) -> Iterator[Any]:
    """Run so many workers within the ``with`` statement; gives a client of theirs when all are there."""
    distributed = importlib.import_module("distributed")
    with (
        distributed.LocalCluster(n_workers=count, **PARAMETERS) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(count)
        yield client
