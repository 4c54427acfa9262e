"""A client of chat_server.py, with its port and a name; lines of input are sent, "quit" or their end ends it."""

import socket
import sys

import asyncoro


def receiver(conn, sender, coro=None):
    coro.set_daemon()
    while True:
        text = yield conn.recv_msg()
        if not text:
            break
        print(text.decode())
        sys.stdout.flush()
    # It waits for a line, in a thread of the pool.
    sender.terminate()


def sender(conn, name, pool, coro=None):
    yield conn.send_msg(name.encode())
    while True:
        try:
            line = yield pool.async_task(input)
        except EOFError:
            break
        line = line.strip()
        if line.lower() in ("quit", "exit"):
            break
        if line:
            yield conn.send_msg(line.encode())


def client_proc(conn, address, name, pool, coro=None):
    yield conn.connect(address)
    sending = asyncoro.Coro(sender, conn, name, pool)
    receiving = asyncoro.Coro(receiver, conn, sending)
    yield sending.finish()
    receiving.terminate()
    conn.close()


if __name__ == "__main__":
    # made here, used in a coroutine
    conn = asyncoro.AsynCoroSocket(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    address = ("127.0.0.1", int(sys.argv[1]))
    asyncoro.Coro(client_proc, conn, address, sys.argv[2], asyncoro.AsyncThreadPool(1)).value()
