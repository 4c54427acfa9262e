"""Starts coroutines in the process of rci_server.py, and hears how they end.

python examples/rci_client.py [HOST:PORT]
"""

import sys

from greencoro import RCI, Coro, Runtime


def find(name):
    rci = RCI.locate(name, timeout=10)
    if rci is None:
        sys.exit(f"no function {name!r} at {location}; does rci_server.py run?")
    return rci


def client(average, count, coro=None):
    print("the average is", average([1, 2, 6]).value(10))

    counter = count()  # a coroutine of the other process
    if coro.monitor(counter) == 0:
        for number in (1, 2, 3, None):
            counter.send(number)
        notice = coro.receive()  # it comes, also where the other process is lost
        print(notice.coro.name, notice.kind, notice.value)

    failing = average([])
    try:
        failing.value(10)
    except ZeroDivisionError as error:
        print("no average:", error)


location = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:51349"
Runtime(node="127.0.0.1", peers=[location])
Coro(client, find("average"), find("counter")).finish()
