"""How rpyc is started here: a server with a thread for each connection, on loopback, set up to its advantage.

rpyc is imported inside functions only, so that others can be measured where it is not installed.
"""

from __future__ import annotations

import contextlib
import importlib
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from benchmarks import side

#: What all its rows have in common.
SETUP = "ThreadedServer on 127.0.0.1, TCP_NODELAY on both sides, not compressed, not encrypted"


def serve(functions: dict[str, Callable[..., Any]]) -> None:
    """Be a partner: let others call these functions, by their names."""
    rpyc = importlib.import_module("rpyc")
    servers = importlib.import_module("rpyc.utils.server")
    exposed = {f"exposed_{name}": staticmethod(function) for name, function in functions.items()}
    server = servers.ThreadedServer(type("Functions", (rpyc.Service,), exposed), hostname="127.0.0.1", port=0)
    # The connections that it accepts inherit it.
    server.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    side.announce(str(server.port))
    server.start()


@contextlib.contextmanager
def partner(question: str) -> Iterator[Any]:
    """Run the partner of the side "rpyc" within the ``with`` statement; gives what its functions are attributes of."""
    with side.partner(question, "rpyc") as port:
        stream = importlib.import_module("rpyc.core.stream").SocketStream.connect("127.0.0.1", int(port), nodelay=True)
        channel = importlib.import_module("rpyc.core.channel").Channel(stream, compress=False)
        connection = importlib.import_module("rpyc.utils.factory").connect_channel(channel)
        try:
            yield connection.root
        finally:
            connection.close()


def call_ahead(function: Any, calls: Iterable[tuple[Any, ...]], most: int) -> Iterator[Any]:
    """The results of calls of a partner's function, at most so many of them under way at once."""
    start = importlib.import_module("rpyc").async_(function)
    under_way: deque[Any] = deque()
    for arguments in calls:
        if len(under_way) == most:
            yield under_way.popleft().value
        under_way.append(start(*arguments))
    while under_way:
        yield under_way.popleft().value
