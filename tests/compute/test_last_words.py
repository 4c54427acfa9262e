"""What a server leaves behind in shared memory."""

import random

from greencoro.compute.last_words import SIZE, LastWords, Words, read


def test_jobs_that_began_and_are_not_over_are_left_behind():
    memory = bytearray(SIZE)
    words = LastWords(memory)
    assert read(memory) == Words()
    words.began("first#1")
    words.began("second#2")
    assert read(memory).jobs == ("first#1", "second#2")
    words.over("first#1")
    words.over("unknown#3")
    assert read(memory).jobs == ("second#2",)
    words.over("second#2")
    assert read(memory).jobs == ()


def test_of_many_jobs_the_last_are_left_behind():
    memory = bytearray(SIZE)
    words = LastWords(memory)
    for n in range(1000):
        words.began(f"{'x' * 500}#{n}"[-300:])
    jobs = read(memory).jobs
    assert len(jobs) == 8
    assert all(len(job) == 200 for job in jobs)


def test_the_last_lines_that_were_written_are_left_behind():
    memory = bytearray(SIZE)
    words = LastWords(memory)
    for n in range(5000):
        words.said(f"line {n}")
        words.said("\n\n")
    lines = read(memory).lines
    assert lines[-1] == "line 4999"
    assert 100 < len(lines) < 300
    words.said("é" * 10_000)
    assert set(read(memory).lines[0].lstrip("\ufffd")) == {"é"}


def test_version_that_was_being_written_at_the_end_does_not_count():
    memory = bytearray(SIZE)
    words = LastWords(memory)
    words.said("whole\n")

    class Dying(bytearray):
        """Memory of a process that dies in the middle of writing."""

        def __setitem__(self, where, data):
            super().__setitem__(slice(where.start, where.start + 4), data[:4])
            raise SystemExit

    dying = Dying(memory)
    words._memory = dying
    try:
        words.said("half\n")
    except SystemExit:
        assert read(dying).lines == ("whole",)


def test_whatever_jobs_made_of_it_is_read_as_text():
    for seed in range(200):
        memory = random.Random(seed).randbytes(SIZE)
        words = read(memory)
        assert len(words.jobs) <= 8
        assert all(isinstance(line, str) for line in (*words.jobs, *words.lines))
