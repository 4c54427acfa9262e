"""Serves squares to coroutines of other processes; square_client.py asks it.

python square_server.py [PORT]
"""

import sys

from greencoro import Coro, Runtime


def square_server(coro=None):
    coro.register("squares")  # by this name others find it
    while True:
        client, number = coro.receive()
        client.send(number * number)


port = int(sys.argv[1]) if len(sys.argv) > 1 else 51347
runtime = Runtime(node="127.0.0.1", tcp_port=port)
Coro(square_server)
print("squares are served at", runtime.location, flush=True)
# The program goes on until Ctrl-C, because it waits for its coroutine.
