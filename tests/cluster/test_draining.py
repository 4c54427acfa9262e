"""A node daemon that is asked to end: what runs has its time, what is new has none."""

import json
import os
import re
import signal
import time

import psutil
import pytest

from greencoro.compute.node_words import Command, LeaseEnded, Operate, Refusal, ServerDraining, ServerStarted
from greencoro.compute.node_words import lease_token as token_of
from greencoro.compute.server_crew import STUCK_SECONDS
from tests.cluster.holder import Holder
from tests.support.polling import poll_until
from tests.support.stopping import stop

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


#: A program that is asked why nothing happens says where it stands.
STACKS = {"PYTHONFAULTHANDLER": "1"}


@pytest.fixture
def busy(programs, tmp_path):
    """A daemon, its location, a client whose job runs there, and the file that the job waits for."""

    def start(*options):
        started, go = tmp_path / "started", tmp_path / "go"
        daemon, location = programs.node("-c", "1", "--dest_path", str(tmp_path / "dest"), *options, **STACKS)
        client = programs.script(CLIENT.format(location=location, started=str(started), go=str(go)), **STACKS)
        programs.await_file(started)
        return daemon, location, client, go

    return start


def ends_within(daemon, seconds):
    began = time.monotonic()
    assert daemon.wait() == 0
    assert time.monotonic() - began < seconds
    daemon.all_gone_within(2.0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_Z1_signal_lets_a_job_finish_and_takes_no_other(busy, holder_at, tmp_path, number):
    daemon, location, client, go = busy("--drain_seconds", "60")
    other = holder_at(location)
    os.kill(daemon.pid, number)
    poll_until(lambda: other.reserve(OTHER).refusal is Refusal.ENDING, 20)
    assert daemon.process.poll() is None
    if number == signal.SIGHUP:
        os.kill(daemon.pid, number)  # as a terminal that is closed may
        assert other.reserve(OTHER).refusal is Refusal.ENDING
    go.touch()
    assert client.line() == "done"
    assert daemon.wait() == 0
    daemon.all_gone_within(10)
    assert list((tmp_path / "dest").iterdir()) == []
    assert "Traceback" not in daemon.errors()


def test_Z1_signal_to_all_its_processes_at_once_lets_a_job_finish(busy, holder_at):
    """As a service manager sends it."""
    daemon, location, client, go = busy("--drain_seconds", "60")
    other = holder_at(location)
    for member in daemon.look_at_family():
        member.terminate()
    poll_until(lambda: other.reserve(OTHER).refusal is Refusal.ENDING, 20)
    go.touch()
    assert client.line() == "done"
    assert daemon.wait() == 0
    daemon.all_gone_within(10)


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
    programs.await_file(started)
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


@pytest.mark.parametrize("signals", [1, 2])
def test_Z1_node_whose_zygote_is_stuck_ends(programs, holder_at, signals):
    daemon, location = programs.node("-c", "2", "--drain_seconds", "1")
    servers = poll_until(lambda: len(found := daemon.servers()) == 2 and found, 40)
    stop(servers[0].parents()[1].pid)
    os.kill(daemon.pid, signal.SIGTERM)
    began = time.monotonic()
    if signals == 2:
        poll_until(lambda: holder_at(location).reserve(OTHER).refusal is Refusal.ENDING, 20)
        os.kill(daemon.pid, signal.SIGTERM)
    assert daemon.wait() == 0
    if signals == 2:
        assert time.monotonic() - began < STUCK_SECONDS
    daemon.all_gone_within(5)
    assert "servers do not end" in daemon.errors()


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
    stop(paused.pid)
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


#: A job whose result takes longer to its client than the word that its node has ended.
LARGE = """
    from pathlib import Path
    from greencoro import Computation, Scheduler

    def wait(started, go):
        import time
        Path(started).touch()
        while not Path(go).exists():
            time.sleep(0.05)
        return bytes(60_000_000)

    with Scheduler(nodes=[{location!r}]), Computation(timeout=20) as computation:
        job = computation.run(wait, {started!r}, {go!r})
        print(len(job.value(100)), flush=True)
"""


def test_J1_result_that_its_node_overtakes_with_the_end_of_the_lease_is_the_outcome(programs, tmp_path):
    started, go = tmp_path / "started", tmp_path / "go"
    daemon, location = programs.node("-c", "1", "--drain_seconds", "60")
    client = programs.script(LARGE.format(location=location, started=str(started), go=str(go)))
    programs.await_file(started)
    os.kill(daemon.pid, signal.SIGTERM)
    go.touch()
    assert client.line() == "60000000"
    assert daemon.wait() == 0


#: One server, which is drained while it runs the first of three jobs.
WAITING = """
    import json
    import threading
    import time
    from pathlib import Path
    from greencoro import Computation, RemoteCoroScheduler, Scheduler, log
    from greencoro.compute import client
    client._SAY_EVERY_SECONDS = 0.3
    log.enable_console()

    def wait(started, go):
        import time
        Path(started).touch()
        while not Path(go).exists():
            time.sleep(0.05)
        return "done"

    def add(scheduler, computation):
        while not Path({second!r}).exists():
            time.sleep(0.05)
        scheduler.add_node(Path({second!r}).read_text())
        while not computation.servers():
            time.sleep(0.05)
        Path({go!r}).touch()

    with Scheduler(nodes=[{location!r}]) as scheduler, Computation(timeout=60) as computation:
        threading.Thread(target=add, args=(scheduler, computation), daemon=True).start()
        jobs = RemoteCoroScheduler(computation)
        jobs.map_results(abs, range(20))  # short ones: the server is given several at once from now on
        print(json.dumps(jobs.map_results(wait, [({started!r}, {go!r})] * 3)), flush=True)
        print(json.dumps([computation.explain(number) for number in (21, 22, 23)]), flush=True)
"""


def test_Z1_jobs_that_a_drained_node_hands_back_wait_for_capacity_which_is_said_and_told_of_each(programs, tmp_path):
    started, go, second = tmp_path / "started", tmp_path / "go", tmp_path / "second"
    daemon, location = programs.node("-c", "1", "--drain_seconds", "60")
    names = {"location": location, "started": str(started), "go": str(go), "second": str(second)}
    client = programs.script(WAITING.format(**names))
    programs.await_file(started)
    os.kill(daemon.pid, signal.SIGTERM)
    line = r"jobs? waits? for capacity: server 127\.0\.0\.1:\d+ takes no more jobs, for its node is ending"
    poll_until(lambda: len(re.findall(line, client.errors())) > 1, 40)
    _, other = programs.node("-c", "1")
    (tmp_path / "second.part").write_text(other)
    (tmp_path / "second.part").rename(second)
    assert json.loads(client.line()) == ["done"] * 3
    first, *others = json.loads(client.line())
    assert first[-1].startswith("finished after")
    handed_back = [lines for lines in others if any("handed it back" in line for line in lines)]
    assert handed_back, others
    for lines in handed_back:
        assert any(line.endswith("for another server") for line in lines)
        assert lines[-2].startswith("attempt 2 at")
        assert lines[-1].startswith("finished after")


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
    programs.await_file(started)
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
