"""An encrypted connection, by a certificate that both ends have; run with the file of it and of its key.

Prints:

    echo: b'hello'
    without its key: refused
"""

import socket
import ssl
import sys

import asyncoro


def echo(sock, coro=None):
    coro.set_daemon()
    while True:
        try:
            conn, addr = yield sock.accept()
        except (socket.error, ssl.SSLError):
            continue
        asyncoro.Coro(serve, conn)


def serve(conn, coro=None):
    coro.set_daemon()
    msg = yield conn.recv_msg()
    yield conn.send_msg(msg)
    conn.close()


def client(address, certfile, coro=None):
    sock = asyncoro.AsyncSocket(socket.socket(socket.AF_INET, socket.SOCK_STREAM), certfile=certfile)
    yield sock.connect(address)
    yield sock.send_msg(b"hello")
    answer = yield sock.recv_msg()
    sock.close()
    raise StopIteration(answer)


def plain(address, coro=None):
    sock = asyncoro.AsyncSocket(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    yield sock.connect(address)
    sock.settimeout(5)
    try:
        yield sock.sendall(b"hello in the clear, which is no handshake\n" * 10)
        answer = b" "
        while answer[:1] in (b" ", b"\x15"):  # an alert of TLS may come first
            answer = yield sock.recv(1024)
    except socket.error:
        answer = b""
    sock.close()
    raise StopIteration("refused" if answer == b"" else answer)


if __name__ == "__main__":
    certfile, keyfile = sys.argv[1:]
    sock = asyncoro.AsyncSocket(socket.socket(), certfile=certfile, keyfile=keyfile)
    sock.bind(("127.0.0.1", 0))
    sock.listen(4)
    asyncoro.Coro(echo, sock)
    print("echo: %r" % bytes(asyncoro.Coro(client, sock.getsockname(), certfile).value()))
    print("without its key: %s" % asyncoro.Coro(plain, sock.getsockname()).value())
