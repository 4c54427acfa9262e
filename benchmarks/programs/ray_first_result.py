"""A whole program: two workers, one job, its result. Its argument: the directory for Ray's own files."""

import sys

import ray


@ray.remote
def square(number):
    return number * number


ray.init(
    address="local",
    num_cpus=2,
    include_dashboard=False,
    log_to_driver=False,
    _node_ip_address="127.0.0.1",
    _temp_dir=sys.argv[1],
)
print("result", ray.get(square.remote(7)), flush=True)
ray.shutdown()
