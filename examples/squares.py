"""A coroutine that serves others, in one process."""

from greencoro import Coro


def server(coro=None):
    while True:
        client, number = coro.receive()
        client.send(number * number)


def client(server, number, coro=None):
    server.send((coro, number))
    print(number, "squared is", coro.receive(timeout=5))


squares = Coro(server)
squares.set_daemon()  # the program does not wait for this one
for number in range(1, 4):
    Coro(client, squares, number)
