"""Sends numbers to remote_coro_server.py, the last message immediately before its end; with another secret, in vain.

Run with the secret "test" it prints:

    receiver at remote_coro_server
    1
"""

import sys

import asyncoro.disasyncoro as asyncoro


def sender(coro=None):
    scheduler = asyncoro.AsynCoro()
    location = yield scheduler.locate("remote_coro_server", timeout=5 if sys.argv[2] == "test" else 1)
    if location is None:
        print("not found")
        raise StopIteration(None)
    rcoro = yield asyncoro.Coro.locate("adder", location, timeout=5)
    print("%s at remote_coro_server" % rcoro.name)
    n = yield rcoro.deliver((7, True), timeout=5)
    print(n)
    for i in range(3):
        rcoro.send((i, False))
    rcoro.send("end")


if __name__ == "__main__":
    asyncoro.AsynCoro(node="127.0.0.1", udp_port=int(sys.argv[1]), name="remote_coro_client", secret=sys.argv[2])
    asyncoro.Coro(sender)
