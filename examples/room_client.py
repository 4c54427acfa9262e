"""Chats in the room of room_server.py: lines of standard input go to the others, theirs are printed.

python examples/room_client.py HOST:PORT NAME
"""

import sys

from greencoro import Channel, Coro, Runtime


def show(coro=None):
    while True:
        sender, line = coro.receive()
        if sender != coro:  # it came back from the other process as a reference to this coroutine
            print(line, flush=True)


location, name = sys.argv[1:]
with Runtime(node="127.0.0.1", peers=[location], secret="seven moody walruses"):
    room = Channel.locate("room", timeout=10)
    if room is None:
        sys.exit(f"no room at {location}")
    reader = Coro(show)
    reader.set_daemon()
    room.subscribe(reader, timeout=10)
    for line in sys.stdin:
        room.send((reader, f"{name}: {line.strip()}"))
    room.deliver((reader, f"{name} left"), timeout=10)
