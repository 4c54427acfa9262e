"""Follows a computation by its messages: nodes and servers that come and go, jobs that begin and end.

    greencoro node -c 2 &
    python examples/cluster_status.py [NODE ...]

prints, with what happens at the same time in another order,

    ComputationScheduled
    NodeDiscovered
    ServerDiscovered
    ServerDiscovered
    NodeInitialized
    ServerInitialized
    ServerInitialized
    CoroCreated (1001,)
    factors finished [7, 11, 13]
    CoroCreated (1024,)
    factors finished [2, 2, 2, 2, 2, 2, 2, 2, 2, 2]
    CoroCreated (0,)
    CoroCreated (1009,)
    factors finished [1009]
    factors exception 0 has no factors
    ServerClosed
    ServerClosed
    NodeClosed
    ComputationClosed
"""

import sys

from greencoro import Computation, Coro, MonitorException, RemoteCoroScheduler, Scheduler, Status


def factors(number):
    if number == 0:
        raise ValueError("0 has no factors")
    found, divisor = [], 2
    while number > 1:
        while number % divisor == 0:
            found.append(divisor)
            number //= divisor
        divisor += 1
    return found


def follow(coro=None):
    while True:
        message = coro.receive()
        if isinstance(message, MonitorException):  # a job is over
            print(message.coro.name, message.kind, message.value if message.error is None else message.error)
        elif isinstance(message, Status) and message.status == Status.CoroCreated:
            print(message.name, message.info.args)
        elif isinstance(message, Status):
            print(message.name)
            if message.status == Status.ComputationClosed:
                return


follower = Coro(follow)
with Scheduler(nodes=sys.argv[1:]), Computation([factors], status_coro=follower) as computation:
    computation.wait_for_servers(2)
    jobs = RemoteCoroScheduler(computation)
    for number in (1001, 1024, 0, 1009):
        jobs.schedule(factors, number)  # waits for a server without a job
    jobs.finish()
follower.value()
