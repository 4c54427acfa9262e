"""A node daemon that is asked to end: what runs has its time, what is new has none."""

import os
import signal
import time

import psutil
import pytest

from greencoro.compute.node_words import Command, LeaseEnded, Operate, Refusal, ServerDraining, ServerStarted
from greencoro.compute.node_words import lease_token as token_of
from tests.cluster.holder import Holder
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster

TOKEN, OTHER = token_of(bytes(16), 1), token_of(bytes(16), 2)


@pytest.fixture
def holder_at():
    made = []

    def make(location):
        made.append(Holder(location))
        return made[-1]

    yield make
    for holder in made:
        holder.runtime.finish()


#: A job that lasts until a file is there.
CLIENT = """
    from pathlib import Path
    from greencoro import Computation, Scheduler

    def wait(started, name):
        import time
        Path(started).touch()
        while not Path(name).exists():
            time.sleep(0.05)
        return "done"

    with Scheduler(nodes=[{location!r}]), Computation(timeout=20) as computation:
        job = computation.run(wait, {started!r}, {go!r})
        try:
            print(job.value(100), flush=True)
        except Exception as error:
            print(type(error).__name__, flush=True)
"""


@pytest.fixture
def busy(programs, tmp_path):
    """A daemon, its location, a client whose job runs there, and the file that the job waits for."""

    def start(*options):
        started, go = tmp_path / "started", tmp_path / "go"
        daemon, location = programs.node("-c", "1", "--dest_path", str(tmp_path / "dest"), *options)
        client = programs.script(CLIENT.format(location=location, started=str(started), go=str(go)))
        poll_until(started.exists, 40)
        return daemon, location, client, go

    return start


def ends_within(daemon, seconds):
    began = time.monotonic()
    assert daemon.wait() == 0
    assert time.monotonic() - began < seconds
    daemon.all_gone_within(2.0)


def test_Z1_sigterm_lets_a_job_finish_and_takes_no_other(busy, holder_at, tmp_path):
    daemon, location, client, go = busy("--drain_seconds", "60")
    other = holder_at(location)
    os.kill(daemon.pid, signal.SIGTERM)
    poll_until(lambda: other.reserve(OTHER).refusal is Refusal.ENDING, 20)
    assert daemon.process.poll() is None
    go.touch()
    assert client.line() == "done"
    assert daemon.wait() == 0
    daemon.all_gone_within(10)
    assert list((tmp_path / "dest").iterdir()) == []
    assert "Traceback" not in daemon.errors()


def test_Z1_a_job_that_goes_on_is_ended_when_the_time_is_over(busy, tmp_path):
    daemon, _, client, _ = busy("--drain_seconds", "2")
    os.kill(daemon.pid, signal.SIGTERM)
    ends_within(daemon, 3.0)
    assert client.line() != "done"
    assert list((tmp_path / "dest").iterdir()) == []


STUBBORN = """
    from pathlib import Path
    from greencoro import Computation, Scheduler

    def never(started):
        Path(started).touch()
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass

    with Scheduler(nodes=[{location!r}]), Computation(timeout=20) as computation:
        job = computation.run(never, {started!r})
        try:
            print(job.value(100), flush=True)
        except Exception as error:
            print(type(error).__name__, flush=True)
"""


def test_Z1_a_job_that_ignores_all_that_is_ended_too(programs, tmp_path):
    started = tmp_path / "started"
    daemon, location = programs.node("-c", "1", "--drain_seconds", "1")
    client = programs.script(STUBBORN.format(location=location, started=str(started)))
    poll_until(started.exists, 40)
    os.kill(daemon.pid, signal.SIGTERM)
    ends_within(daemon, 2.0)
    client.line()


def test_Z1_a_second_sigterm_ends_at_once(busy, holder_at):
    daemon, location, client, _ = busy("--drain_seconds", "60")
    other = holder_at(location)
    os.kill(daemon.pid, signal.SIGTERM)
    # Two that come at once may be one.
    poll_until(lambda: other.reserve(OTHER).refusal is Refusal.ENDING, 20)
    os.kill(daemon.pid, signal.SIGTERM)
    assert daemon.wait() == 0
    daemon.all_gone_within(2.0)
    assert client.line() != "done"


def test_Z1_a_lease_without_jobs_holds_up_nothing_and_its_holder_is_told(programs, holder_at):
    daemon, location = programs.node("-c", "2", "--drain_seconds", "60")
    holder = holder_at(location)
    holder.reserve(TOKEN)
    holder.hears(ServerStarted, number=2)
    os.kill(daemon.pid, signal.SIGTERM)
    assert holder.hears(LeaseEnded).reason == "was ended with its node"
    assert len([word for word in holder.told if isinstance(word, ServerDraining)]) == 2
    assert daemon.wait() == 0


def test_Z1_a_holder_that_is_dead_holds_up_nothing(programs):
    daemon, location = programs.node("-c", "1", "--drain_seconds", "60", "--min_pulse_interval", "0.1")
    paused = programs.script(
        f"""
        from tests.cluster.holder import Holder
        from greencoro.compute.node_words import ServerStarted
        holder = Holder({location!r})
        assert holder.reserve({TOKEN!r}, pulse_interval=60).refusal is None
        holder.hears(ServerStarted)
        print("held", flush=True)
        input()
        """
    )
    assert paused.line() == "held"
    os.kill(paused.pid, signal.SIGSTOP)
    os.kill(daemon.pid, signal.SIGTERM)
    try:
        assert daemon.wait() == 0
    finally:
        os.kill(paused.pid, signal.SIGCONT)


def test_whoever_runs_the_node_can_have_it_drained(busy, holder_at):
    daemon, location, client, go = busy()
    operator = holder_at(location)
    operator.ask(Operate(Command.DRAIN))
    assert operator.reserve(OTHER).refusal is Refusal.ENDING
    go.touch()
    assert client.line() == "done"
    assert daemon.wait() == 0


#: A daemon whose clock on the wall shows a second to seven in the morning until a file is there, then one after seven.
EARLY = """
    import os, sys
    from datetime import datetime
    from greencoro.hub import native
    seven = datetime.now().replace(hour=7, minute=0, second=0, microsecond=0).timestamp()
    native.wall_clock = lambda: seven + (1 if os.path.exists({late!r}) else -1)
    from greencoro.cli import main
    options = "node -i 127.0.0.1 --port 0 -c 1 --service_start 05:00".split()
    sys.exit(main([*options, *{options!r}]))
"""


@pytest.fixture
def early(programs, tmp_path):
    """A daemon, its location, and the file that makes it late."""

    def start(*options):
        late = tmp_path / "late"
        daemon = programs.script(EARLY.format(late=str(late), options=list(options)), name="early.py")
        return daemon, daemon.line().split(" at ")[1].split(": ")[0], late

    return start


def test_J10_after_service_stop_what_runs_goes_on_and_nothing_begins(programs, early, holder_at, tmp_path):
    started, go = tmp_path / "started", tmp_path / "go"
    _, location, late = early("--service_stop", "07:00")
    client = programs.script(CLIENT.format(location=location, started=str(started), go=str(go)))
    poll_until(started.exists, 40)
    other = holder_at(location)
    assert other.reserve(OTHER).refusal is Refusal.BUSY
    late.touch()
    poll_until(lambda: other.reserve(OTHER).refusal is Refusal.CLOSED, 20)
    assert other.facts().in_use_by is not None
    go.touch()
    assert client.line() == "done"
    poll_until(lambda: other.facts().in_use_by is None, 20)
    assert "start 05:00, stop 07:00" in other.reserve(OTHER).reason


def test_J10_at_service_end_what_runs_is_ended(early, holder_at):
    daemon, location, late = early("--service_end", "07:00")
    holder = holder_at(location)
    assert holder.reserve(TOKEN).refusal is None
    started = holder.hears(ServerStarted)
    late.touch()
    assert holder.hears(LeaseEnded).reason == "was ended by its node, whose service hours are over"
    poll_until(lambda: not psutil.pid_exists(started.pid), 20)
    assert holder.reserve(OTHER).refusal is Refusal.CLOSED
    assert daemon.process.poll() is None
