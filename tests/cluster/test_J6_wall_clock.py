"""Whoever sets the clock on the wall ends no lease with that, nor keeps one (J6)."""

import time
from pathlib import Path

import pytest

from greencoro.compute.node_report import NodeReport
from greencoro.compute.node_words import Command, LeaseEnded, Operate, ServerStarted, lease_token
from tests.cluster.holder import Holder
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster

TOKEN = lease_token(bytes(16), 1)
HOUR = 3600
#: Of the node, in seconds: long enough for a clock to be set in it on a busy machine.
ZOMBIE_PERIOD = 6.0


def faketime():
    """The library that shows a process another clock on the wall; None where it is not installed."""
    places = Path("/usr/lib").glob("*/faketime/libfaketime*.so.1")
    # That for programs with threads, where there is one.
    return max(map(str, places), default=None)


@pytest.fixture
def clock(tmp_path):
    """How far the clock of the node and its servers is off; to be set while they run."""
    if faketime() is None:
        pytest.skip("needs libfaketime (Debian: libfaketime), which shows a process another time")
    return Clock(tmp_path / "clock")


class Clock:
    def __init__(self, file):
        self.file = file
        self.set(0)
        self.environment = {
            "LD_PRELOAD": faketime(),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds):
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.rename(self.file)  # at once, whoever reads it meanwhile


@pytest.fixture
def node(programs, clock):
    _, location = programs.node("-c", "1", "--zombie_period", str(ZOMBIE_PERIOD), **clock.environment)
    return location


@pytest.fixture
def holder(node):
    made = Holder(node)
    yield made
    made.runtime.finish()


def in_use(holder):
    return NodeReport.from_header(holder.ask(Operate(Command.STATUS))).in_use_by is not None


CLIENT = """
    from pathlib import Path
    from greencoro import Computation, Scheduler

    def wait(name):
        import time
        print("began", flush=True)
        before = time.time(), time.monotonic()
        while not Path(name).exists():
            time.sleep(0.05)
        # How far the clock on the wall was set meanwhile.
        return round(time.time() - before[0] - (time.monotonic() - before[1]))

    with Scheduler(nodes=[{location!r}]), Computation(timeout=20) as computation:
        print(computation.run(wait, {name!r}).value(60), flush=True)
"""


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_J6_a_job_that_runs_is_not_ended_by_a_clock_that_is_set(programs, clock, node, holder, tmp_path, step):
    go = tmp_path / "go"
    client = programs.script(CLIENT.format(location=node, name=str(go)))
    assert client.line().endswith("began")
    clock.set(step)
    began = time.monotonic()
    while time.monotonic() - began < ZOMBIE_PERIOD + 1:
        assert in_use(holder)
    go.touch()
    assert client.line() == str(step)
    assert client.wait() == 0


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_J6_a_lease_without_a_job_ends_neither_early_nor_late_for_a_clock_that_is_set(clock, holder, step):
    began = time.monotonic()
    holder.reserve(TOKEN)
    holder.hears(ServerStarted)
    clock.set(step)
    ended = holder.hears(LeaseEnded, 30)
    took = time.monotonic() - began
    assert f"no job ran for {ZOMBIE_PERIOD:g} s" in ended.reason
    assert ZOMBIE_PERIOD <= took < ZOMBIE_PERIOD + 10
    poll_until(lambda: not in_use(holder))
