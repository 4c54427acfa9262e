"""Takes lines from clients and answers with them in capitals; run with a port, ended by "quit"."""

import socket
import sys

import asyncoro


def process(conn, coro=None):
    data = b""
    while True:
        part = yield conn.recv(16)
        if not part:
            break
        data += part
        while b"\n" in data:
            line, data = data.split(b"\n", 1)
            yield conn.sendall(line.upper() + b"\n")
    conn.close()


def server(host, port, coro=None):
    coro.set_daemon()
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock = asyncoro.AsyncSocket(sock)
    sock.bind((host, port))
    sock.listen(128)
    print("serving")
    sys.stdout.flush()
    while True:
        conn, addr = yield sock.accept()
        asyncoro.Coro(process, conn)


if __name__ == "__main__":
    asyncoro.Coro(server, "127.0.0.1", int(sys.argv[1]))
    for line in sys.stdin:
        if line.strip() == "quit":
            break
