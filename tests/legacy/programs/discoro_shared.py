"""One of several clients of a scheduler that runs as a program of its own: each waits for its turn.

Run with the scheduler's UDP port and a name, it prints:

    scheduled
    globals of others: False
    NAME: 120
"""

import sys

import asyncoro.disasyncoro as asyncoro
from asyncoro.discoro import *
from asyncoro.discoro_schedulers import RemoteCoroScheduler


def seen(coro=None):
    found = "left_by_a_job" in globals()
    yield coro.sleep(0)
    globals()["left_by_a_job"] = True
    raise StopIteration(found)


def factorial(n, coro=None):
    result = 1
    for i in range(2, n + 1):
        result *= i
        yield coro.sleep(0.02)
    raise StopIteration(result)


def client_proc(computation, name, coro=None):
    rcoro_scheduler = RemoteCoroScheduler(computation)
    if (yield computation.schedule()):
        raise Exception("Could not schedule computation")
    print("scheduled")
    found = yield rcoro_scheduler.execute(seen)
    print("globals of others: %s" % found)
    result = yield rcoro_scheduler.execute(factorial, 5)
    print("%s: %s" % (name, result))
    yield rcoro_scheduler.finish(close=True)


if __name__ == "__main__":
    asyncoro.AsynCoro(node="127.0.0.1", udp_port=int(sys.argv[1]))
    computation = Computation([seen, factorial])
    asyncoro.Coro(client_proc, computation, sys.argv[2])
