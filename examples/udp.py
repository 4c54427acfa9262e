"""Datagrams between coroutines, and a receiver that does not wait for ever."""

import socket

from greencoro import AsyncSocket, Coro


def datagram_socket():
    return AsyncSocket(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))


def thermometer(address):
    with datagram_socket() as sock:
        for degrees in (19, 21, 20):
            sock.sendto(str(degrees).encode(), address)


def station():
    with datagram_socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(1)
        Coro(thermometer, sock.getsockname())
        readings = []
        while True:
            try:
                reading, _ = sock.recvfrom(100)
            except TimeoutError:
                return readings
            readings.append(int(reading))


readings = Coro(station).finish()
print("mean of", len(readings), "readings:", sum(readings) / len(readings))
