"""Jobs that compute without a yield, with large results; the client's own status coroutine passes messages on.

Prints, with a node of two servers:

    results [200000, 200001, 200002, 200003]
    statuses True True True
    created 4, finished 4
"""

import sys

import asyncoro.disasyncoro as asyncoro
import asyncoro.discoro
from asyncoro.discoro import *
from asyncoro.discoro_schedulers import RemoteCoroScheduler


def compute(n, coro=None):
    import time

    yield coro.sleep(0)
    time.sleep(0.2)
    raise StopIteration(1 << (8 * n))


def status_proc(rcoro_scheduler, seen, coro=None):
    coro.set_daemon()
    while True:
        msg = yield coro.receive()
        rcoro_scheduler.status_coro.send(msg)
        if isinstance(msg, asyncoro.MonitorException):
            seen["finished"] += 1
        elif isinstance(msg, DiscoroStatus):
            if msg.status == Scheduler.CoroCreated:
                seen["created"] += 1
                if not isinstance(msg.info.coro, asyncoro.Coro) or msg.info.args[0] < 200000:
                    print("a coroutine that is none: %s" % (msg.info,))
            else:
                seen["statuses"].add(msg.status)


def client_proc(computation, coro=None):
    seen = {"statuses": set(), "created": 0, "finished": 0}
    rcoro_scheduler = RemoteCoroScheduler(computation)
    # before it is scheduled
    computation.status_coro = asyncoro.Coro(status_proc, rcoro_scheduler, seen)
    if (yield computation.schedule()):
        raise Exception("Could not schedule computation")
    n = 200000
    waiting = []
    for i in range(4):
        waiting.append(asyncoro.Coro(execute, rcoro_scheduler, n + i))
    results = []
    for each in waiting:
        result = yield each.finish()
        results.append((result.bit_length() - 1) // 8)
    print("results %s" % results)
    yield rcoro_scheduler.finish(close=True)
    statuses = (Scheduler.NodeInitialized, Scheduler.ServerInitialized, Scheduler.ServerDiscovered)
    print("statuses %s %s %s" % tuple(status in seen["statuses"] for status in statuses))
    for i in range(100):
        if seen["created"] == seen["finished"] == 4:
            break
        yield coro.sleep(0.05)
    print("created %(created)s, finished %(finished)s" % seen)


def execute(rcoro_scheduler, n, coro=None):
    result = yield rcoro_scheduler.execute(compute, n)
    raise StopIteration(result)


if __name__ == "__main__":
    asyncoro.discoro.MaxPulseInterval = 50
    Scheduler(node="127.0.0.1", udp_port=int(sys.argv[1]))
    computation = Computation([compute], pulse_interval=20)
    asyncoro.Coro(client_proc, computation)
