"""Five clients of tut_sock_server.py at the same time, and one that nobody answers.

Prints:

    LINE 1 OF CLIENT 0 LINE 2 OF CLIENT 0
    LINE 1 OF CLIENT 1 LINE 2 OF CLIENT 1
    LINE 1 OF CLIENT 2 LINE 2 OF CLIENT 2
    LINE 1 OF CLIENT 3 LINE 2 OF CLIENT 3
    LINE 1 OF CLIENT 4 LINE 2 OF CLIENT 4
    timeout
    refused
"""

import socket
import sys

import asyncoro


def client(host, port, n, coro=None):
    sock = asyncoro.AsyncSocket(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    yield sock.connect((host, port))
    lines = ["line %d of client %d" % (i, n) for i in (1, 2)]
    yield sock.sendall("".join(line + "\n" for line in lines).encode())
    size = sum(len(line) + 1 for line in lines)
    data = yield sock.recvall(size)
    sock.close()
    raise StopIteration(bytes(data).decode().split("\n")[:2])


def unanswered(host, port, coro=None):
    sock = asyncoro.AsyncSocket(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    yield sock.connect((host, port))
    sock.settimeout(0.1)
    try:
        yield sock.recv(1)
    except socket.timeout:
        print("timeout")
    sock.close()


def refused(host, coro=None):
    # bound, but nobody listens
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    taken.bind((host, 0))
    sock = asyncoro.AsyncSocket(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    try:
        yield sock.connect(taken.getsockname())
    except socket.error:
        print("refused")
    sock.close()
    taken.close()


if __name__ == "__main__":
    host, port = "127.0.0.1", int(sys.argv[1])
    for each in [asyncoro.Coro(client, host, port, n) for n in range(5)]:
        print(" ".join(each.value()))
    asyncoro.Coro(unanswered, host, port).value()
    asyncoro.Coro(refused, host).value()
