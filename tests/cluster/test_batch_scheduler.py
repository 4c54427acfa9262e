"""The batch scheduler as a program of its own, with a node daemon, and clients in processes of their own."""

import json
import os
import re
import signal
import time

import psutil
import pytest

import greencoro.compute
from greencoro import (
    Computation,
    ComputationClosed,
    Coro,
    Executor,
    Job,
    Location,
    NodeFilter,
    NoMatchingServer,
    Runtime,
    ServerDied,
    Settings,
)
from greencoro.compute import client_words as words
from greencoro.errors import ComputeError, GreencoroError
from greencoro.hub.completion import Completion
from tests.support.polling import poll_until
from tests.support.ports import free_port
from tests.support.stopping import stop

pytestmark = pytest.mark.cluster

#: Of computations, where a test waits for five of them.
PULSE = 0.5


def add(x, y):
    return x + y


def process_id():
    return os.getpid()


def hold():
    time.sleep(1000)


class Batch:
    """A scheduler, and a node that it uses."""

    def __init__(self, programs, *options, port=0):
        self.programs = programs
        self.node, self.node_location = programs.node("-c", "1", "--min_pulse_interval", "0.1")
        self.scheduler = self.location = None
        self.start(*options, port=port)

    def start(self, *options, port=0, name="batch"):
        command = ["-m", "greencoro", "scheduler", "-i", "127.0.0.1", "-t", str(port), "-n", name]
        self.scheduler = self.programs.start(*command, "--node", self.node_location, *options)
        text = self.scheduler.line().split(" at ")[1].split(": ")[0]
        self.location = Location.parse(text)

    def client(self, number, then=""):
        """A client that says when it has its turn, and goes on when its standard input ends."""
        script = f"""
        import sys
        from greencoro import Computation, Location, Runtime, compute
        Runtime("127.0.0.1", discover_peers=False, name="client-{number}", announce=False)
        computation = Computation(pulse_interval=20)
        print("begins", flush=True)
        computation.schedule(Location.parse("{self.location}"))
        print("turn", flush=True)
        sys.stdin.read()
        {then}
        computation.close()
        print("closed", flush=True)
        """
        read, self.write = os.pipe()
        path = self.programs.directory / f"client-{number}.py"
        path.write_text("\n".join(line.removeprefix(" " * 8) for line in script.splitlines()))
        program = self.programs.start(str(path), stdin=read)
        os.close(read)
        program.go_on = lambda descriptor=self.write: os.close(descriptor)
        assert program.line() == "begins"
        return program


@pytest.fixture
def runtime():
    with Runtime(node="127.0.0.1", discover_peers=False, announce=False, settings=Settings.from_env()) as runtime:
        yield runtime


@pytest.fixture
def batch(programs):
    return Batch(programs)


@pytest.fixture
def short_pulses(monkeypatch):
    monkeypatch.setattr(greencoro.compute, "MinPulseInterval", PULSE)


def rows(runtime, batch):
    """The computations that the scheduler has, in the order of their turns."""
    answer = runtime.request(batch.location, words.AskStatus.operation, words.AskStatus().to_header(), timeout=20)
    return words.SchedulerStatus.from_header(answer.header).report["computations"]


def queue(runtime, batch):
    return [(row["name"], row["position"]) for row in rows(runtime, batch)]


def fate(job):
    """What a job came to."""
    try:
        return job.value(30)
    except GreencoroError as error:
        return error


def test_jobs_of_a_client_run_at_the_nodes_of_the_scheduler(batch, runtime):
    computation = Computation()
    assert computation.schedule(batch.location) == 0
    assert computation.run(add, 1000, 1).value(20) == 1001
    assert len(computation.servers()) == 1
    assert len(rows(runtime, batch)) == 1
    computation.close()
    poll_until(lambda: not rows(runtime, batch))


def test_scheduler_is_found_by_its_name(programs):
    port = free_port()
    _, location = programs.node("-c", "1")
    command = ["-m", "greencoro", "scheduler", "-i", "127.0.0.1", "-u", str(port), "--node", location]
    programs.start(*command).line()
    with Runtime("127.0.0.1", port, announce=False, settings=Settings.from_env()), Computation() as computation:
        assert computation.run(add, 1000, 1).value(20) == 1001


def test_an_executor_runs_its_calls_at_the_nodes_of_the_scheduler(batch, runtime):
    with Executor(batch.location, retries=1) as executor:
        assert executor.submit(add, 1000, 1).result(20) == 1001
        assert list(executor.map(add, range(100), range(100))) == list(range(0, 200, 2))
        # A server that dies is started anew there, too.
        killed = executor.submit(Job(os._exit, retries=0), 3)
        assert "exit code 3" in str(killed.exception(20))
        assert executor.submit(process_id).result(20) != os.getpid()
        assert len(rows(runtime, batch)) == 1
    poll_until(lambda: not rows(runtime, batch))


def test_J5_next_computation_has_fresh_servers(batch, runtime):
    processes = []
    for _ in range(2):
        computation = Computation()
        computation.schedule(batch.location)
        processes.append(computation.run(process_id).value(20))
        computation.close()
        poll_until(lambda: not psutil.pid_exists(processes[-1]))
    assert len(set(processes)) == 2


@pytest.mark.timeout(120)
def test_J8_turns_come_in_the_order_submitted_and_a_client_that_dies_is_skipped(batch, runtime):
    clients = []
    for number in range(5):
        clients.append(batch.client(number))
        poll_until(lambda number=number: len(rows(runtime, batch)) == number + 1)
    assert queue(runtime, batch) == [("client-0", None), *((f"client-{n}", n - 1) for n in range(1, 5))]
    clients[2].process.kill()
    left = [("client-0", None), ("client-1", 0), ("client-3", 1), ("client-4", 2)]
    poll_until(lambda: queue(runtime, batch) == left)
    for number in (0, 1, 3, 4):
        assert clients[number].line() == "turn"
        # The next one has not: it would be running.
        assert [row["state"] for row in rows(runtime, batch)].count("running") == 1
        clients[number].go_on()
        assert clients[number].line() == "closed"
        clients[number].wait()
    poll_until(lambda: not rows(runtime, batch))


def test_J8_client_that_dies_in_its_turn_gives_way_to_the_next(batch, runtime):
    first = batch.client(1)
    assert first.line() == "turn"
    second = batch.client(2)
    poll_until(lambda: queue(runtime, batch) == [("client-1", None), ("client-2", 0)])
    first.process.kill()
    assert second.line() == "turn"
    poll_until(lambda: queue(runtime, batch) == [("client-2", None)])


def test_queue_is_shown_on_the_command_line(batch, runtime, programs):
    first = batch.client(1)
    assert first.line() == "turn"
    batch.client(2)
    poll_until(lambda: len(rows(runtime, batch)) == 2)
    status = ["-m", "greencoro", "scheduler", "status", str(batch.location), "-i", "127.0.0.1"]
    text = programs.start(*status)
    assert text.wait() == 0
    lines = text.rest().splitlines()
    assert lines[0].startswith("running: client-1 at 127.0.0.1:")
    assert lines[1].startswith("1. in the queue: client-2 at 127.0.0.1:")
    assert re.fullmatch(r"node .*: reserved, .*; free: CPU \d+ %, memory [\d.]+ GiB, disk [\d.]+ GiB", lines[2])
    report = programs.start(*status, "--json")
    assert report.wait() == 0
    told = json.loads(report.rest())
    assert [row["name"] for row in told["computations"]] == ["client-1", "client-2"]
    assert told["nodes"][0]["free"]["memory"] > 0


# What one client may do to another.


def test_S16_another_client_can_neither_close_a_computation_nor_speak_for_it(batch, runtime):
    computation = Computation()
    computation.schedule(batch.location)
    assert computation.run(add, 1, 1).value(20) == 2
    [row] = rows(runtime, batch)
    number = row["computation"]
    server = next(peer for peer in runtime.peer_infos() if peer.role != "scheduler").incarnation.hex()
    token = computation._jobs.client._token
    thief = Runtime(node="127.0.0.1", discover_peers=False, announce=False, settings=Settings.from_env())
    with thief:
        for shown in ("00" * 16, token):  # even the token is no use but to whoever submitted with it
            for word in (words.Close(number), words.Unreachable(number, server, "x"), words.Pulse(number)):
                header = {**word.to_header(), **words.Credential(shown).to_header()}
                with pytest.raises(ComputationClosed, match="no such computation"):
                    thief.request(batch.location, word.operation, header, timeout=20)
        for header in ({"computation": number}, {"computation": number, "token": None}):
            with pytest.raises(GreencoroError):
                thief.request(batch.location, words.Close.operation, header, timeout=20)
        withdraw = words.Withdraw(token)
        thief.request(batch.location, "greencoro.ping", {}, timeout=20)
        thief.post(batch.location, withdraw.operation, withdraw.to_header())
        thief.request(batch.location, words.AskStatus.operation, {}, timeout=20)
    assert queue(runtime, batch) == [(runtime.name, None)]
    assert computation.run(add, 1, 1).value(20) == 2
    computation.close()


def test_S10_requests_that_say_nothing_sensible_are_refused_and_end_nothing(batch, runtime):
    for operation, header in [
        ("scheduler.submit", {}),
        ("scheduler.submit", {"token": "x" * 32, "name": "thief", "pulse_interval": 0, "zombie_period": 0}),
        ("scheduler.submit", {"token": "00" * 16, "name": "thief", "pulse_interval": "often", "zombie_period": 0}),
        ("scheduler.withdraw", {"token": 7}),
        ("scheduler.pulse", {"computation": -1, "token": "00" * 16}),
        ("scheduler.why_no_server", {}),
    ]:
        with pytest.raises(GreencoroError):
            runtime.request(batch.location, operation, header, timeout=20)
    assert rows(runtime, batch) == []


# Ends.


def test_J7_end_of_the_scheduler_is_told_with_its_reason(batch, runtime):
    running, queued = Computation(), Computation()
    running.schedule(batch.location)
    job = running.run(hold)
    raised = Completion()

    def schedule():
        try:
            queued.schedule(batch.location)
        except ComputeError as error:
            raised.set(error)

    waits = Coro(schedule)
    poll_until(lambda: len(rows(runtime, batch)) == 2)
    os.kill(batch.scheduler.pid, signal.SIGTERM)
    assert raised.wait(30)
    waits.value(5)
    assert "the scheduler was ended" in str(raised.value)
    outcome = fate(job)
    assert isinstance(outcome, ComputationClosed | ServerDied)
    # Whichever is told first: what the scheduler says last, or that it is gone.
    assert "the scheduler was ended" in str(outcome) or "its scheduler is lost" in str(outcome)
    assert batch.scheduler.wait() == 0
    with pytest.raises(ComputationClosed):
        running.run(add, 1, 1)


def test_Z1_second_signal_ends_the_scheduler_at_once(batch, runtime):
    computation = Computation()
    computation.schedule(batch.location)
    computation.run(process_id).value(30)
    stop(batch.node.pid)  # so that it never says that its servers have ended
    try:
        began = time.monotonic()
        while batch.scheduler.process.poll() is None and time.monotonic() < began + 8.0:
            os.kill(batch.scheduler.pid, signal.SIGTERM)
            time.sleep(0.05)
        assert batch.scheduler.process.poll() == 0
    finally:
        os.kill(batch.node.pid, signal.SIGCONT)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rounds", [pytest.param(2, marks=pytest.mark.short), pytest.param(20, marks=pytest.mark.slow)])
def test_J7_scheduler_that_is_killed_under_load_and_started_again_at_its_place(programs, runtime, short_pulses, rounds):
    port = free_port()
    batch = Batch(programs, port=port)
    for round in range(rounds):
        if round:
            batch.start(port=port)
        computation = Computation(pulse_interval=PULSE)
        computation.schedule(Location("127.0.0.1", port))
        process = computation.run(process_id).value(30)
        jobs = [computation.run(hold) for _ in range(5)]
        batch.scheduler.process.kill()
        for job in jobs:
            assert isinstance(fate(job), ServerDied)
        with pytest.raises(ComputationClosed, match="was lost"):
            computation.run(add, 1, 1)
        computation.close()
        poll_until(lambda process=process: not psutil.pid_exists(process), 30)
        batch.scheduler.wait()


def test_J7_scheduler_that_is_stopped_is_lost_after_five_pulses(batch, runtime, short_pulses):
    computation = Computation(pulse_interval=PULSE)
    computation.schedule(batch.location)
    job = computation.run(hold)
    stop(batch.scheduler.pid)
    try:
        error = fate(job)
    finally:
        os.kill(batch.scheduler.pid, signal.SIGCONT)
    assert isinstance(error, ServerDied)
    with pytest.raises(ComputationClosed, match="5 pulse intervals"):
        computation.run(add, 1, 1)
    # It goes on with those who are there, and the node is free again.
    after = Computation()
    after.schedule(batch.location)
    assert after.run(add, 1000, 1).value(30) == 1001
    after.close()


@pytest.mark.timeout(120)
def test_J9_client_that_was_stopped_for_five_pulses_finds_its_computation_closed(batch, runtime, programs):
    client = programs.script(
        f"""
        import time
        from greencoro import Computation, ComputationClosed, Location, Runtime, compute
        from greencoro.errors import GreencoroError
        compute.MinPulseInterval = {PULSE}

        def hold():
            time.sleep(1000)

        def add(x, y):
            return x + y

        if __name__ == "__main__":
            Runtime("127.0.0.1", discover_peers=False, announce=False)
            computation = Computation(pulse_interval={PULSE})
            computation.schedule(Location.parse("{batch.location}"))
            job = computation.run(hold)
            print("runs", flush=True)
            try:
                job.value(60)
            except GreencoroError as error:
                print(type(error).__name__, flush=True)
            while True:
                try:
                    computation.run(add, 1, 1)
                except ComputationClosed as error:
                    print(error, flush=True)
                    break
                except GreencoroError:
                    continue
            computation.close()
            print("closed", flush=True)
        """
    )
    assert client.line() == "runs"
    stop(client.pid)
    try:
        # Another one has its turn, and is not disturbed by what the first one says late.
        computation = Computation()
        computation.schedule(batch.location)
        assert computation.run(add, 1000, 1).value(30) == 1001
    finally:
        os.kill(client.pid, signal.SIGCONT)
    # What ended the job may have been told first by its server, or by the scheduler.
    assert client.line() in ("ServerDied", "ComputationClosed")
    assert client.line() == "the computation is closed: nothing was heard of its client for 5 pulse intervals"
    assert client.line() == "closed"
    assert client.wait() == 0
    assert computation.run(add, 1000, 1).value(30) == 1001
    computation.close()


def test_idle_computation_is_closed_after_the_schedulers_zombie_period(programs, runtime):
    batch = Batch(programs, "--zombie_period", "1.5")
    computation = Computation()
    computation.schedule(batch.location)
    assert computation.run(add, 1000, 1).value(30) == 1001
    following = Computation()
    following.schedule(batch.location)  # has its turn, for the first one does nothing
    with pytest.raises(ComputationClosed):
        computation.run(add, 1, 1)
    assert following.run(add, 1000, 1).value(30) == 1001
    following.close()
    computation.close()


def test_an_executor_without_servers_says_why_there_are_none(batch, runtime):
    computation = Computation(timeout=1, node_filters=[NodeFilter(cpus=99)])
    computation.schedule(batch.location)
    with Executor(computation) as executor:
        for _ in range(2):
            error = executor.submit(add, 1, 1).exception(20)
            assert isinstance(error, NoMatchingServer)
            assert "is not used: filter 1: 99 servers wanted, it has 1" in str(error)
    computation.close()
