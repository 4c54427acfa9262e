"""A TCP server and a hundred clients in one process, each written as if it were alone."""

import socket

from greencoro import AsyncSocket, Coro


def serve_one(connection):
    with connection:
        while message := connection.recv_msg():
            connection.send_msg(message.upper())


def server(listener):
    while True:
        connection, _ = listener.accept()
        Coro(serve_one, connection).set_daemon()


def client(address, number):
    with AsyncSocket(socket.socket()) as connection:
        connection.settimeout(10)
        connection.connect(address)
        connection.send_msg(f"hello from {number}".encode())
        return connection.recv_msg().decode()


listener = AsyncSocket(socket.create_server(("127.0.0.1", 0), backlog=100))
Coro(server, listener).set_daemon()
clients = [Coro(client, listener.getsockname(), number) for number in range(100)]
answers = [each.finish() for each in clients]
print(len(answers), "answers; the last is:", answers[-1])
