"""Schedules jobs itself, by the messages of discoro's scheduler: one for each server that is ready, until all are done.

Prints, with a node of two servers:

    primes below 10: 4
    primes below 100: 25
    primes below 1000: 168
    primes below 2000: 303
    on servers that were told of True, closed True
"""

import sys

import asyncoro.disasyncoro as asyncoro
from asyncoro.discoro import *


def primes(limit, coro=None):
    found = []
    for n in range(2, limit):
        if all(n % prime for prime in found):
            found.append(n)
        if n % 100 == 0:
            yield coro.sleep(0)
    raise StopIteration(len(found))


def status_proc(computation, limits, client, coro=None):
    jobs, results, servers, used, closed = {}, {}, set(), set(), False
    count = len(limits)
    while not closed:
        msg = yield coro.receive()
        where = None
        if isinstance(msg, asyncoro.MonitorException):
            rcoro = msg.args[0]
            if msg.args[1][0] != StopIteration:
                raise Exception("%s failed: %s" % (rcoro, msg.args[1]))
            # it may be over before run_at says that it was created
            if rcoro in jobs:
                limit = jobs.pop(rcoro)
                results[limit] = msg.args[1][1]
            where = rcoro.location
            used.add(where)
            if len(results) == count:
                client.send(results)
        elif isinstance(msg, DiscoroStatus):
            if msg.status == Scheduler.ServerInitialized:
                where = msg.info
                servers.add(where)
            elif msg.status == Scheduler.ComputationClosed:
                closed = True
        if where is not None and limits:
            limit = limits.pop(0)
            rcoro = yield computation.run_at(where, primes, limit)
            if isinstance(rcoro, asyncoro.Coro):
                jobs[rcoro] = limit
            else:
                raise Exception("failed to create: %s" % (rcoro,))
    client.send((used <= servers, closed))


def client_proc(computation, coro=None):
    computation.status_coro = asyncoro.Coro(status_proc, computation, [10, 2000, 100, 1000], coro)
    if (yield computation.schedule()):
        raise Exception("Could not schedule computation")
    results = yield coro.receive()
    for limit in sorted(results):
        print("primes below %s: %s" % (limit, results[limit]))
    yield computation.close()
    told, closed = yield coro.receive()
    print("on servers that were told of %s, closed %s" % (told, closed))


if __name__ == "__main__":
    Scheduler(node="127.0.0.1", udp_port=int(sys.argv[1]))
    computation = Computation([primes])
    asyncoro.Coro(client_proc, computation)
