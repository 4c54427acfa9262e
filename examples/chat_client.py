"""A client of chat_server.py: lines of standard input go to the others, theirs are printed.

python examples/chat_client.py HOST:PORT NAME
"""

import socket
import sys

from greencoro import AsyncSocket, Coro


def show(connection):
    while line := connection.recv_msg():
        print(line.decode(), flush=True)


host, _, port = sys.argv[1].partition(":")
with AsyncSocket(socket.create_connection((host, int(port)))) as connection:
    connection.send_msg(sys.argv[2].encode())
    reader = Coro(show, connection)
    # The main thread waits in input, and the coroutine shows what comes meanwhile.
    for line in sys.stdin:
        if line.strip():
            connection.send_msg(line.strip().encode())
    connection.shutdown(socket.SHUT_WR)  # the server sees the end, and closes
    reader.finish(timeout=10)
