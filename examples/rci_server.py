"""Lets other processes start coroutines here; rci_client.py does.

python examples/rci_server.py [PORT]
"""

import sys

from greencoro import RCI, Coro, Runtime


def average(numbers):
    return sum(numbers) / len(numbers)


def counter(coro=None):
    """Adds up what it is sent, until it is sent None."""
    return sum(iter(coro.receive, None))


def wait_for_ever(coro=None):
    coro.receive()


port = int(sys.argv[1]) if len(sys.argv) > 1 else 51349
runtime = Runtime(node="127.0.0.1", tcp_port=port)
for function in (average, counter):
    RCI(function).register()  # by the function's name others find it
print("average and counter may be started at", runtime.location, flush=True)
Coro(wait_for_ever).finish()
