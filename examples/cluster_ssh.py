"""Jobs at a machine of which nothing but ssh can be reached. There:

    greencoro node -i 127.0.0.1 -c 2 --tcp_ports 51347-51348

and here, where the secret is the same one:

    ssh -N -L 51347:127.0.0.1:51347 -L 51348:127.0.0.1:51348 USER@MACHINE &
    python examples/cluster_ssh.py

prints

    servers: 127.0.0.1:51347 127.0.0.1:51348
    the square of 7 is 49
    the square of 8 is 64
    squares: 2
"""

import sys

from greencoro import Computation, Coro, DeadlineExceeded, MonitorException, Scheduler


def square(client, coro=None):
    """The job: its answers come back over the connection that was opened from here."""
    count = 0
    while (number := coro.receive()) is not None:
        client.send(f"the square of {number} is {number * number}")
        count += 1
    return count


def client(computation, coro=None):
    job = computation.run(square, coro)
    if coro.monitor(job) == 0:  # its end will be a message too, also where the connection breaks
        for number in (7, 8, None):
            job.send(number)
        while not isinstance(message := coro.receive(), MonitorException):
            print(message)
    print("squares:", job.value())


# Forwarded ports have the numbers that they have there, for those are the servers' addresses.
with Scheduler(nodes=sys.argv[1:] or ["127.0.0.1:51347"], node="127.0.0.1"), Computation([square]) as computation:
    try:
        computation.wait_for_servers(2)
    except DeadlineExceeded as error:
        sys.exit(f"do ssh and the node run? {error}")
    print("servers:", *sorted(map(str, computation.servers())))
    Coro(client, computation).finish()
