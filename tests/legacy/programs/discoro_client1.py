"""Runs a function on servers, which sends a message to the client from there.

Prints, with a node of two servers:

    11 is no square
    16 is the square of 4
    25 is the square of 5
    26 is no square
    36 is the square of 6
    True: on the servers, and one at a time
"""

import asyncoro.disasyncoro as asyncoro
from asyncoro.discoro import *
from asyncoro.discoro_schedulers import RemoteCoroScheduler


def square_root(client, n, coro=None):
    import time

    client.send(("begin", coro.location, time.time()))
    for root in range(n):
        if root * root == n:
            break
        yield coro.sleep(0.005)
    else:
        root = None
    client.send(("end", coro.location, time.time()))
    raise StopIteration(n, root)


def listener(times, coro=None):
    coro.set_daemon()
    while True:
        what, location, when = yield coro.receive()
        times.setdefault(str(location), []).append((when, what))


def client_proc(computation, coro=None):
    rcoro_scheduler = RemoteCoroScheduler(computation)
    if (yield computation.schedule()):
        raise Exception("Could not schedule computation")
    times = {}
    listening = asyncoro.Coro(listener, times)
    jobs = [(listening, n) for n in (11, 16, 25, 26, 36)]
    results = yield rcoro_scheduler.map_results(square_root, jobs)
    for n, root in results:
        print("%s is %s" % (n, "no square" if root is None else "the square of %s" % root))
    yield rcoro_scheduler.finish(close=True)
    heard = [[what for when, what in sorted(each)] for each in times.values()]
    in_turn = all(each == ["begin", "end"] * (len(each) // 2) for each in heard)
    print("%s: on the servers, and one at a time" % (in_turn and sum(map(len, heard)) == 10))


if __name__ == "__main__":
    Scheduler()
    computation = Computation([square_root])
    asyncoro.Coro(client_proc, computation)
