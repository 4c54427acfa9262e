"""Uses a node at a place that is known, as through a tunnel: nothing is discovered.

Prints, with a node of one server:

    peer 0
    [1, 8, 27]
    by a name of its source: 64
    nodes 1, servers 1
"""

import sys

import asyncoro.disasyncoro as asyncoro
from asyncoro.discoro import *


class Powers(object):
    def __init__(self, exponent):
        self.exponent = exponent

    def power(self, n):
        yield
        raise StopIteration(n**self.exponent)


def compute(powers, n, coro=None):
    result = yield powers.power(n)
    raise StopIteration(result)


def run(computation, powers, n, coro=None):
    rcoro = yield computation.run(compute, powers, n)
    if not isinstance(rcoro, asyncoro.Coro):
        raise StopIteration(rcoro)
    yield coro.monitor(rcoro)
    msg = yield coro.receive()
    raise StopIteration(msg.args[1][1])


def ready(client, coro=None):
    coro.set_daemon()
    while True:
        msg = yield coro.receive()
        if isinstance(msg, DiscoroStatus) and msg.status == Scheduler.ServerInitialized:
            client.send(msg.info)


def client_proc(computation, port, coro=None):
    status = yield asyncoro.AsynCoro().peer(asyncoro.Location("127.0.0.1", port))
    print("peer %s" % status)
    computation.status_coro = asyncoro.Coro(ready, coro)
    if (yield computation.schedule()):
        raise Exception("Schedule failed")
    yield coro.receive()
    powers = Powers(3)
    coros = [asyncoro.Coro(run, computation, powers, n) for n in (1, 2, 3)]
    results = []
    for each in coros:
        result = yield each.finish()
        results.append(result)
    print(results)
    rcoro = yield computation.run("compute", powers, 4)
    yield coro.monitor(rcoro)
    msg = yield coro.receive()
    print("by a name of its source: %s" % msg.args[1][1])
    nodes = yield computation.nodes()
    servers = yield computation.servers()
    print("nodes %d, servers %d" % (len(nodes), len(servers)))
    yield computation.close()


if __name__ == "__main__":
    # its parameters are kept by the scheduler
    asyncoro.AsynCoro(node="127.0.0.1", discover_peers=False)
    Scheduler()
    computation = Computation([Powers, compute])
    asyncoro.Coro(client_proc, computation, int(sys.argv[1]))
