"""A channel among the arguments of jobs, which subscribe to it there; each number sent to it reaches all of them.

Prints, with a node of two servers:

    begun with 2
    smallest 2
    largest 91
"""

import sys

import asyncoro.disasyncoro as asyncoro
from asyncoro.discoro import *
from asyncoro.discoro_schedulers import RemoteCoroScheduler


def extreme(channel, which, coro=None):
    yield channel.subscribe(coro)
    best = None
    while True:
        number = yield coro.receive()
        if number is None:
            break
        if number == "begin":
            continue
        best = number if best is None else which(best, number)
    yield channel.unsubscribe(coro)
    raise StopIteration(best)


def client_proc(computation, coro=None):
    rcoro_scheduler = RemoteCoroScheduler(computation)
    if (yield computation.schedule()):
        raise Exception("Could not schedule computation")
    channel = asyncoro.Channel("numbers")
    names = {}
    for name, which in (("smallest", min), ("largest", max)):
        rcoro = yield rcoro_scheduler.schedule(extreme, channel, which)
        if not isinstance(rcoro, asyncoro.Coro):
            raise Exception("failed to create: %s" % (rcoro,))
        names[rcoro] = name
        yield coro.monitor(rcoro)
    n = yield channel.deliver("begin", timeout=20, n=2)
    print("begun with %s" % n)
    for number in (17, 91, 4, 2, 33, None):
        channel.send(number)
    results = {}
    while len(results) < 2:
        msg = yield coro.receive()
        results[names[msg.args[0]]] = msg.args[1][1]
    for name in ("smallest", "largest"):
        print("%s %s" % (name, results[name]))
    yield rcoro_scheduler.finish(close=True)


if __name__ == "__main__":
    Scheduler(node="127.0.0.1", udp_port=int(sys.argv[1]))
    computation = Computation([extreme])
    asyncoro.Coro(client_proc, computation)
