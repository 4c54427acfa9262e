"""Has a channel that other processes subscribe to and send through; news_client.py does both.

python examples/news_server.py [PORT]
"""

import sys

from greencoro import Channel, Coro, Runtime


def shorten(name, line):
    return f"{name}: {line[:19]}"


def wait_for_ever(coro=None):
    coro.receive()


port = int(sys.argv[1]) if len(sys.argv) > 1 else 51348
runtime = Runtime(node="127.0.0.1", tcp_port=port)
news = Channel("news", transform=shorten)
news.register()  # by this name others find it
print("news at", runtime.location, flush=True)
Coro(wait_for_ever).finish()
