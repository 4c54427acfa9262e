"""Jobs that do not yield while messages come for them: they get all of them afterwards.

Prints, with a node of two servers:

    job 0: [0, 1, 2, 3, 4]
    job 1: [0, 1, 2, 3, 4]
    sent while they computed: True
"""

import sys
import time

import asyncoro.disasyncoro as asyncoro
from asyncoro.discoro import *
from asyncoro.discoro_schedulers import RemoteCoroScheduler


def compute(number, client, coro=None):
    import time

    client.send((number, "began", None))
    yield coro.sleep(0.2)
    time.sleep(2)
    finished = time.time()
    got = []
    while len(got) < 5:
        msg = yield coro.receive(timeout=5)
        got.append(msg)
    client.send((number, got, finished))


def client_proc(computation, coro=None):
    rcoro_scheduler = RemoteCoroScheduler(computation)
    if (yield computation.schedule()):
        raise Exception("Could not schedule computation")
    rcoros = []
    for number in range(2):
        rcoro = yield rcoro_scheduler.schedule(compute, number, coro)
        rcoros.append(rcoro)
    for number in range(2):
        yield coro.receive()
    yield coro.sleep(0.5)
    for rcoro in rcoros:
        for i in range(5):
            n = yield rcoro.deliver(i, timeout=10)
            if n != 1:
                raise Exception("not delivered: %s" % n)
    delivered = time.time()
    results = []
    for number in range(2):
        result = yield coro.receive()
        results.append(result)
    for number, got, finished in sorted(results):
        print("job %s: %s" % (number, got))
    print("sent while they computed: %s" % all(delivered < finished for number, got, finished in results))
    yield rcoro_scheduler.finish(close=True)


if __name__ == "__main__":
    Scheduler(node="127.0.0.1", udp_port=int(sys.argv[1]))
    computation = Computation([compute])
    asyncoro.Coro(client_proc, computation)
