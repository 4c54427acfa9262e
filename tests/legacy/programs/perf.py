"""Many coroutines, made from the main thread, each of which sends a message.

Prints:

    10000 coroutines: 49995000
"""

import sys

import asyncoro3 as asyncoro


def consumer(count, coro=None):
    total = 0
    for i in range(count):
        msg = yield coro.receive()
        total += msg
    raise StopIteration(total)


def producer(target, n, coro=None):
    yield coro.sleep(0.1)
    target.send(n)


if __name__ == "__main__":
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    collecting = asyncoro.Coro(consumer, n)
    for i in range(n):
        asyncoro.Coro(producer, collecting, i)
    print("%d coroutines: %s" % (n, collecting.value()))
