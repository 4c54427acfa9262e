"""A client of chat_sock_server.py: a coroutine reads from the socket to which the main thread writes."""

import socket
import sys

import asyncoro


def client_recv(conn, coro=None):
    coro.set_daemon()
    while True:
        line = yield conn.recv_msg()
        if not line:
            break
        print(line.decode())
        sys.stdout.flush()


if __name__ == "__main__":
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.connect(("", int(sys.argv[1])))
    # the same socket twice: reading waits in a coroutine, writing in this thread
    conn = asyncoro.AsyncSocket(sock, blocking=True)
    asyncoro.Coro(client_recv, asyncoro.AsyncSocket(sock))
    conn.send_msg(sys.argv[2].encode())
    while True:
        try:
            line = input().strip()
        except EOFError:
            break
        if line.lower() in ("quit", "exit"):
            break
        if line:
            conn.send_msg(line.encode())
    sock.shutdown(socket.SHUT_WR)
