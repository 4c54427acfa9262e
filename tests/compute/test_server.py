import pytest

from greencoro.compute.server import explain_exit


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
