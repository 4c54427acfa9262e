"""A chat whose main thread accepts, and whose coroutines have messages; run with a port, ended by Ctrl-C."""

import socket
import sys

import asyncoro


def client_send(conn, coro=None):
    coro.set_daemon()
    while True:
        msg = yield coro.receive()
        if msg is None:
            break
        try:
            yield conn.send_msg(msg)
        except socket.error:
            break
    conn.close()


def client_recv(conn, broadcasting, coro=None):
    coro.set_daemon()
    sending = asyncoro.Coro(client_send, conn)
    name = yield conn.recv_msg()
    broadcasting.send(("join", sending, name + b" joined"))
    while True:
        try:
            line = yield conn.recv_msg()
        except socket.error:
            break
        if not line:
            break
        broadcasting.send(("say", sending, name + b": " + line))
    broadcasting.send(("leave", sending, name + b" left"))


def broadcaster(coro=None):
    coro.set_daemon()
    clients = set()
    while True:
        cmd, sending, text = yield coro.receive()
        if cmd == "join":
            clients.add(sending)
        elif cmd == "leave":
            clients.discard(sending)
            sending.send(None)
        for client in clients:
            if cmd != "say" or client != sending:
                client.send(text)


if __name__ == "__main__":
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("", int(sys.argv[1])))
    sock.listen(16)
    broadcasting = asyncoro.Coro(broadcaster)
    print("serving")
    sys.stdout.flush()
    while True:
        try:
            conn, addr = sock.accept()
        except KeyboardInterrupt:
            break
        asyncoro.Coro(client_recv, asyncoro.AsyncSocket(conn), broadcasting)
    sock.close()
    print("interrupted")
