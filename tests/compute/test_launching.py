"""The plain way to a server process."""

import os
import select

import psutil
import pytest

from greencoro.compute.guard import Guard
from greencoro.compute.launching import LaunchOrder, Spawner
from greencoro.hub import native

pytestmark = pytest.mark.cluster


@pytest.fixture
def spawner():
    spawner = Spawner(Guard())
    yield spawner
    spawner.close()


def collect(launched):
    assert select.select([launched.ended], [], [], 30)[0]
    code = launched.collect()
    launched.channel.close()
    native.close(launched.stderr)
    return code


def test_process_ends_with_its_channel_and_nothing_is_left_of_it(spawner):
    descriptors = set(os.listdir("/proc/self/fd"))
    launched = spawner.launch(LaunchOrder(1, 1))
    assert os.getpgid(launched.pid) == launched.pid
    launched.channel.close()
    assert collect(launched) == 0
    assert not psutil.pid_exists(launched.pid)
    assert set(os.listdir("/proc/self/fd")) == descriptors


def test_process_can_be_killed_before_and_after_its_end(spawner):
    launched = spawner.launch(LaunchOrder(1, 1))
    launched.kill()
    assert select.select([launched.ended], [], [], 30)[0]
    launched.kill()
    assert collect(launched) == -9
    launched.kill()
