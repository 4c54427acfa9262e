"""Subscribes to the channel of remote_channel_server.py, and sends to it what it then hears itself.

Prints:

    delivered to 2
    heard [1, 2, 3]
"""

import sys

import asyncoro.disasyncoro as asyncoro


def client_recv(channel, coro=None):
    yield channel.subscribe(coro)
    heard = []
    while True:
        msg = yield coro.receive()
        if msg["n"] is None:
            break
        heard.append(msg["n"])
    yield channel.unsubscribe(coro)
    raise StopIteration(heard)


def client_send(coro=None):
    location = yield asyncoro.AsynCoro().locate("server", timeout=10)
    channel = yield asyncoro.Channel.locate("numbers", location, timeout=10)
    receiving = asyncoro.Coro(client_recv, channel)
    n = yield channel.deliver({"n": 1, "sender": coro}, timeout=10, n=2)
    print("delivered to %s" % n)
    channel.send({"n": 2, "sender": coro})
    channel.send({"n": 3, "sender": coro})
    channel.send({"n": None, "sender": coro})
    heard = yield receiving.finish()
    print("heard %s" % heard)


if __name__ == "__main__":
    asyncoro.AsynCoro(node="127.0.0.1", udp_port=int(sys.argv[1]))
    asyncoro.Coro(client_send)
