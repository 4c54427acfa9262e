"""Runs a program on servers, which it is sent to as a file; its input comes from here, its output goes here.

Prints, with a node of two servers:

    program 0: ['orocnysa', 'orocsid']
    program 1: ['enituoroc']
"""

import os
import sys

import asyncoro.disasyncoro as asyncoro
from asyncoro.discoro import *
from asyncoro.discoro_schedulers import RemoteCoroScheduler

WORDS = [["asyncoro", "discoro"], ["coroutine"]]


def rcoro_proc(client, number, program, coro=None):
    import subprocess
    import sys

    import asyncoro.asyncfile

    def reader_proc(apipe, client, number, coro=None):
        while True:
            line = yield apipe.readline()
            if not line:
                break
            client.send((number, line.decode().strip()))

    popen = subprocess.Popen([sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    apipe = asyncoro.asyncfile.AsyncPipe(popen)
    reader = asyncoro.Coro(reader_proc, apipe, client, number)
    while True:
        word = yield coro.receive()
        if word is None:
            break
        yield apipe.write(word.encode() + b"\n", full=True)
    apipe.stdin.close()
    yield reader.finish()
    raise StopIteration(popen.wait())


def client_proc(computation, program, coro=None):
    rcoro_scheduler = RemoteCoroScheduler(computation)
    if (yield computation.schedule()):
        raise Exception("Could not schedule computation")
    rcoros = []
    for number in range(len(WORDS)):
        rcoro = yield rcoro_scheduler.schedule(rcoro_proc, coro, number, program)
        if not isinstance(rcoro, asyncoro.Coro):
            raise Exception("failed to create: %s" % (rcoro,))
        rcoros.append(rcoro)
    for rcoro, words in zip(rcoros, WORDS):
        for word in words:
            rcoro.send(word)
        rcoro.send(None)
    outputs = [[] for words in WORDS]
    for i in range(sum(len(words) for words in WORDS)):
        number, word = yield coro.receive()
        outputs[number].append(word)
    for number, output in enumerate(outputs):
        print("program %d: %s" % (number, output))
    yield rcoro_scheduler.finish(close=True)


if __name__ == "__main__":
    program = "discoro_client5_proc.py"
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), program)
    # where it is below the current directory, a component keeps its relative place
    os.chdir(os.path.dirname(path))
    Scheduler(node="127.0.0.1", udp_port=int(sys.argv[1]))
    computation = Computation([rcoro_proc, path])
    asyncoro.Coro(client_proc, computation, program)
