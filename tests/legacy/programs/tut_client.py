"""Ten coroutines that look for tut_server.py at the same time, before any peer is known.

Prints:

    [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
"""

import asyncoro.disasyncoro as asyncoro


def client_proc(n, coro=None):
    server = yield asyncoro.Coro.locate("server_coro")
    server.send({"client": coro, "n": n})
    answer = yield coro.receive()
    raise StopIteration(answer)


if __name__ == "__main__":
    coros = [asyncoro.Coro(client_proc, n) for n in range(10)]
    print([coro.value() for coro in coros])
