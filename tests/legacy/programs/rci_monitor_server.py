"""Functions that clients may run here; run with a UDP port, ended by "quit"."""

import sys

import asyncoro.disasyncoro as asyncoro


def halve(n, coro=None):
    yield coro.sleep(0.05)
    if n % 2:
        raise ValueError("%s is odd" % n)
    raise StopIteration((n // 2, scheduler.name))


def counter(begin, step=1, coro=None):
    while True:
        client = yield coro.receive()
        if client is None:
            break
        begin += step
        client.send(begin)


if __name__ == "__main__":
    asyncoro.logger.setLevel(asyncoro.logger.ERROR)
    scheduler = asyncoro.AsynCoro(node="127.0.0.1", udp_port=int(sys.argv[1]), name="rci_server")
    for function in (halve, counter):
        rci = asyncoro.RCI(function)
        if rci.register() != 0:
            raise Exception("could not register %s" % function)
    print("serving")
    sys.stdout.flush()
    while True:
        try:
            if input().strip().lower() in ("quit", "exit"):
                break
        except EOFError:
            break
