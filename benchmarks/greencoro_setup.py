"""How greencoro is started here: on loopback, with no discovery, all else by default.

greencoro is imported inside functions only, so that other sides do not carry it.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import side

#: The row of a question that is greencoro inside TLS.
TLS = "greencoro TLS"

#: How that row differs from the one of greencoro alone.
TLS_SETUP = "the same inside TLS, with certificates on both sides; TLS encrypts then, and nothing else"


def _certificate_directory() -> Path:
    # That of the side, which its partner inherits.
    return Path(tempfile.gettempdir()) / "certificate"


def make_certificate() -> None:
    """Make the certificate that this process and its partner have with TLS, as a user would."""
    command = [sys.executable, "-m", "greencoro", "cert", "make", str(_certificate_directory())]
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)


def runtime(tls: bool = False, **parameters: Any) -> Any:
    """A runtime on a free port of loopback.

    Args:
        tls: With the certificate of `make_certificate`.
    """
    from greencoro.distributed.runtime import Runtime

    if tls:
        parameters["certfile"] = _certificate_directory() / "greencoro.keycert"
    return Runtime(node="127.0.0.1", discover_peers=False, **parameters)


def serve(name: str, target: Callable[..., Any], tls: bool = False) -> None:
    """Be a partner: run the coroutine ``target``, to be located by ``name``."""
    from greencoro.hub.coroutine import Coro

    here = runtime(tls)
    Coro(target).register(name)
    side.announce(str(here.location))
    side.wait_to_be_killed()


@contextlib.contextmanager
def partner(question: str, name: str, tls: bool = False) -> Iterator[tuple[Any, str]]:
    """Run a side's partner within the ``with`` statement; gives a runtime that is connected to it, and where it is.

    Args:
        name: Of the side that has the partner.
    """
    if tls:
        make_certificate()
    with side.partner(question, name) as location, runtime(tls) as here:
        here.connect(location)
        yield here, location


@contextlib.contextmanager
def servers(count: int, components: Sequence[Any] = ()) -> Iterator[Any]:
    """Run so many servers of a node within the ``with`` statement; gives a computation when all are there."""
    from greencoro.compute.cluster import LocalCluster
    from greencoro.compute.computation import Computation

    with LocalCluster(servers=count) as cluster, Computation(components) as computation:
        cluster.wait_for_servers(count)
        computation.wait_for_servers(count)
        yield computation
