"""Two runtimes in one process, over every transport; and a check that no coroutine is left."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from greencoro.config import Settings
from greencoro.distributed.memory import MemoryNetwork
from greencoro.distributed.refs import Reference
from greencoro.distributed.runtime import Runtime
from greencoro.hub import exit as process_exit
from tests.distributed.certificates import Made
from tests.support.polling import poll_until

SECRET_KEY = b"k" * 32


class World:
    """Makes runtimes that can reach each other, and finishes them.

    Args:
        network: What they are joined by; None: TCP.

        common: Arguments of `Runtime` for all of them.
    """

    def __init__(self, network: MemoryNetwork | None, common: dict[str, Any] | None = None) -> None:
        self.network = network
        self._common = common or {}
        self.made: list[Runtime] = []

    def runtime(
        self, *, secret_key: bytes | None = SECRET_KEY, tcp_port: int = 0, redials: bool = False, **kwargs: Any
    ) -> Runtime:
        names = {"name", "peers", "secret", "discover_peers", "udp_port", "ext_ip_addr", "node", "role"}
        names |= {"closed", "listen_on", "accepting", "dest_path", "serializer", "announce"}
        settings = Settings(**{k: v for k, v in kwargs.items() if k not in names})
        # Runtimes of one test find each other only where that is what it is about.
        place = {} if "listen_on" in kwargs else {"node": "127.0.0.1"}
        arguments = place | {"discover_peers": False} | {k: v for k, v in kwargs.items() if k in names}
        if "secret" in arguments:
            secret_key = None
        arguments = {"network": self.network} | self._common | arguments
        runtime = Runtime(tcp_port=tcp_port, settings=settings, secret_key=secret_key, **arguments)
        if not redials:
            # What is cut in a test stays so.
            runtime.reactor.post(runtime.peer_table.redials.close)
        self.made.append(runtime)
        return runtime

    def finish(self) -> None:
        for runtime in self.made:
            runtime.finish(1.0)


@dataclass
class Pair:
    """Two runtimes that are peers."""

    one: Runtime
    other: Runtime
    world: World

    def at_other(self, function: Callable[..., Any], *args: Any) -> Any:
        """A reference, as `one` sees it, to a new coroutine at home in `other`."""
        coro = self.other.spawn(function, *args)
        return reference(self.one, coro)

    def run(self, function: Callable[..., Any], *args: Any, timeout: float = 30) -> Any:
        """The result of a coroutine at home in `one`."""
        return self.one.spawn(function, *args).value(timeout)

    def cut(self) -> None:
        """Break the connection."""
        if self.world.network is not None:
            self.world.network.cut(self.one.location, self.other.location)
            self.world.network.heal(self.one.location, self.other.location)
            return
        for link in self.one.peer_table.online():
            if link.wire is not None:
                self.one.reactor.post(link.wire.on_end, ConnectionResetError(104, "Connection reset by peer"))


def reference(to: Runtime, coro: Any) -> Any:
    """What a reference to a coroutine becomes when it arrives at the runtime `to`."""
    home = coro._home
    return to.resolve(Reference(home.location, home.incarnation, coro.id, coro.name))


@pytest.fixture(scope="session")
def _certificate(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(params=["memory", "tcp", "tls"])
def world(request: pytest.FixtureRequest, _certificate: Made) -> Iterator[World]:
    """Each promise is written once and holds over every transport."""
    if request.param == "tls":
        from tests.distributed.tls_runtimes import TlsNetwork  # it needs this module

        made = World(None, {"network": TlsNetwork(_certificate.certfile, _certificate.keyfile)})
    else:
        made = World(MemoryNetwork() if request.param == "memory" else None)
    yield made
    made.finish()


@pytest.fixture
def tcp_world() -> Iterator[World]:
    made = World(None)
    yield made
    made.finish()


@pytest.fixture
def runtime_pair(world: World) -> Pair:
    one, other = world.runtime(), world.runtime()
    assert one.peer(other.location, timeout=10) == 0
    poll_until(lambda: one.location in other.peers(), what="the other side knows as well")
    return Pair(one, other, world)


@pytest.fixture(autouse=True)
def _leaves_no_coroutine() -> Iterator[None]:
    before = set(process_exit.alive)
    yield

    def left() -> list[Any]:
        return [coro for coro_id, coro in list(process_exit.alive.items()) if coro_id not in before]

    with contextlib.suppress(AssertionError):
        poll_until(lambda: not left(), seconds=15)
    names = [repr(coro) for coro in left()]
    for coro in left():
        coro.terminate()
    assert not names, f"the test left coroutines behind: {names}"
