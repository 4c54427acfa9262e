"""Runs functions of rci_monitor_server.py and hears how they ended.

Prints:

    4: 2 at rci_server
    5: ValueError 5 is odd
    6: 3 at rci_server
    7: ValueError 7 is odd
    counted 15 20
    counter is over: True
    bad arguments: refused
    no such function: None
"""

import sys

import asyncoro.disasyncoro as asyncoro


def client_proc(coro=None):
    halve = yield asyncoro.RCI.locate("halve", timeout=10)
    numbers, lines = {}, []
    for n in range(4, 8):
        rcoro = yield halve(n)
        if not isinstance(rcoro, asyncoro.Coro):
            raise Exception("no coroutine: %s" % rcoro)
        numbers[rcoro] = n
        status = yield coro.monitor(rcoro)
        if status != 0:
            raise Exception("could not monitor %s" % rcoro)
    while numbers:
        msg = yield coro.receive()
        if not isinstance(msg, asyncoro.MonitorException):
            continue
        n = numbers.pop(msg.args[0])
        status, value = msg.args[1]
        if status == StopIteration:
            lines.append("%s: %s at %s" % ((n,) + value))
        else:
            lines.append("%s: %s %s" % (n, status.__name__, value.args[0]))
    for line in sorted(lines):
        print(line)
    rci = yield asyncoro.RCI.locate("counter", halve.location)
    rcoro = yield rci(10, step=5)
    yield coro.monitor(rcoro)
    counts = []
    for i in range(2):
        rcoro.send(coro)
        count = yield coro.receive()
        counts.append(str(count))
    print("counted %s" % " ".join(counts))
    rcoro.terminate()
    msg = yield coro.receive()
    print("counter is over: %s" % (msg.args[0] == rcoro and msg.args[1][0] == StopIteration))
    try:
        yield rci()
    except Exception:
        print("bad arguments: refused")
    rci = yield asyncoro.RCI.locate("no_such_function", halve.location, timeout=0.5)
    print("no such function: %s" % rci)


if __name__ == "__main__":
    asyncoro.AsynCoro(node="127.0.0.1", udp_port=int(sys.argv[1]))
    asyncoro.Coro(client_proc).value()
