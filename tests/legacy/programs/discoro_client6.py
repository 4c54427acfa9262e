"""Streams numbers to jobs, which tell of those that are far from the mean of the last ones.

Prints, with a node of two servers:

    trend_proc heard of 3 outliers: [1000.0, -500.0, 700.0]
    saved 600 numbers
"""

import sys

import asyncoro.disasyncoro as asyncoro
from asyncoro.discoro import *
from asyncoro.discoro_schedulers import RemoteCoroScheduler


def outliers(limit, length, trend_coro, coro=None):
    import numpy

    window = numpy.zeros(length, dtype=float)
    count = 0
    while True:
        number = yield coro.receive()
        if number is None:
            break
        if count >= length and abs(number - window.mean()) > limit:
            trend_coro.send((float(number), "outlier"))
            continue
        window[count % length] = number
        count += 1
    trend_coro.send((None, "end"))


def save(coro=None):
    import os
    import struct
    import tempfile

    file = tempfile.NamedTemporaryFile(prefix="tickdata", delete=False)
    count = 0
    while True:
        number = yield coro.receive()
        if number is None:
            break
        file.write(struct.pack(">d", number))
        count += 1
    file.close()
    size = os.path.getsize(file.name)
    os.remove(file.name)
    raise StopIteration(size // 8)


def trend_proc(coro=None):
    found = []
    while True:
        number, kind = yield coro.receive()
        if number is None:
            break
        found.append(number)
    raise StopIteration(found)


def client_proc(computation, coro=None):
    rcoro_scheduler = RemoteCoroScheduler(computation)
    if (yield computation.schedule()):
        raise Exception("Could not schedule computation")
    trend_coro = asyncoro.Coro(trend_proc)
    rcoro_outliers = yield rcoro_scheduler.schedule(outliers, 100.0, 20, trend_coro)
    rcoro_save = yield rcoro_scheduler.schedule(save)
    for rcoro in (rcoro_outliers, rcoro_save):
        if not isinstance(rcoro, asyncoro.Coro):
            raise Exception("failed to create: %s" % (rcoro,))
        yield asyncoro.AsynCoro().peer(rcoro.location, stream_send=True)
    yield coro.monitor(rcoro_save)
    for i in range(600):
        number = {150: 1000.0, 300: -500.0, 450: 700.0}.get(i, float(i % 7))
        rcoro_outliers.send(number)
        rcoro_save.send(number)
        yield
    rcoro_outliers.send(None)
    rcoro_save.send(None)
    found = yield trend_coro.finish()
    print("%s heard of %d outliers: %s" % (trend_coro.name, len(found), found))
    msg = yield coro.receive()
    print("saved %s numbers" % msg.args[1][1])
    yield rcoro_scheduler.finish(close=True)


if __name__ == "__main__":
    Scheduler(node="127.0.0.1", udp_port=int(sys.argv[1]))
    computation = Computation([outliers])
    asyncoro.Coro(client_proc, computation)
