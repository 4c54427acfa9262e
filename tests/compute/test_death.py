"""How a server ended, in words."""

import signal

import pytest

from greencoro.compute.death import _SIGNALS, Death, ErrorLines, explain
from greencoro.compute.last_words import Words


@pytest.mark.parametrize(
    ("death", "text"),
    [
        (Death(0), "ended with exit code 0"),
        (Death(3), "ended with exit code 3"),
        (Death(None), "ended in a way that is not known"),
        (Death(-15), "was killed by SIGTERM"),
        (Death(-9), "was killed by SIGKILL (by somebody, or by the kernel for want of memory)"),
        (Death(-9, out_of_memory=True), "was killed by SIGKILL (by the kernel, for want of memory)"),
        (
            Death(-9, out_of_memory=False),
            "was killed by SIGKILL (by somebody: the kernel has killed nothing here for want of memory)",
        ),
        (Death(-24), "was killed by SIGXCPU (it used up its limit of CPU time)"),
        (Death(-25), "was killed by SIGXFSZ (a file grew over the limit)"),
        (Death(-99), "was killed by signal 99"),
        (Death(-9, wish="f#3 was to end, and does not"), "was ended by force: f#3 was to end, and does not"),
        (Death(3, Words(("f#1",))), "ended with exit code 3, with the job f#1"),
        (Death(3, Words(("f#1", "g#2"))), "ended with exit code 3, with jobs f#1, g#2"),
        (Death(3, Words(tuple("abcdef"))), "ended with exit code 3, with jobs c, d, e, f and others"),
    ],
)
def test_ends_are_explained(death, text):
    assert explain(death) == text


def test_signals_are_called_by_their_names():
    for number, text in _SIGNALS.items():
        assert text.split()[0] == signal.Signals(number).name


def test_last_lines_of_standard_error_follow():
    words = Words(lines=tuple(f"line {n}" for n in range(20)))
    assert explain(Death(1, words, ("x" * 1000,))).split("\n") == [
        "ended with exit code 1; the last it wrote to standard error:",
        *(f"  line {n}" for n in range(12, 20)),
        "  " + "x" * 300,
    ]


def test_the_last_lines_are_kept_however_they_come():
    lines = ErrorLines()
    for part in (b"one\ntw", b"o\n\n   \n", b"".join(b"%d\n" % n for n in range(10)), b"not ended"):
        lines.feed(part)
    assert lines.lines() == ("3", "4", "5", "6", "7", "8", "9", "not ended")


def test_of_a_fatal_error_the_first_lines_are_kept():
    lines = ErrorLines()
    lines.feed(b"before\nFatal Python error: Segmentation fault\n\nCurrent thread (most recent call first):\n")
    lines.feed(b"".join(b"  File %d\n" % n for n in range(40)))
    kept = lines.lines()
    assert len(kept) == 8
    assert kept[0] == "Fatal Python error: Segmentation fault"
    assert kept[2] == "  File 0"


def test_a_line_without_end_takes_no_room():
    lines = ErrorLines()
    for _ in range(1000):
        lines.feed(b"x" * 65536)
    assert lines.lines() == ("x" * 300,)


def test_how_much_it_used_is_said_where_it_was_killed():
    assert explain(Death(-24, cpu_seconds=60.24, peak_bytes=5 * 2**30)) == (
        "was killed by SIGXCPU (it used up its limit of CPU time) after 60.2 s of CPU time, with at most 5120 MiB"
    )
    assert explain(Death(3, cpu_seconds=60.2, peak_bytes=2**30)) == "ended with exit code 3"
