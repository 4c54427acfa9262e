"""Jobs that compute, one at a time at each server of a cluster; the results in the order of the inputs.

    greencoro node &
    python examples/cluster_map.py [NODE ...]

The first starts a server for each CPU of the machine; the same on other machines adds theirs. NODE, such as 10.0.0.5 or
10.0.0.5:6000, names a node of another network. The client prints

    below 10 there are 4 primes
    below 1000 there are 168 primes
    below 100000 there are 9592 primes
    below -1 failed: nothing is below -1
    below 20000 there are 2262 primes
"""

import sys

from greencoro import Computation, NoMatchingServer, RemoteCoroScheduler, Scheduler


def primes_below(limit):
    if limit < 0:
        raise ValueError(f"nothing is below {limit}")
    return sum(all(number % divisor for divisor in range(2, int(number**0.5) + 1)) for number in range(2, limit))


limits = [10, 1000, 100_000, -1, 20_000]
with Scheduler(nodes=sys.argv[1:]), Computation([primes_below]) as computation:
    jobs = RemoteCoroScheduler(computation)
    try:
        results = jobs.map_results(primes_below, limits)
    except NoMatchingServer as error:
        sys.exit(f"nobody computes: {error}")
    for limit, result in zip(limits, results, strict=True):
        if isinstance(result, Exception):
            print("below", limit, "failed:", result)
        else:
            print("below", limit, "there are", result, "primes")
