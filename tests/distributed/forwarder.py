"""A forwarded port, as by ssh or a gateway: for tests that reach a runtime at another place than it knows of."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

from greencoro.distributed.location import Location

#: SO_LINGER: to close the socket resets the connection.
_RESET = struct.pack("ii", 1, 0)


class Forwarder:
    """Takes connections at a place of its own and makes one to ``to`` for each."""

    def __init__(self, to: Location) -> None:
        self._to = to
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.location = Location("127.0.0.1", self._listener.getsockname()[1])
        #: Connections taken so far.
        self.taken = 0
        self._joined: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.taken += 1
                far = socket.create_connection((self._to.addr, self._to.port), 10)
                far.settimeout(None)
                self._joined += [near, far]
                for pair in ((near, far), (far, near)):
                    self._threads.append(threading.Thread(target=_pump, args=pair))
                    self._threads[-1].start()

    def reset(self) -> None:
        """Reset all connections, to both sides."""
        joined, self._joined = self._joined, []
        for sock in joined:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            # Its pump sits in it, and would keep it open.
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RD)
            sock.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset()
        for thread in list(self._threads):
            thread.join(10)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
