"""How Ray is started here: alone in a network with nothing but loopback, since it listens on all addresses.

Ray is imported inside functions only, so that others can be measured where it is not installed.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import tempfile
from collections.abc import Iterator
from typing import Any

from benchmarks import loopback

#: The distribution that must be installed.
PACKAGE = "ray"

#: What all its rows have in common.
SETUP = "ray.init on 127.0.0.1, no dashboard, in a network namespace of its own, not encrypted, no token"

#: It tells nobody that it is used, writes no token into the home directory, and does not ask for one.
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}

PARAMETERS = {
    "address": "local",
    "include_dashboard": False,
    "log_to_driver": False,
    "_node_ip_address": "127.0.0.1",
    # Its files are in a directory of their own name otherwise, whatever the directory for temporary files.
    "_temp_dir": tempfile.gettempdir(),
}


def prepare() -> None:
    """What comes first in a process in which Ray, or a program with Ray, is started."""
    loopback.enter()
    os.environ.update(ENVIRONMENT)


@contextlib.contextmanager
def servers(count: int) -> Iterator[Any]:
    """Run so many workers within the ``with`` statement; gives the module `ray`."""
    prepare()
    ray = importlib.import_module("ray")
    ray.init(num_cpus=count, **PARAMETERS)
    try:
        yield ray
    finally:
        ray.shutdown()
