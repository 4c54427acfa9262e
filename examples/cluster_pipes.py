"""Feeds a program that runs at a server, and reads what it writes, line by line.

    greencoro node -c 1 &
    python examples/cluster_pipes.py [NODE ...]

prints

    1 the first line
    2 the second line
    the program ended with exit code 0
"""

import subprocess
import sys
from pathlib import Path

from greencoro import AsyncPipe, Computation, Coro, MonitorException, Popen, Scheduler

PROGRAM = Path(__file__).parent / "number_lines.py"


def forward(pipe, client):
    """A coroutine at the server, beside the job: what the program writes goes to the client."""
    for line in pipe:
        client.send(line.decode())


def run_program(name, client, coro=None):
    """The job: what the client sends is the program's input. As a component the program is in the job's directory."""
    program = Popen([sys.executable, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with AsyncPipe(program) as pipe:
        forwarding = Coro(forward, pipe, client)
        while (line := coro.receive()) is not None:
            pipe.write(line.encode(), full=True)
        pipe.stdin.close()
        forwarding.finish()
    return program.wait()


def client(computation, coro=None):
    job = computation.run(run_program, PROGRAM.name, coro)
    if coro.monitor(job) == 0:  # its end will be a message too
        for line in ("the first line\n", "the second line\n", None):
            job.send(line)
        while not isinstance(message := coro.receive(), MonitorException):
            print(message, end="")
    print("the program ended with exit code", job.value())


with Scheduler(nodes=sys.argv[1:]), Computation([run_program, str(PROGRAM)]) as computation:
    Coro(client, computation).finish()
