"""A program in the style of old that others find: its arguments are the UDP port, the secret and a directory.

It ends with its standard input.
"""

import sys

import asyncoro.disasyncoro as asyncoro


def echo(coro=None):
    coro.set_daemon()
    coro.register()
    while True:
        who, message = yield coro.receive()
        yield who.send(message)


def subscriber(channel, coro=None):
    coro.set_daemon()
    yield channel.subscribe(coro)
    while True:
        who, message = yield coro.receive()
        yield who.send(("heard", message))


def over(coro=None):
    coro.set_daemon()
    while True:
        who = yield coro.receive()
        yield who.send(asyncoro.Coro(brief))


def brief():
    yield None


def squared(n, coro=None):
    yield coro.sleep(0.05)
    if n % 2:
        raise Exception(f"invalid invocation: {n}")
    raise StopIteration(n * n)


def waits(coro=None):
    coro.set_daemon()
    yield 7
    while True:
        yield coro.receive()


def kinds(coro=None):
    who, rcoro, channel = yield coro.receive()
    found = [isinstance(who, asyncoro.Coro), isinstance(rcoro, asyncoro.Coro), isinstance(channel, asyncoro.Channel)]
    yield who.send([*found, who.is_alive() and who == rcoro, coro.location == asyncoro.AsynCoro().location])


if __name__ == "__main__":
    port, secret, directory = sys.argv[1:]
    scheduler = asyncoro.AsynCoro(
        node="127.0.0.1", udp_port=int(port), name="peer", secret=secret, dest_path=directory, max_file_size=10000
    )
    asyncoro.Coro(echo)
    asyncoro.Coro(over).register("over")
    channel = asyncoro.Channel("news")
    channel.register()
    asyncoro.Coro(subscriber, channel)
    for method in (squared, waits, kinds, echo):
        asyncoro.RCI(method).register()
    gone = asyncoro.RCI(squared, name="gone")
    gone.register()
    for line in sys.stdin:
        if line == "unregister\n":
            print(gone.unregister(), gone.unregister())
