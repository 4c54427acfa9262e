"""Has every server read a file into its memory once, for the jobs that come after.

    greencoro node -c 2 &
    python examples/cluster_memory.py [NODE ...]

prints

    Oslo 717710
    Rome 2746984
    Atlantis KeyError('Atlantis')
    Paris 2102650
    look-ups: 4
"""

import sys
import tempfile
from pathlib import Path

from greencoro import Computation, RemoteCoroScheduler, Scheduler, Status, runtime

CITIES = "Oslo 717710\nParis 2102650\nRome 2746984\n"

# At every server these are that server's own.
inhabitants = {}
look_ups = 0


def load(name):
    for line in Path(name).read_text().splitlines():
        city, number = line.split()
        inhabitants[city] = int(number)


def look_up(city):
    global look_ups
    look_ups += 1
    return inhabitants[city]


def count_look_ups():
    return look_ups


# These two run here, once for each server.


def set_up(server):
    if runtime().send_file(server, file) < 0:
        return 1  # not 0: that server is not used
    jobs.execute_at(server, load, file.name)
    return 0


def clean_up(status, server):
    if status == Status.ServerInitialized:  # it is there still, and may run jobs
        counts.append(jobs.execute_at(server, count_look_ups))


counts = []
with tempfile.TemporaryDirectory() as directory, Scheduler(nodes=sys.argv[1:]):
    file = Path(directory) / "cities"
    file.write_text(CITIES)
    with Computation([load, look_up, count_look_ups]) as computation:
        jobs = RemoteCoroScheduler(computation, proc_available=set_up, proc_close=clean_up)
        cities = ["Oslo", "Rome", "Atlantis", "Paris"]
        for city, result in zip(cities, jobs.map_results(look_up, cities), strict=True):
            print(city, repr(result))
        jobs.finish(close=True)
print("look-ups:", sum(counts))
