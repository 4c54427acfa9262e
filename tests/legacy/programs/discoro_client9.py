"""Each server reads a file into its memory before it gets jobs, which all use it, and is cleaned up after them.

Prints, with a node of two servers:

    set up 2
    md5 32
    sha1 40
    sha256 64
    the same data True
    cleaned up 2
"""

import hashlib
import os
import shutil
import sys
import tempfile

import asyncoro.disasyncoro as asyncoro
from asyncoro.discoro import *
from asyncoro.discoro_schedulers import RemoteCoroScheduler


def read_file(name, coro=None):
    global hashlib, data
    import hashlib

    with open(name, "rb") as fd:
        data = fd.read()
    # not needed any more
    import os

    os.remove(name)
    yield coro.sleep(0)
    raise StopIteration(0)


def compute(algorithm, coro=None):
    checksum = hashlib.new(algorithm)
    checksum.update(data)
    yield coro.sleep(0)
    raise StopIteration((algorithm, checksum.hexdigest()))


def client_proc(computation, path, coro=None):
    setups, cleanups = [], []

    def proc_available(location, coro=None):
        status = yield asyncoro.AsynCoro().send_file(location, path, timeout=10, overwrite=True)
        if status:
            raise StopIteration(status)
        status = yield rcoro_scheduler.execute_at(location, read_file, os.path.basename(path))
        setups.append(location)
        raise StopIteration(status)

    def proc_close(status, location, coro=None):
        def cleanup(coro=None):
            global data
            size = len(data)
            del data
            yield coro.sleep(0)
            raise StopIteration(size)

        if status != Scheduler.ServerInitialized:
            raise StopIteration(0)
        size = yield rcoro_scheduler.execute_at(location, cleanup)
        if size == os.path.getsize(path):
            cleanups.append(location)

    rcoro_scheduler = RemoteCoroScheduler(computation, proc_available=proc_available, proc_close=proc_close)
    if (yield computation.schedule()):
        raise Exception("Could not schedule computation")
    while len(setups) < 2:
        yield coro.sleep(0.05)
    print("set up %d" % len(setups))
    results = yield rcoro_scheduler.map_results(compute, [("md5",), ["sha1"], ["sha256"]])
    for algorithm, checksum in results:
        print("%s %d" % (algorithm, len(checksum)))
    with open(path, "rb") as fd:
        content = fd.read()
    print("the same data %s" % all(hashlib.new(name, content).hexdigest() == checksum for name, checksum in results))
    yield rcoro_scheduler.finish(close=True)
    print("cleaned up %d" % len(cleanups))


if __name__ == "__main__":
    directory = tempfile.mkdtemp()
    path = os.path.join(directory, "data.bin")
    with open(path, "wb") as fd:
        fd.write(os.urandom(100000))
    Scheduler(node="127.0.0.1", udp_port=int(sys.argv[1]))
    computation = Computation([read_file])
    asyncoro.Coro(client_proc, computation, path).value()
    shutil.rmtree(directory)
