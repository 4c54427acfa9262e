"""Jobs that compute without ever waiting: messages reach them all the same, and they can be ended.

    greencoro node -c 2 &
    python examples/cluster_never_yields.py [NODE ...]

prints

    the job computes
    delivered while it does: 1
    delivered while it does: 1
    when it looked, it found ['one', 'two']
    the endless job was terminated
"""

import sys
import time

from greencoro import Computation, Coro, CoroTerminated, Scheduler


def compute(client, seconds, coro=None):
    """The job: no other coroutine of its server gets its turn meanwhile."""
    client.send("the job computes")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    return [coro.receive(timeout=0), coro.receive(timeout=0)]


def compute_without_end():
    while True:
        pass


def client(computation, coro=None):
    job = computation.run(compute, coro, 2)
    print(coro.receive(timeout=30))
    for text in ("one", "two"):
        print("delivered while it does:", job.deliver(text, timeout=10))
    print("when it looked, it found", job.value())

    endless = computation.run(compute_without_end)
    endless.terminate()
    try:
        endless.value()
    except CoroTerminated:
        print("the endless job was terminated")


with Scheduler(nodes=sys.argv[1:]), Computation([compute, compute_without_end]) as computation:
    Coro(client, computation).finish()
