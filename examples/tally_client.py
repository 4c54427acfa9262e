"""Adds to the tally of tally_server.py, with which it shares a secret of their own.

python examples/tally_client.py [HOST:PORT]
"""

import sys

from greencoro import Coro, Runtime


def add(tally, amounts, coro=None):
    for amount in amounts:
        if tally.deliver((amount, None), timeout=10) != 1:
            print(amount, "may not have been added")
    tally.send((0, coro))
    print("the tally is", coro.receive(timeout=10))


location = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:51352"
Runtime(node="127.0.0.1", peers=[location], secret="four quiet harbours")
tally = Coro.locate("tally", timeout=10)
if tally is None:
    sys.exit(f"no tally at {location}; does tally_server.py run, with the same secret?")
Coro(add, tally, [1, 2, 3]).finish()
