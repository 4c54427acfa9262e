"""Starts coroutines in the process of rci_server.py, and hears how they end.

python examples/rci_client.py [HOST:PORT]
"""

import sys

from greencoro import RCI, Coro, Runtime


def client(coro=None):
    average = RCI.locate("average", timeout=10)
    print("the average is", average([1, 2, 6]).value(10))

    counter = RCI.locate("counter", timeout=10)()  # a coroutine of the other process
    coro.monitor(counter)
    for number in (1, 2, 3, None):
        counter.send(number)
    notice = coro.receive(timeout=10)
    print(notice.coro.name, notice.kind, notice.value)

    failing = average([])
    try:
        failing.value(10)
    except ZeroDivisionError as error:
        print("no average:", error)


location = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:51349"
Runtime(node="127.0.0.1", peers=[location])
Coro(client).finish()
