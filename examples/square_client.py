"""Asks square_server.py, which is another process, for squares.

python square_client.py [HOST:PORT]
"""

import sys

from greencoro import Coro, Runtime


def client(number, coro=None):
    server = Coro.locate("squares", timeout=10)
    if server is None:
        print("nobody serves squares")
        return
    server.send((coro, number))  # `coro` travels as a reference to this coroutine
    print(number, "squared is", coro.receive(timeout=10))


server_location = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:51347"
Runtime(node="127.0.0.1", peers=[server_location])
for number in range(1, 4):
    Coro(client, number).finish()
