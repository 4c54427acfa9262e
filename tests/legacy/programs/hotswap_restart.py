"""A monitor that starts a failed coroutine anew, with a function that is in order.

Prints:

    failed: ValueError
    again: 0
    the second: StopIteration
    21
"""

import asyncoro


def broken(coro=None):
    yield coro.receive()
    raise ValueError("broken")


def mended(coro=None):
    n = yield coro.receive()
    raise StopIteration(n)


def keeper(coro=None):
    worker = yield coro.receive()
    yield coro.monitor(worker)
    worker.send(20)
    exc = yield coro.receive()
    print("failed: %s" % exc.args[1][0].__name__)
    print("again: %s" % worker.hot_swap(mended))
    worker.send(21)
    exc = yield coro.receive()
    print("the second: %s" % exc.args[1][0].__name__)
    raise StopIteration(exc.args[1][1])


if __name__ == "__main__":
    asyncoro.logger.setLevel(asyncoro.logger.CRITICAL)
    keeping = asyncoro.Coro(keeper)
    keeping.send(asyncoro.Coro(broken))
    print(keeping.value())
