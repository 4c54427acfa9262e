"""A whole program: two workers, one job, its result."""

from distributed import Client, LocalCluster


def square(number):
    return number * number


if __name__ == "__main__":
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster) as client,
    ):
        print("result", client.submit(square, 7).result(), flush=True)
