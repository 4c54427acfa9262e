"""A whole program: two servers, one job, its result."""

from greencoro import Computation, LocalCluster


def square(number: int) -> int:
    return number * number


with LocalCluster(servers=2), Computation([square]) as computation:
    print("result", computation.run(square, 7).value(), flush=True)
