"""How long a node's lease lasts: pulses, broken connections, pauses, idleness, what whoever runs the node wants."""

import os
import signal
import time

import psutil
import pytest

from greencoro.compute.node_report import NodeReport
from greencoro.compute.node_words import (
    Command,
    LeaseEnded,
    Operate,
    Refusal,
    ReserveAnswer,
    ServerDied,
    ServerStarted,
    lease_token,
)
from greencoro.errors import DeadlineExceeded, NetworkError, RemoteProtocolError
from tests.cluster.holder import Holder
from tests.support.polling import poll_until
from tests.support.stopping import stop

pytestmark = pytest.mark.cluster

GRANTED = ReserveAnswer()
TOKEN, OTHER = lease_token(bytes(16), 1), lease_token(bytes(16), 2)
#: Short enough for a test, long enough for a busy machine.
INTERVAL = 1.0
OFTEN = ("-c", "1", "--min_pulse_interval", "0.1")


@pytest.fixture
def holders():
    made = []

    def make(location):
        made.append(Holder(location))
        return made[-1]

    yield make
    for holder in made:
        holder.runtime.finish()


def runs(started):
    return psutil.pid_exists(started.pid)


def is_free(holder, token=OTHER):
    return holder.reserve(token, 2) == GRANTED


def test_a_pulse_is_answered_with_what_is_free(programs, holders):
    _, location = programs.node(*OFTEN)
    holder = holders(location)
    holder.reserve(TOKEN, pulse_interval=INTERVAL)
    free = holder.pulse(TOKEN).free
    assert 0 <= free.cpu <= 100
    assert 0 < free.memory <= psutil.virtual_memory().total
    assert free.disk > 0
    assert not holder.pulse(OTHER).is_held


def test_a_pulse_interval_that_the_node_does_not_take_is_refused(programs, holders):
    _, location = programs.node("-c", "1", "--max_pulse_interval", "20")
    holder = holders(location)
    for interval in (9, 21):
        refused = holder.reserve(TOKEN, pulse_interval=interval)
        assert refused.refusal is Refusal.PULSES
        assert "from 10 s to 20 s" in refused.reason
    assert holder.reserve(TOKEN, pulse_interval=10) == GRANTED


def test_twenty_resets_end_nothing(programs, holders):
    _, location = programs.node(*OFTEN)
    holder = holders(location)
    holder.reserve(TOKEN, pulse_interval=2 * INTERVAL)
    started = holder.hears(ServerStarted)
    for _ in range(20):
        holder.cut()
        poll_until(lambda: (pulsed := holder.keeps_pulsing(TOKEN)) and pulsed.is_held, 20)
    assert runs(started)
    assert {word.pid for word in holder.told if isinstance(word, ServerStarted)} == {started.pid}
    assert not [word for word in holder.told if isinstance(word, LeaseEnded | ServerDied)]
    holder.release(TOKEN)
    assert not runs(started)


def test_what_happened_while_the_connection_was_broken_is_told_afterwards(programs, holders):
    _, location = programs.node(*OFTEN)
    holder = holders(location)
    holder.reserve(TOKEN, pulse_interval=2 * INTERVAL)
    started = holder.hears(ServerStarted)
    holder.cut()
    os.kill(started.pid, signal.SIGKILL)
    poll_until(lambda: (pulsed := holder.keeps_pulsing(TOKEN)) and pulsed.is_held, 20)
    assert holder.hears(ServerDied).incarnation == started.incarnation
    poll_until(lambda: holder.told[-1].incarnation != started.incarnation, 20)


def test_a_holder_that_is_silent_for_five_pulses_loses_its_lease(programs, holders):
    _, location = programs.node(*OFTEN)
    holder = holders(location)
    poll_until(lambda: holder.facts().ready == 1, 20)  # else the lease may be over before the server is there
    holder.reserve(TOKEN, pulse_interval=0.2)
    started = holder.hears(ServerStarted)
    began = time.monotonic()
    assert "heard nothing of the computation for 1 s" in holder.hears(LeaseEnded).reason
    assert time.monotonic() - began < 5.0
    poll_until(lambda: not runs(started), 20)
    assert not holder.pulse(TOKEN).is_held
    assert holder.reserve(TOKEN).refusal is Refusal.EXPIRED
    poll_until(lambda: is_free(holder), 20)


def test_J9_a_holder_that_was_paused_for_too_long_hears_that_its_lease_is_over(programs, holders):
    _, location = programs.node(*OFTEN)
    paused = programs.script(
        f"""
        import time
        from tests.cluster.holder import Holder
        holder = Holder({location!r})
        assert holder.reserve({TOKEN!r}, pulse_interval=0.4).refusal is None
        print("held", flush=True)
        while (pulsed := holder.keeps_pulsing({TOKEN!r})) is None or pulsed.is_held:
            time.sleep(0.1)
        print(holder.reserve({TOKEN!r}).refusal.value, flush=True)
        holder.runtime.finish()
        """
    )
    assert paused.line() == "held"
    other = holders(location)
    assert other.reserve(OTHER).refusal is Refusal.BUSY
    stop(paused.pid)
    try:
        poll_until(lambda: is_free(other), 20)
    finally:
        os.kill(paused.pid, signal.SIGCONT)
    # Late requests change nothing.
    assert paused.line() == "expired"
    assert other.facts().in_use_by == "a test"


def test_J9_a_daemon_that_was_stopped_ends_no_lease_for_that(programs, holders):
    daemon, location = programs.node(*OFTEN)
    holder = holders(location)
    holder.reserve(TOKEN, pulse_interval=0.3)
    started = holder.hears(ServerStarted)
    stop(daemon.pid)
    try:
        for _ in range(6):
            with pytest.raises((DeadlineExceeded, NetworkError)):
                holder.pulse(TOKEN, timeout=0.3)
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    poll_until(lambda: (pulsed := holder.keeps_pulsing(TOKEN)) and pulsed.is_held, 20)
    assert runs(started)
    assert not [word for word in holder.told if isinstance(word, LeaseEnded)]


def test_J5_a_lease_without_a_job_ends_after_the_zombie_period_of_the_node(programs, holders):
    _, location = programs.node("-c", "1", "--zombie_period", "1")
    holder = holders(location)
    holder.reserve(TOKEN, zombie_period=500.0)
    assert "no job ran for 1 s" in holder.hears(LeaseEnded).reason
    poll_until(lambda: is_free(holder), 20)


def test_J5_a_lease_without_a_job_ends_after_the_zombie_period_of_its_holder(programs, holders):
    _, location = programs.node("-c", "1", "--zombie_period", "500")
    holder = holders(location)
    holder.reserve(TOKEN, zombie_period=0.5)
    assert "no job ran for 0.5 s" in holder.hears(LeaseEnded).reason


CLIENT = """
    from pathlib import Path
    from greencoro import Computation, Scheduler

    def wait(name):
        import time
        while not Path(name).exists():
            time.sleep(0.05)
        return "waited"

    with Scheduler(nodes=[{location!r}]), Computation(timeout=20) as computation:
        job = computation.run(wait, {name!r})
        print("submitted", flush=True)
        print(job.value(60), flush=True)
"""


def test_J6_a_job_that_runs_is_not_idle(programs, holders, tmp_path):
    """Also where it computes, and its server's hub does not turn."""
    _, location = programs.node("-c", "1", "--zombie_period", "1")
    go = tmp_path / "go"
    client = programs.script(CLIENT.format(location=location, name=str(go)))
    assert client.line() == "submitted"
    watcher = holders(location)
    poll_until(lambda: report(watcher).in_use_by is not None, 20)
    began = time.monotonic()
    while time.monotonic() - began < 2.5:  # of the zombie period
        assert report(watcher).in_use_by is not None
    go.touch()
    assert client.line() == "waited"


def report(holder):
    return NodeReport.from_header(holder.ask(Operate(Command.STATUS)))


def test_the_status_is_told_as_data(programs, holders):
    _, location = programs.node("-c", "1", "-n", "green")
    holder = holders(location)
    assert report(holder).in_use_by is None
    holder.reserve(TOKEN)
    started = holder.hears(ServerStarted)
    found = report(holder)
    assert (found.name, found.phase, found.in_use_by) == ("green", "in service", "a test")
    [server] = found.servers
    assert (server.name, server.pid, server.is_leased, server.jobs) == ("green-1", started.pid, True, 0)
    assert str(server.location) == str(started.location)


def test_whoever_runs_the_node_can_have_it_released(programs, holders):
    _, location = programs.node("-c", "1")
    holder, operator = holders(location), holders(location)
    holder.reserve(TOKEN)
    started = holder.hears(ServerStarted)
    operator.ask(Operate(Command.RELEASE))
    assert holder.hears(LeaseEnded).reason == "was closed by whoever runs its node"
    poll_until(lambda: not runs(started), 20)
    poll_until(lambda: is_free(operator), 20)


def test_what_nobody_can_want_of_a_node_is_refused(programs, holders):
    _, location = programs.node("-c", "1")
    holder = holders(location)
    holder.reserve(TOKEN)
    for header in ({}, {"command": "burn"}, {"command": 1}):
        with pytest.raises(RemoteProtocolError):
            holder.runtime.request(holder.node, Operate.operation, header, timeout=20)
    assert report(holder).in_use_by == "a test"


def test_J10_a_node_that_serves_one_computation_ends_after_it(programs, holders):
    daemon, location = programs.node("-c", "1", "--serve", "1")
    holder = holders(location)
    holder.reserve(TOKEN)
    holder.hears(ServerStarted)
    holder.release(TOKEN)
    assert daemon.wait() == 0
    daemon.all_gone_within(10)
