"""Adds up what clients send, for those who have its secret; run with a UDP port, ended when it is told "end".

Prints:

    serving
    delivered 7
    total 10
"""

import sys

import asyncoro.disasyncoro as asyncoro


def receiver(coro=None):
    coro.register("adder")
    print("serving")
    sys.stdout.flush()
    total = 0
    while True:
        msg = yield coro.receive()
        if msg == "end":
            break
        n, sure = msg
        if sure:
            print("delivered %s" % n)
        total += n
    print("total %s" % total)


if __name__ == "__main__":
    asyncoro.AsynCoro(node="127.0.0.1", udp_port=int(sys.argv[1]), name="remote_coro_server", secret="test")
    asyncoro.Coro(receiver).value()
