"""Sends files to where the jobs run, which send files with their results back.

    greencoro node -c 2 &
    python examples/cluster_files.py [NODE ...]

prints

    poem.txt: 8 words, ['2 are', '2 red', '1 roses', '1 violets', '1 not', '1 either']
    song.txt: 3 words, ['3 la']
    empty.txt: failed: there are no words in empty.txt
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path

from greencoro import Computation, Coro, RemoteCoroScheduler, Scheduler, runtime

TEXTS = {"poem.txt": "roses are red violets are not red either\n", "song.txt": "la la la\n", "empty.txt": ""}


def count_words(client, coro=None):
    """The job: what was sent to its server is in the directory that it runs in."""
    name = coro.receive()
    words = Path(name).read_text().split()
    if not words:
        raise ValueError(f"there are no words in {name}")
    result = Path(name).with_suffix(".count")
    result.write_text("".join(f"{count} {word}\n" for word, count in Counter(words).most_common()))
    if runtime().send_file(client, result) != 0:
        raise OSError(f"{result} could not be sent to {client}")
    return len(words), result.name


def process(jobs, file, received):
    """A coroutine here for each file."""
    try:
        job = jobs.schedule(count_words, runtime().location)
        if runtime().send_file(job.location, file) < 0:
            job.terminate()
        else:
            job.send(file.name)
        words, result = job.value()
        return f"{file.name}: {words} words, {(received / result).read_text().splitlines()}"
    except Exception as error:
        return f"{file.name}: failed: {error}"


def main(directory):
    received = directory / "received"
    scheduler = Scheduler(nodes=sys.argv[1:], dest_path=received)  # files of the jobs are saved there
    with scheduler, Computation([count_words]) as computation:
        jobs = RemoteCoroScheduler(computation)
        under_way = []
        for name, text in TEXTS.items():
            (directory / name).write_text(text)
            under_way.append(Coro(process, jobs, directory / name, received))
        for coro in under_way:
            print(coro.value())


with tempfile.TemporaryDirectory() as directory:
    main(Path(directory))
