"""A chat over TCP: what one client types, all others see. Start it, then chat_client.py as often as you like.

python examples/chat_server.py [PORT]
"""

import socket
import sys

from greencoro import AsyncSocket, Channel, Coro


def speak(connection, coro=None):
    """Pass on to one client what the channel brings, except its own lines."""
    while True:
        sender, line = coro.receive()
        if sender is not coro:
            connection.send_msg(line)


def listen(connection, room):
    """Pass on to the channel what one client types, until it leaves."""
    speaker = Coro(speak, connection)
    speaker.set_daemon()
    with connection:
        name = connection.recv_msg()
        room.subscribe(speaker)
        try:
            while line := connection.recv_msg():
                room.send((speaker, name + b": " + line))
        except OSError as error:
            print(name.decode(), "was cut off:", error)
        finally:
            room.unsubscribe(speaker)
            speaker.terminate()
            room.send((speaker, name + b" left"))


def server(listener, room):
    while True:
        connection, _ = listener.accept()
        Coro(listen, connection, room).set_daemon()


port = int(sys.argv[1]) if len(sys.argv) > 1 else 8010
listener = AsyncSocket(socket.create_server(("127.0.0.1", port)))
host, port = listener.getsockname()
print(f"chat at {host}:{port}", flush=True)
Coro(server, listener, Channel("room")).finish()
