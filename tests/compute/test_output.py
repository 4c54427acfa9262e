"""The streams of a server process, and what becomes of what is written to them."""

import io
import sys
import threading

import pytest

from greencoro.compute.last_words import SIZE, LastWords, read
from greencoro.compute.output import Output, label_of
from greencoro.compute.output_book import MAX_LINES
from greencoro.hub.coroutine import Coro


class Client:
    """Takes batches, while it has room."""

    def __init__(self):
        self.has_room = True
        self.batches = []
        self.soon = []

    def send(self, batch):
        if self.has_room:
            self.batches.append(batch)
        return self.has_room

    def lines(self):
        return [tuple(line) for batch in self.batches for line in batch.lines]


@pytest.fixture
def client():
    return Client()


@pytest.fixture
def memory():
    return bytearray(SIZE)


@pytest.fixture
def install(client, memory, monkeypatch):
    def install():
        # In the test itself: before and after it pytest has streams of its own there.
        monkeypatch.setattr(sys, "stdout", io.StringIO())
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        return Output(client.send, client.soon.append, LastWords(memory))

    return install


def test_without_a_client_everything_goes_where_it_went_before(client, install):
    output = install()
    before = sys.stdout._before
    print("early")
    assert before.getvalue() == "early\n"
    assert client.soon == []
    output.is_on = True
    print("late")
    assert before.getvalue() == "early\n"


def test_lines_carry_the_coroutine_that_wrote_them_and_go_out_soon(client, install):
    output = install()
    output.is_on = True

    def job():
        print("out")
        print("err", file=sys.stderr)

    coro = Coro(job)
    coro.value(5)
    print("no coroutine")
    [flush] = client.soon  # once for all
    flush()
    label = label_of(coro)
    assert label == f"job/{coro.id}"
    assert client.lines() == [("stdout", label, "out"), ("stderr", label, "err"), ("stdout", "", "no coroutine")]
    print("more")
    assert len(client.soon) == 2


def test_at_the_end_of_a_job_all_of_it_goes_out_at_once(client, install):
    output = install()
    output.is_on = True

    def job():
        print("half a line", end="")

    coro = Coro(job)
    coro.value(5)
    output.flush()
    assert client.lines() == []
    output.over(label_of(coro))
    assert client.lines() == [("stdout", label_of(coro), "half a line")]
    print("the rest", end="")
    output.close()
    assert client.lines()[-1] == ("stdout", "", "the rest")


def test_what_there_was_no_room_for_is_counted_and_told_later(client, install):
    output = install()
    output.is_on = True
    client.has_room = False
    print("lost")
    client.soon.pop()()
    assert client.batches == []
    [again] = client.soon
    client.has_room = True
    again()
    assert [(batch.lines, batch.left_out) for batch in client.batches] == [((), 1)]
    assert len(client.soon) == 1


def test_standard_error_is_among_the_last_words(client, install, memory):
    output = install()
    print("before", file=sys.stderr)
    output.is_on = True
    print("out")
    print("err", file=sys.stderr)
    assert read(memory).lines == ("err",)


def test_threads_that_print_at_once_lose_nothing(client, install):
    output = install()
    output.is_on = True
    threads = [threading.Thread(target=lambda: [print("line") for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    output.close()
    lines = client.lines()
    assert MAX_LINES >= 800
    assert len(lines) + sum(batch.left_out for batch in client.batches) == 800
    assert {line[2] for line in lines} == {"line"}


def test_streams_are_what_programs_expect(install):
    output = install()
    output.is_on = True
    assert not sys.stdout.isatty()
    assert sys.stdout.writable()
    sys.stdout.flush()
    sys.stdout.close()
    assert not sys.stdout.closed
    assert sys.stdout.write("four") == 4
    with pytest.raises(TypeError):
        sys.stdout.write(b"bytes")
