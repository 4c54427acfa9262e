"""What a scheduler keeps of computations whose clients are elsewhere; time is whatever the test says."""

import dataclasses

import pytest

from greencoro import Location
from greencoro.compute import client_book
from greencoro.compute import client_words as words
from greencoro.compute.client_book import ClientBook
from greencoro.errors import BusyResource, ComputationClosed, LocalProtocolError

HERE = Location("127.0.0.1", 51350)
ONE, TWO = "01" * 16, "02" * 16
TOKEN, OTHER = "aa" * 16, "bb" * 16


class Book(ClientBook):
    """A book with notices that number themselves."""

    def __init__(self):
        super().__init__()
        self.told = 0

    def submit(self, number, client=ONE, token=TOKEN, pulse=20.0, now=0.0):
        self.check(client, token)
        self.submitted(number, client, "10.0.0.9:1", words.Ask(token, f"client {number}", pulse), now)

    def hear(self, word, number=1, now=0.0, **about):
        self.told += 1
        return self.tell(word(number, self.told, **about), now)

    def begin(self, number=1, now=0.0):
        self.hear(words.Begun, number, now, location=HERE)

    def start(self, node, server, number=1):
        self.hear(words.ServerStarted, number, node=node, attempt=1, server=server, location=HERE, name="s")


@pytest.fixture
def book():
    return Book()


def test_S16_nobody_speaks_of_a_computation_without_its_client_and_its_token(book):
    book.submit(1)
    book.check_token(1, ONE, TOKEN)
    for number, client, token in [(1, ONE, OTHER), (1, TWO, TOKEN), (2, ONE, TOKEN)]:
        with pytest.raises(ComputationClosed):
            book.check_token(number, client, token)


def test_S16_what_is_shown_to_everybody_holds_no_token(book):
    book.submit(1)
    assert TOKEN not in repr(book.rows(1.0))


def test_client_is_told_with_its_own_token(book):
    book.submit(1)
    book.submit(2, TWO, OTHER)
    assert (book.token(1), book.token(2)) == (TOKEN, OTHER)


def test_computation_is_submitted_once(book):
    book.submit(1)
    with pytest.raises(ComputationClosed, match="already"):
        book.check(ONE, TOKEN)
    book.check(TWO, TOKEN)


def test_S10_computations_of_one_client_and_of_all_are_bounded(monkeypatch):
    monkeypatch.setattr(client_book, "MOST_OF_A_CLIENT", 2)
    monkeypatch.setattr(client_book, "MOST_OF_ALL", 3)
    book = Book()
    book.submit(1)
    book.submit(2, token=OTHER)
    with pytest.raises(BusyResource, match="this client"):
        book.check(ONE, "cc" * 16)
    book.submit(3, TWO)
    with pytest.raises(BusyResource, match="has 3 computations"):
        book.check("03" * 16, TOKEN)
    book.hear(words.Ended, 1)
    book.check(ONE, "cc" * 16)


def test_withdrawn_is_the_computation_with_that_token_of_that_client(book):
    book.submit(1)
    book.submit(2, token=OTHER)
    assert book.withdrawn(ONE, OTHER) == 2
    assert book.withdrawn(TWO, TOKEN) is None
    assert book.withdrawn(ONE, "cc" * 16) is None


# When they are closed.


def test_J8_lost_client_has_its_computations_closed_and_no_others(book):
    book.submit(1)
    book.submit(2, TWO)
    book.submit(3, token=OTHER)
    assert book.lost(ONE, "reset") == [1, 3]
    assert book.lost(ONE, "reset") == []
    assert book.hear(words.Ended, 1).reason == "its client was lost: reset"
    assert book.hear(words.Ended, 2).reason == ""
    assert book.lost("03" * 16, "reset") == []


def test_J9_client_that_is_silent_for_five_pulses_has_its_computation_closed(book):
    book.submit(1, pulse=2.0)
    book.submit(2, TWO, pulse=20.0)
    book.submit(3, TWO, OTHER, pulse=0.0)
    now = 0.0
    while now < 10.0:
        assert book.silent(now) == []
        now += 1.0
    assert book.silent(now) == [1]
    assert book.silent(now + 1) == []
    ended = book.hear(words.Ended, 1)
    assert ended.reason == "nothing was heard of its client for 5 pulse intervals"


def test_client_that_pulses_is_not_silent(book):
    book.submit(1, pulse=2.0)
    for now in range(30):
        book.pulse(1, float(now))
        assert book.silent(float(now)) == []


def test_J9_scheduler_that_was_stopped_itself_hears_its_clients_before_it_judges(book):
    book.submit(1, pulse=2.0)
    assert book.silent(1.0) == []
    assert book.silent(500.0) == []


def test_shortest_pulse_is_that_of_those_who_pulse(book):
    assert book.shortest_pulse() is None
    book.submit(1, pulse=0.0)
    assert book.shortest_pulse() is None
    book.submit(2, token=OTHER, pulse=20.0)
    book.submit(3, TWO, pulse=10.0)
    assert book.shortest_pulse() == 10.0


def test_client_that_closes_its_computation_is_given_no_other_reason(book):
    book.submit(1)
    book.begin()
    book.start("n1", "s1")
    book.asked(words.Close(1))
    assert book.discard([1], "x") == []
    assert book.hear(words.Ended) == words.Ended(1, book.told)


def test_scheduler_has_nothing_to_say_of_a_computation_that_is_over(book):
    book.submit(1)
    book.hear(words.Ended)
    with pytest.raises(LocalProtocolError):
        book.begin()
    book.asked(words.Close(1))
    assert book.numbers == []


# For people.


def test_rows_are_in_the_order_of_turns(book):
    for number, token in enumerate((TOKEN, OTHER, "cc" * 16), 1):
        book.submit(number, token=token, now=float(number))
    book.begin(1, now=2.0)
    book.hear(words.Queued, 2, position=1)
    book.hear(words.Queued, 3, position=0)
    book.start("n1", "s1")
    rows = book.rows(10.0)
    assert [(row["computation"], row["position"], row["state"]) for row in rows] == [
        (1, None, "running"),
        (3, 0, "queued"),
        (2, 1, "queued"),
    ]
    assert rows[0] == {
        "computation": 1,
        "name": "client 1",
        "client": "10.0.0.9:1",
        "position": None,
        "state": "running",
        "waiting_seconds": 1.0,
        "running_seconds": 8.0,
        "servers": 1,
    }
    assert (rows[1]["waiting_seconds"], rows[1]["running_seconds"]) == (7.0, None)
    book.asked(words.Close(1))
    assert book.rows(10.0)[0]["state"] == "closing"


def test_S10_rows_are_not_more_than_a_message_holds(book):
    for number in range(2000):
        book.submit(number, f"{number:032x}")
    assert len(book.rows(1.0)) == 1000
    assert len(book.numbers) == 2000


def test_notices_but_the_last_go_to_the_client_as_they_are(book):
    book.submit(1)
    notice = words.Queued(1, 1, 3)
    assert book.tell(notice, 0.0) is notice
    ended = words.Ended(1, 2, "its own reason")
    assert book.tell(ended, 0.0) == dataclasses.replace(ended)
