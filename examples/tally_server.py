"""Keeps a tally for those who know its secret, whoever else is on the network; tally_client.py adds to it.

python examples/tally_server.py [PORT]
"""

import sys

from greencoro import Coro, Runtime


def tally(coro=None):
    coro.register("tally")
    total = 0
    while True:
        amount, reply_to = coro.receive()
        total += amount
        if reply_to is not None:
            reply_to.send(total)


port = int(sys.argv[1]) if len(sys.argv) > 1 else 51352
# Only who gives the same text gets in. Other programs of this user, which share a secret that lies in a file, do not.
runtime = Runtime(node="127.0.0.1", tcp_port=port, secret="four quiet harbours")
Coro(tally)
print("the tally is kept at", runtime.location, flush=True)
# The program goes on until Ctrl-C, because it waits for its coroutine.
