"""The page of a computation; lines of input are numbers for jobs, "quit" or their end ends it.

Run with the UDP port of its nodes and a port for the page. For the line "3" it prints, beside where the page is:

    created (3,) {}
    finished 9
"""

import sys

import asyncoro.disasyncoro as asyncoro
import asyncoro.httpd
from asyncoro.discoro import *


def compute(n, coro=None):
    yield coro.sleep(0.1)
    raise StopIteration(n * n)


def status_proc(http_server, coro=None):
    coro.set_daemon()
    while True:
        msg = yield coro.receive()
        # first of all the page
        http_server.status_coro.send(msg)
        if isinstance(msg, asyncoro.MonitorException):
            print("finished %s" % msg.args[1][1])
        elif isinstance(msg, DiscoroStatus):
            if msg.status == Scheduler.CoroCreated:
                print("created %s %s" % (msg.info.args, msg.info.kwargs))
            elif msg.status == Scheduler.ServerInitialized:
                print("server is ready")
        sys.stdout.flush()


def client_proc(computation, coro=None):
    if (yield computation.schedule()):
        raise Exception("Could not schedule computation")
    print("scheduled")
    sys.stdout.flush()
    while True:
        n = yield coro.receive()
        if n is None:
            break
        yield computation.run(compute, n)
    yield computation.close()


if __name__ == "__main__":
    Scheduler(node="127.0.0.1", udp_port=int(sys.argv[1]))
    computation = Computation([compute])
    http_server = asyncoro.httpd.HTTPServer(computation, host="127.0.0.1", port=int(sys.argv[2]), poll_sec=1)
    computation.status_coro = asyncoro.Coro(status_proc, http_server)
    client = asyncoro.Coro(client_proc, computation)
    while True:
        try:
            command = input()
        except EOFError:
            break
        if command.strip().lower() in ("quit", "exit"):
            break
        client.send(int(command))
    client.send(None)
    client.value()
    http_server.shutdown()
