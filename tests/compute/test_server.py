import os

import pytest

from greencoro.compute.child import UNKNOWN_EXIT
from greencoro.compute.server import ServerProcess, explain_exit


@pytest.mark.parametrize(
    ("returncode", "text"),
    [
        (0, "ended with exit code 0"),
        (3, "ended with exit code 3"),
        (-11, "was killed by SIGSEGV"),
        (-9, "was killed by SIGKILL (by somebody, or by the kernel for want of memory)"),
        (-99, "was killed by signal 99"),
    ],
)
def test_exit_codes_and_signals_are_decoded(returncode, text):
    assert explain_exit(returncode, []) == text


def test_last_lines_of_standard_error_follow():
    assert explain_exit(1, ["oh", "no"]).endswith("standard error:\n  oh\n  no")


class DeadGuard:
    """One whose shell can be started no more."""

    def __init__(self):
        self.forgotten = []

    def watch(self, group):
        raise OSError("no more processes")

    def forget(self, group):
        self.forgotten.append(group)


def test_nothing_is_left_of_a_server_that_could_not_be_started(tmp_path):
    guard, descriptors = DeadGuard(), set(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="no more processes"):
        ServerProcess(1, tmp_path / "server-1" / "1", guard, print, print)
    assert not (tmp_path / "server-1" / "1").exists()
    assert set(os.listdir("/proc/self/fd")) == descriptors
    [pid] = guard.forgotten
    assert not os.path.exists(f"/proc/{pid}")


def test_exit_that_nobody_knows_is_not_called_a_success():
    assert explain_exit(UNKNOWN_EXIT, []) == "ended in a way that is not known"
