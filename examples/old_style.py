"""Generator functions, as programs for asyncoro are written, beside a plain one."""

from greencoro import Coro


def squares(coro=None):
    while True:
        who, number = yield coro.receive()
        who.send(number * number)


def half(number):
    yield
    return number / 2


def asker(server, coro=None):
    server.send((coro, 6))
    square = yield coro.receive(timeout=5)
    result = yield half(square)  # a generator is run to its end
    print("half the square of 6 is", result)


def plain(server, coro=None):
    server.send((coro, 7))
    print("the square of 7 is", coro.receive(timeout=5))


server = Coro(squares)
server.set_daemon()
Coro(asker, server).finish()
Coro(plain, server).finish()
