"""Two thousand jobs at four servers of two nodes, of which one is killed every 200 milliseconds (J1, J2, J3).

Each job writes lines of its own; what the client was told is checked against them (`tests.support.job_history`).
"""

import contextlib
import json
import os
import random
import threading
import time

import psutil
import pytest

from greencoro import (
    Computation,
    Coro,
    Job,
    Location,
    MonitorException,
    RemoteCoroScheduler,
    Runtime,
    Scheduler,
    ServerDied,
    Settings,
    Status,
)
from greencoro.hub import native
from tests.support.history import History
from tests.support.job_history import violations_of_jobs
from tests.support.polling import poll_until
from tests.support.process_history import read_histories

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(240)]

JOBS = 2000
KILL_EVERY_SECONDS = 0.2
#: It lasts so long, and until so many of those killed have run jobs. A slot whose servers die young is filled after
#: longer and longer pauses, so there are next to no servers after a while.
STORM_SECONDS = 8.0
HITS = 8
#: Every tenth job raises.
FAILS = 10
#: Longer than the pauses of a node whose servers die young.
TIMEOUT = 40.0
CLIENT = "client"


class Failed(Exception):
    """What a job raises; says which attempt it was."""


def work(directory, number):
    """Says in a file of its process when it begins and ends, and which attempt it was."""
    who = f"{os.getpid()}/{number}"

    def note(ev, **fields):
        event = {"t": time.monotonic(), "who": who, "ev": ev, "id": number, **fields}
        file = os.open(f"{directory}/{os.getpid()}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(file, json.dumps(event).encode() + b"\n")
        os.close(file)

    note("job")
    time.sleep(0.01)
    if number % FAILS == 0:
        note("job over", kind="exception")
        raise Failed(who)
    note("job over", kind="value")
    return number, who


class Killer:
    """Kills one server of these nodes every 200 milliseconds, in a thread of its own.

    Attributes:
        killed (int): How many servers.

        hits (int): How many of these had run jobs.

        seconds (float): How long there were jobs to be run.
    """

    def __init__(self, history, nodes, directory):
        self.killed = self.hits = 0
        self.seconds = 0.0
        self._history = history
        self._nodes = nodes
        self._directory = directory
        self._random = random.Random(5)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._kill, daemon=True)

    def __enter__(self):
        self._began = native.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self.seconds = native.monotonic() - self._began
        self._stop.set()
        self._thread.join()

    def _kill(self):
        end = self._began + STORM_SECONDS
        while not self._stop.wait(KILL_EVERY_SECONDS) and (native.monotonic() < end or self.hits < HITS):
            servers = [server for node in self._nodes for server in node.servers()]
            at_work = [server for server in servers if (self._directory / f"{server.pid}.jsonl").exists()]
            # Mostly those that run jobs, now and then one that starts, waits or is being set up.
            chosen = at_work if self._random.random() < 0.8 else servers
            if chosen:
                server = self._random.choice(chosen)
                # Before it is: what comes later may be a consequence.
                self._history.record(str(server.pid), "killed")
                self.killed += 1
                self.hits += server in at_work
                with contextlib.suppress(psutil.NoSuchProcess):
                    server.kill()


class Storm:
    """A computation whose servers are being killed, with the history of its jobs."""

    def __init__(self, nodes, directory):
        self.history = History()
        self.directory = directory
        self.directory.mkdir()
        self.killer = Killer(self.history, nodes, directory)
        #: What the status coroutine was told.
        self.told = []
        self.listener = Coro(self._listen)
        self.listener.set_daemon()

    def _listen(self, coro=None):
        while True:
            self.told.append(coro.receive())

    def map(self, scheduler, name, numbers, retries=0):
        """Run a job for each number, and record what came of it."""
        for number in numbers:
            self.history.record(CLIENT, "submit", id=number, attempts=retries + 1, map=name)
        arguments = ((str(self.directory), number) for number in numbers)
        results = scheduler.map_results(Job(work, retries=retries), arguments)
        for number, result in zip(numbers, results, strict=True):
            self._outcome(number, result)
        ids = [result[0] if isinstance(result, tuple) else None for result in results]
        self.history.record(CLIENT, "results", map=name, ids=ids)

    def schedule(self, scheduler, numbers):
        """Run the jobs one by one, with a reference to each; for several coroutines at a time."""
        for number in numbers:
            self.history.record(CLIENT, "submit", id=number, attempts=1)
            try:
                result = scheduler.schedule(work, str(self.directory), number).value()
            except (Failed, ServerDied) as error:
                result = error
            self._outcome(number, result)

    def _outcome(self, number, result):
        """What came of a job: its result, or the exception in place of one."""
        kind, of = "lost", None
        if isinstance(result, tuple):
            kind, of = "value", result[1]
        elif isinstance(result, Failed):
            kind, of = "exception", result.args[0]
        elif not isinstance(result, ServerDied):
            kind = repr(result)
        self.history.record(CLIENT, "outcome", id=number, kind=kind, of=of)

    def outcomes_told(self):
        """The outcomes of the jobs that had a reference, as the status coroutine was told them."""
        created = [each.info for each in self.told if isinstance(each, Status) and each.status == Status.CoroCreated]
        number_of = {info.coro: info.args[1] for info in created}
        ends = [each for each in self.told if isinstance(each, MonitorException)]
        return number_of, [(number_of[end.coro], end) for end in ends]

    def check(self, capsys, jobs=JOBS):
        """No promise is broken, and it was a storm."""
        events = [*self.history.events, *read_histories(self.directory.iterdir())]
        kinds = [event["kind"] for event in events if event["ev"] == "outcome"]
        killer, counts = self.killer, ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
        with capsys.disabled():
            print(f"\n{killer.killed} servers killed in {killer.seconds:.1f} s, {killer.hits} had run jobs: {counts}")
        assert violations_of_jobs(events) == []
        assert len(kinds) == jobs
        assert {"value", "exception"} <= set(kinds)
        assert killer.hits >= HITS


@pytest.fixture
def nodes(programs):
    """Two, with two servers each; nothing goes wrong in them beside the deaths of servers."""
    started = [programs.node("-c", "2") for _ in range(2)]
    yield started
    for node, _ in started:
        assert node.process.poll() is None
        assert "Traceback" not in node.errors()


@pytest.fixture
def storm(nodes, tmp_path):
    made = Storm([node for node, _ in nodes], tmp_path / "jobs")
    yield made
    made.listener.terminate()


@pytest.fixture
def private(nodes):
    """A scheduler in this process."""
    with Scheduler(nodes=[location for _, location in nodes], node="127.0.0.1"):
        yield


def test_J1_J3_every_job_of_a_storm_has_one_outcome(private, storm, capsys):
    with Computation(timeout=TIMEOUT) as computation:
        computation.wait_for_servers(4)
        with storm.killer:
            storm.map(RemoteCoroScheduler(computation), "m", range(JOBS))
        # Nothing was lost for good.
        assert computation.run(pow, 2, 5).value(TIMEOUT) == 32
    storm.check(capsys)


def test_J1_the_status_coroutine_is_told_one_end_of_each_job_of_a_storm(private, storm, capsys):
    with Computation(timeout=TIMEOUT, status_coro=storm.listener) as computation:
        computation.wait_for_servers(4)
        scheduler = RemoteCoroScheduler(computation)
        with storm.killer:
            coros = [Coro(storm.schedule, scheduler, range(first, JOBS, 8)) for first in range(8)]
            for coro in coros:
                coro.value(200)
    storm.check(capsys)
    poll_until(lambda: storm.told[-1:] and storm.told[-1].status == Status.ComputationClosed)
    created, ends = storm.outcomes_told()
    assert sorted(number for number, _ in ends) == sorted(created.values())
    came = {event["id"]: event["kind"] for event in storm.history.events if event["ev"] == "outcome"}
    kinds = {"value": "finished", "exception": "exception", "lost": "lost"}
    assert [end for number, end in ends if end.kind != kinds[came[number]]] == []


def test_J2_jobs_with_retries_run_one_after_another_and_have_one_outcome(private, storm, capsys):
    with Computation(timeout=TIMEOUT) as computation:
        computation.wait_for_servers(4)
        with storm.killer:
            storm.map(RemoteCoroScheduler(computation), "m", range(JOBS), retries=3)
    storm.check(capsys)


def test_J1_J2_through_a_batch_scheduler_as_well(nodes, storm, programs, capsys):
    places = [argument for _, location in nodes for argument in ("--node", location)]
    daemon = programs.start("-m", "greencoro", "scheduler", "-i", "127.0.0.1", "-t", "0", *places)
    location = Location.parse(daemon.line().split(" at ")[1].split(": ")[0])
    with Runtime(node="127.0.0.1", discover_peers=False, announce=False, settings=Settings.from_env()):
        computation = Computation(timeout=TIMEOUT)
        computation.schedule(location)
        computation.wait_for_servers(4)
        scheduler = RemoteCoroScheduler(computation)
        with storm.killer:
            coros = [
                Coro(storm.map, scheduler, "once", range(JOBS // 2)),
                Coro(storm.map, scheduler, "again", range(JOBS // 2, JOBS), retries=3),
            ]
            for coro in coros:
                coro.value(200)
        computation.close()
    storm.check(capsys)
    assert daemon.process.poll() is None
    assert "Traceback" not in daemon.errors()
