"""A channel that others send to and that its own coroutine hears, too; run with a UDP port, ended when all were heard.

Prints:

    serving
    adding: 1 from client_send
    adding: 2 from client_send
    adding: 3 from client_send
    total 6
"""

import sys

import asyncoro.disasyncoro as asyncoro


def adder(channel, coro=None):
    # the client's delivery to two waits for this
    yield coro.sleep(0.5)
    yield channel.subscribe(coro)
    total = 0
    while True:
        msg = yield coro.receive()
        if msg["n"] is None:
            break
        print("adding: %s from %s" % (msg["n"], msg["sender"].name))
        total += msg["n"]
    yield channel.unsubscribe(coro)
    print("total %s" % total)


if __name__ == "__main__":
    asyncoro.AsynCoro(node="127.0.0.1", udp_port=int(sys.argv[1]), name="server")
    channel = asyncoro.Channel("2clients")
    channel.register("numbers")
    print("serving")
    sys.stdout.flush()
    asyncoro.Coro(adder, channel).value()
    channel.unregister("numbers")
