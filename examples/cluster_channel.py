"""Broadcasts arrays through a channel to several jobs, each of which makes something else of them.

    greencoro node -c 2 &
    python examples/cluster_channel.py [NODE ...]

needs numpy on both sides, and prints

    the first array was delivered to 2 jobs
    the largest so far is 1.00
    the largest so far is 1.50
    mean of 4000 readings: 0.03
    arrays with a new largest reading: 2
"""

import sys

import numpy as np

from greencoro import Channel, Computation, Coro, Scheduler


def mean(readings, coro=None):
    """A job: what it finds out is its result."""
    readings.subscribe(coro)
    total = count = 0
    while (array := coro.receive()) is not None:
        total += float(array.sum())
        count += len(array)
    return count, total / count


def largest(readings, client, coro=None):
    """Another job, which also tells the client at once."""
    readings.subscribe(coro)
    so_far, news = float("-inf"), 0
    while (array := coro.receive()) is not None:
        if array.max() > so_far:
            so_far, news = float(array.max()), news + 1
            client.send(f"the largest so far is {so_far:.2f}")
    client.send(None)
    return news


def show(coro=None):
    while (message := coro.receive()) is not None:
        print(message)


def client(computation):
    readings = Channel("readings")
    shown = Coro(show)
    means, peaks = computation.run(mean, readings), computation.run(largest, readings, shown)
    arrays = [np.sin(np.arange(start, start + 1000) / 200) for start in range(0, 4000, 1000)]
    arrays[2][500] = 1.5
    # With n it waits for so many subscribers, and says how many got the message.
    print("the first array was delivered to", readings.deliver(arrays[0], timeout=30, n=2), "jobs")
    for array in [*arrays[1:], None]:
        readings.send(array)
    news = peaks.value()
    shown.finish()
    count, average = means.value()
    print(f"mean of {count} readings: {average:.2f}")
    print("arrays with a new largest reading:", news)


with Scheduler(nodes=sys.argv[1:]), Computation([mean, largest], requirements=["numpy"]) as computation:
    Coro(client, computation).finish()
