"""Files go to jobs, and files with results come back.

Prints, with a node of two servers:

    result_0.txt: 3 lines, 11 words
    result_1.txt: 1 lines, 2 words
"""

import os
import shutil
import sys
import tempfile

import asyncoro.disasyncoro as asyncoro
from asyncoro.discoro import *
from asyncoro.discoro_schedulers import RemoteCoroScheduler

TEXTS = ["one two three\nfour five six seven\neight nine ten eleven\n", "hello there\n"]


def count(client, coro=None):
    # until the file is there
    name = yield coro.receive()
    with open(name) as fd:
        lines = fd.readlines()
    result = name.replace("data", "result")
    with open(result, "w") as fd:
        fd.write("%d lines, %d words" % (len(lines), sum(len(line.split()) for line in lines)))
    status = yield asyncoro.AsynCoro().send_file(client.location, result, overwrite=True, timeout=30)
    raise StopIteration(result if status == 0 else None)


def client_proc(computation, directory, coro=None):
    rcoro_scheduler = RemoteCoroScheduler(computation)
    if (yield computation.schedule()):
        raise Exception("Could not schedule computation")
    jobs = []
    for i, text in enumerate(TEXTS):
        rcoro = yield rcoro_scheduler.submit(count, coro)
        if not isinstance(rcoro, asyncoro.Coro):
            raise Exception("failed to create: %s" % (rcoro,))
        path = os.path.join(directory, "data_%d.txt" % i)
        with open(path, "w") as fd:
            fd.write(text)
        status = yield asyncoro.AsynCoro().send_file(rcoro.location, path, overwrite=True, timeout=30)
        if status != 0:
            raise Exception("could not send %s: %s" % (path, status))
        yield coro.monitor(rcoro)
        rcoro.send(os.path.basename(path))
        jobs.append(rcoro)
    results = []
    while len(results) < len(jobs):
        msg = yield coro.receive()
        results.append(msg.args[1][1])
    for name in sorted(results):
        with open(os.path.join(asyncoro.AsynCoro().dest_path, name)) as fd:
            print("%s: %s" % (name, fd.read()))
    yield rcoro_scheduler.finish(close=True)


if __name__ == "__main__":
    directory = tempfile.mkdtemp()
    Scheduler(node="127.0.0.1", udp_port=int(sys.argv[1]), dest_path=os.path.join(directory, "client"))
    computation = Computation([count])
    asyncoro.Coro(client_proc, computation, directory).value()
    shutil.rmtree(directory)
