"""Takes files and tells their content; run with a TCP port and a directory, ended by "quit".

It does not look for peers: they have to know where it is.
"""

import os
import sys

import asyncoro.disasyncoro as asyncoro


def reader(coro=None):
    coro.set_daemon()
    coro.register("reader")
    scheduler = asyncoro.AsynCoro()
    while True:
        client, name = yield coro.receive()
        path = os.path.join(scheduler.dest_path, name)
        if os.path.isfile(path):
            with open(path) as fd:
                client.send(fd.read())
        else:
            client.send(None)


if __name__ == "__main__":
    asyncoro.AsynCoro(
        node="127.0.0.1", tcp_port=int(sys.argv[1]), name="files", discover_peers=False, dest_path=sys.argv[2]
    )
    asyncoro.Coro(reader)
    print("serving")
    sys.stdout.flush()
    sys.stdin.readline()
