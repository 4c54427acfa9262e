"""A batch scheduler where one is already."""

import os
import signal
import time

import pytest

from greencoro import Computation, Runtime, Settings
from greencoro.compute.remote_scheduler import find_scheduler_peer
from tests.support.polling import poll_until
from tests.support.ports import free_port


@pytest.fixture
def scheduler(programs):
    port = str(free_port())

    def start(*options, udp_port=port, **environment):
        command = ["-m", "greencoro", "scheduler", "-i", "127.0.0.1", "-u", udp_port, *options]
        return programs.start(*command, **environment)

    start.udp_port = int(port)
    return start


def released(event):
    while not os.path.exists(event):
        time.sleep(0.01)
    return "went on"


def test_second_scheduler_at_one_place_says_so_and_ends_and_the_first_goes_on(programs, scheduler, tmp_path):
    _, node = programs.node("-c", "1")
    first = scheduler("--node", node)
    location = first.line().split(" at ")[1].split(": ")[0]
    with Runtime("127.0.0.1", scheduler.udp_port, announce=False, settings=Settings.from_env()) as runtime:
        with Computation() as computation:
            job = computation.run(released, str(tmp_path / "event"))
            for options in [(), ("-n", "another"), ("--dest_path", str(tmp_path / "elsewhere"))]:
                second = scheduler(*options)
                assert second.wait() == 1
                assert second.rest() == ""
                said = second.errors()
                assert said.startswith(
                    "greencoro scheduler: a batch scheduler at 127.0.0.1 with this secret and UDP port"
                )
                assert f"is running already: process {first.pid}; " in said
            (tmp_path / "event").touch()
            assert job.value(20) == "went on"
        assert str(find_scheduler_peer(runtime, None, 20).location) == location
    assert first.process.poll() is None
    assert first.errors() == ""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=str)
def test_scheduler_starts_where_one_has_ended_however(scheduler, number):
    first = scheduler()
    first.line()
    os.kill(first.pid, number)
    first.wait()
    assert " at 127.0.0.1:" in scheduler().line()


def test_schedulers_that_clients_can_tell_apart_run_beside_each_other(scheduler, tmp_path):
    scheduler().line()
    places = [free_port(), free_port()]
    others = [
        scheduler("-t", str(places[0])),
        scheduler("-t", str(places[1])),
        scheduler(udp_port=str(free_port())),
        scheduler("--secret_file", str(tmp_path / "other")),
    ]
    assert all(" at 127.0.0.1:" in other.line() for other in others)
    again = scheduler("-t", str(places[0]))
    assert again.wait() == 1
    assert f"`greencoro scheduler status 127.0.0.1:{places[0]}` says what it is at" in again.errors()
    poll_until(lambda: all(other.process.poll() is None for other in others), 20)
