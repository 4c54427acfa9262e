"""A chat over asynchronous sockets: what one client sends goes to all; run with a port, ended by "quit"."""

import socket
import sys

import asyncoro


def send_all(clients, text, coro=None):
    for conn in list(clients.values()):
        try:
            yield conn.send_msg(text)
        except socket.error:
            pass


def client_proc(conn, clients, coro=None):
    coro.set_daemon()
    name = yield conn.recv_msg()
    clients[conn._fileno] = conn
    yield send_all(clients, name + b" joined")
    while True:
        try:
            text = yield conn.recv_msg()
        except socket.error:
            break
        if not text:
            break
        others = dict(clients)
        del others[conn._fileno]
        yield send_all(others, name + b": " + text)
    del clients[conn._fileno]
    conn.close()
    yield send_all(clients, name + b" left")


def server_proc(sock, coro=None):
    coro.set_daemon()
    clients = {}
    while True:
        conn, addr = yield sock.accept()
        asyncoro.Coro(client_proc, conn, clients)


if __name__ == "__main__":
    sock = asyncoro.AsynCoroSocket(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", int(sys.argv[1])))
    sock.listen(16)
    asyncoro.Coro(server_proc, sock)
    print("serving")
    sys.stdout.flush()
    for line in sys.stdin:
        if line.strip().lower() in ("quit", "exit"):
            break
