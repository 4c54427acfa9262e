"""A room to chat in: a channel, to which each room_client.py subscribes. It has a secret of its own.

python examples/room_server.py [PORT]
"""

import sys

from greencoro import Channel, Coro, Runtime


def wait_for_ever(coro=None):
    coro.receive()


port = int(sys.argv[1]) if len(sys.argv) > 1 else 51351
# Only who has the same secret gets in. Without `secret=` it is one that lies in a file of the user's.
runtime = Runtime(node="127.0.0.1", tcp_port=port, secret="seven moody walruses")
room = Channel("room")
room.register()
print("room at", runtime.location, flush=True)
Coro(wait_for_ever).finish()
