"""Runtimes inside TLS, and what stands between two of them, for tests."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

from greencoro.distributed.credentials import Credentials
from greencoro.distributed.reactor import Reactor
from greencoro.distributed.runtime import Runtime
from greencoro.distributed.tls import Tls
from greencoro.distributed.transport import Tcp
from tests.distributed.certificates import Made
from tests.distributed.conftest import World


class TlsNetwork:
    """TCP with TLS, for the argument ``network`` of a runtime."""

    def __init__(self, certfile: Any, keyfile: Any = None) -> None:
        self._credentials = Credentials(certfile, keyfile)

    def transport(self, reactor: Reactor) -> Tls:
        return Tls(Tcp(reactor), self._credentials)


class TlsWorld(World):
    """Makes runtimes with certificates of their own, or without any, and finishes them."""

    def __init__(self) -> None:
        super().__init__(None)

    def tls(self, certfile: Any, keyfile: Any = None, **kwargs: Any) -> Runtime:
        self.network = TlsNetwork(certfile, keyfile)  # type: ignore[assignment]
        try:
            return self.runtime(**kwargs)
        finally:
            self.network = None


def context(protocol: int, shown: Made | None, trusted: Made) -> ssl.SSLContext:
    """What the standard library's own TLS needs to show one certificate and trust another."""
    made = ssl.SSLContext(protocol)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_verify_locations(trusted.certfile)
    if shown is not None:
        made.load_cert_chain(shown.both)
    return made


def answer(sock: socket.socket) -> bytes:
    """All that comes until the other side ends."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := sock.recv(65536):
            data += piece
    return data


def pump(source: Any, sink: Any, change: Callable[[bytes], bytes]) -> None:
    """Hand on from one socket to the other, until one ends; then end both."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(change(data))
    for sock in (source, sink):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


class Relay:
    """Stands between those who dial it and a runtime, and sees what both say.

    Args:
        change: Called with what the one who dialled said; returns what is handed on.

        come, go: What to make of the socket that came in, and of that to the runtime, before anything is said.
    """

    def __init__(
        self,
        target: Runtime,
        change: Callable[[bytes], bytes] = bytes,
        come: Callable[[Any], Any] = lambda sock: sock,
        go: Callable[[Any], Any] = lambda sock: sock,
    ) -> None:
        self.seen = bytearray()
        self._target = (target.location.addr, target.location.port)
        self._change = change
        self._come, self._go = come, go
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.place = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._socks: list[Any] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            came, _ = self._listener.accept()
            went = socket.create_connection(self._target)
            self._socks += [came, went]
            came, went = self._come(came), self._go(went)
            self._socks += [came, went]
            back = threading.Thread(target=pump, args=(went, came, self._see))
            back.start()
            pump(came, went, lambda data: self._change(self._see(data)))
            back.join()

    def _see(self, data: bytes) -> bytes:
        self.seen += data
        return data

    def close(self) -> None:
        for sock in (self._listener, *self._socks):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._thread.join(10)
        assert not self._thread.is_alive()
