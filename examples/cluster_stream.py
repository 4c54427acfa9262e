"""Streams arrays to a job, whose figures come back while the stream goes on.

    greencoro node -c 1 &
    python examples/cluster_stream.py [NODE ...]

needs numpy on both sides, and prints

    after 1000 readings the mean of the last 500 is -0.43
    after 2000 readings the mean of the last 500 is 0.48
    after 3000 readings the mean of the last 500 is 0.70
    after 4000 readings the mean of the last 500 is -0.08
    4000 readings in all
"""

import sys

import numpy as np

from greencoro import Computation, Coro, MonitorException, Scheduler


def analyse(window, client, coro=None):
    """The job: arrays come as messages, until None does."""
    recent = np.empty(0)
    count = 0
    while (readings := coro.receive()) is not None:
        count += len(readings)
        recent = np.concatenate([recent, readings])[-window:]
        client.send(f"after {count} readings the mean of the last {len(recent)} is {recent.mean():.2f}")
    return count


def stream(job):
    """A coroutine here, beside the one that shows what comes back."""
    for start in range(0, 4000, 1000):
        job.send(np.sin(np.arange(start, start + 1000) / 200))
    job.send(None)


def client(computation, coro=None):
    job = computation.run(analyse, 500, coro)
    if coro.monitor(job) == 0:  # its end will be a message too
        Coro(stream, job)
        while not isinstance(message := coro.receive(), MonitorException):
            print(message)
    print(job.value(), "readings in all")


# Nodes without numpy are not used, and it is said so.
with Scheduler(nodes=sys.argv[1:]), Computation([analyse], requirements=["numpy"]) as computation:
    Coro(client, computation).finish()
