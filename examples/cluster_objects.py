"""A coroutine here and one at a server send each other objects of a class.

    greencoro node -c 1 &
    python examples/cluster_objects.py [NODE ...]

prints

    Reading(sensor='roof', celsius=21.5)
    Reading(sensor='cellar', celsius=10.0)
    readings converted: 2
"""

import sys
from dataclasses import dataclass

from greencoro import Computation, Coro, MonitorException, Scheduler


@dataclass
class Reading:
    sensor: str
    celsius: float


@dataclass
class RawReading:
    sensor: str
    fahrenheit: float

    def convert(self):
        return Reading(self.sensor, round((self.fahrenheit - 32) / 1.8, 1))


def converter(client, coro=None):
    """The job: sends back what it makes of each object, until it is sent None."""
    count = 0
    while (raw := coro.receive()) is not None:
        client.send(raw.convert())
        count += 1
    return count


def client(computation, coro=None):
    job = computation.run(converter, coro)
    if coro.monitor(job) == 0:  # its end will be a message too, also where its server dies
        for message in (RawReading("roof", 70.7), RawReading("cellar", 50), None):
            job.send(message)
        while not isinstance(message := coro.receive(), MonitorException):
            print(message)
    print("readings converted:", job.value())  # where the job failed, this raises what it raised


with Scheduler(nodes=sys.argv[1:]), Computation([converter, RawReading, Reading]) as computation:
    Coro(client, computation).finish()
