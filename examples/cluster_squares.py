"""Jobs on server processes of this machine: plain functions, results in order, a failure in its place."""

import math

from greencoro import Computation, LocalCluster, RemoteCoroScheduler

DIGITS = 3


def root(number):
    return round(math.sqrt(number), DIGITS)


with LocalCluster(servers=2), Computation([root]) as computation:
    # One job, anywhere. What `root` refers to travels with it.
    print("the root of 2 is", computation.run(root, 2).finish())
    # And many, on each server one at a time.
    numbers = [1, 4, -9, 16]
    jobs = RemoteCoroScheduler(computation)
    for number, result in zip(numbers, jobs.map_results(root, numbers), strict=True):
        print(number, repr(result))
