"""Ports that stay free until a test uses them."""

import random
import socket

#: Below those that the kernel hands out for port 0 and for outgoing connections, which tests beside this one get.
_PORTS = range(15_000, 32_000)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has, neither for TCP nor for UDP."""
    for _ in range(100):
        port = random.choice(_PORTS)
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as sock:
                    sock.bind(("127.0.0.1", port))
        except OSError:
            continue
        return port
    raise AssertionError("of 100 ports none is free")
