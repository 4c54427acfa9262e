"""A scheduler of one's own, made of status messages: the largest task first, and tasks of lost servers once more.

    greencoro node -c 2 &
    python examples/cluster_own_scheduler.py [NODE ...]

prints

    0: nothing is below 0
    10: 4
    1000: 168
    30000: 3245
    50000: 5133
"""

import sys

from greencoro import (
    Computation,
    Coro,
    DeadlineExceeded,
    MonitorException,
    NoMatchingServer,
    Scheduler,
    ServerDied,
    Status,
)


def primes_below(limit):
    if limit == 0:
        raise ValueError("nothing is below 0")
    return sum(all(number % divisor for divisor in range(2, int(number**0.5) + 1)) for number in range(2, limit))


def run_all(limits, computation, coro=None):
    tasks = sorted(limits)  # taken from the end
    idle, running, results = [], {}, {}
    computation.status_coro = coro
    with computation:
        computation.wait_for_servers(1)
        while tasks or running:
            message = coro.receive()
            if isinstance(message, MonitorException):  # a job is over
                server, limit = running.pop(message.coro)
                if message.kind == "lost":
                    tasks.append(limit)
                else:
                    results[limit] = message.value if message.error is None else message.error
                    idle.append(server)
            elif isinstance(message, Status) and message.status == Status.ServerInitialized:
                idle.append(message.info)
            elif isinstance(message, Status) and message.info in idle:  # of a server that is gone
                idle.remove(message.info)
            while tasks and idle:
                limit, server = tasks.pop(), idle.pop()
                try:
                    running[computation.run_at(server, primes_below, limit)] = server, limit
                except (NoMatchingServer, ServerDied, DeadlineExceeded):  # that server is gone, or does not answer
                    tasks.append(limit)
    return results


with Scheduler(nodes=sys.argv[1:]):
    results = Coro(run_all, [10, 50_000, 0, 1000, 30_000], Computation([primes_below])).finish()
    for limit in sorted(results):
        print(f"{limit}: {results[limit]}")
