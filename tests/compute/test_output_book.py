import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greencoro.compute import output_book
from greencoro.compute.output_book import Batch, OutputBook, OutputLine, left_out_notice, shown
from greencoro.errors import RemoteProtocolError

BURST = output_book.MAX_LINES


@pytest.fixture
def book():
    return OutputBook(0.0)


def texts(batch):
    return [] if batch is None else [line.text for line in batch.lines]


def test_lines_come_in_the_order_printed(book):
    book.write("stdout", "f#1", "one\ntwo\n", 0.0)
    book.write("stderr", "g#2", "three\n", 0.0)
    assert book.take() == Batch(
        (OutputLine("stdout", "f#1", "one"), OutputLine("stdout", "f#1", "two"), OutputLine("stderr", "g#2", "three"))
    )
    assert book.take() is None


def test_a_book_is_empty_when_all_was_taken_and_no_line_is_begun(book):
    assert not book
    book.write("stdout", "f#1", "half", 0.0)
    assert book
    book.over("f#1", 0.0)
    assert book
    book.take()
    assert not book
    book.not_sent(Batch((), 3))
    assert book


def test_half_lines_of_several_jobs_and_streams_do_not_mix(book):
    for stream, job, text in [
        ("stdout", "f#1", "a"),
        ("stdout", "f#2", "x"),
        ("stderr", "f#1", "!"),
        ("stdout", "f#1", "b\nc"),
        ("stdout", "f#2", "y\n"),
        ("stderr", "f#1", "?\n"),
    ]:
        book.write(stream, job, text, 0.0)
    assert texts(book.take()) == ["ab", "xy", "!?"]
    book.write("stdout", "f#1", "\n", 0.0)
    assert texts(book.take()) == ["c"]


def test_a_line_that_was_begun_ends_with_its_job(book):
    book.write("stdout", "f#1", "half", 0.0)
    book.write("stdout", "f#2", "other", 0.0)
    assert book.take() is None
    book.over("f#1", 0.0)
    book.over("f#1", 0.0)
    assert texts(book.take()) == ["half"]


def test_empty_lines_are_lines(book):
    book.write("stdout", "f", "\n\na\n", 0.0)
    book.write("stdout", "f", "", 0.0)
    assert texts(book.take()) == ["", "", "a"]


@pytest.mark.parametrize(
    ("written", "line"),
    [
        (["a\r\n"], "a"),
        (["a\r\r\n"], "a"),
        ([" 10%\r", " 20%\r", "100%\n"], "100%"),
        (["\r 10%", "\r 20%", "\n"], " 20%"),
        (["ab\rc\r\n"], "c"),
    ],
)
def test_what_follows_a_carriage_return_replaces_the_line(book, written, line):
    for text in written:
        book.write("stderr", "f", text, 0.0)
    assert texts(book.take()) == [line]


def test_a_progress_bar_without_end_takes_no_room(book):
    for number in range(20_000):
        book.write("stderr", "f", f"\r{number} of 20000", 0.0)
    book.over("f", 0.0)
    assert texts(book.take()) == ["19999 of 20000"]


@pytest.mark.parametrize("pieces", [1, 3, 100])
def test_a_long_line_is_cut_and_says_so(book, pieces):
    for _ in range(pieces):
        book.write("stdout", "f", "x" * (20_000 // pieces), 0.0)
    book.write("stdout", "f", "\nnext\n", 0.0)
    assert texts(book.take()) == ["x" * output_book.MAX_LINE_CHARACTERS + "… (cut)", "next"]


def test_a_line_of_just_the_length_is_not_cut(book):
    line = "x" * output_book.MAX_LINE_CHARACTERS
    book.write("stdout", "f", line, 0.0)
    book.write("stdout", "f", "\n", 0.0)
    assert texts(book.take()) == [line]


def test_what_is_too_much_is_left_out_and_counted(book):
    for number in range(10 * BURST):
        book.write("stdout", "f", f"{number}\n", 0.0)
    batch = book.take()
    assert texts(batch) == [str(number) for number in range(BURST)]
    assert batch.left_out == 9 * BURST


def test_many_lines_at_once_are_counted_like_many_calls(book):
    book.write("stdout", "f", "half", 0.0)
    book.write("stdout", "f", "\n" * (5 * BURST) + "rest", 0.0)
    batch = book.take()
    assert len(batch.lines) == BURST
    assert batch.left_out == 4 * BURST
    book.write("stdout", "f", "\n", 100.0)
    assert texts(book.take()) == ["rest"]


def test_lines_left_out_are_those_behind_the_lines_of_their_batch(book):
    book.write("stdout", "f", "x\n" * BURST, 0.0)
    assert book.take().left_out == 0
    for _ in range(105):
        book.write("stdout", "f", "y\n", 1.0)
    book.write("stdout", "f", "later\n", 60.0)
    batch = book.take()
    assert texts(batch) == ["y"] * 100
    assert batch.left_out == 6
    book.write("stdout", "f", "after that\n", 60.0)
    assert book.take() == Batch((OutputLine("stdout", "f", "after that"),))


def test_lines_that_nobody_takes_are_bounded(book):
    book.write("stdout", "f", "x\n" * BURST, 0.0)
    book.write("stdout", "f", "y\n", 1000.0)
    batch = book.take()
    assert texts(batch) == ["x"] * BURST
    assert batch.left_out == 1


def test_a_server_gets_a_rate_of_lines_whoever_prints_them(book):
    taken = 0
    for tick in range(200):  # ten seconds, a batch each 50 ms
        now = tick * 0.05
        for number in range(50):
            book.write("stdout", f"f#{number}", "line\n", now)
        taken += len(book.take().lines)
    expected = BURST + 10 * output_book.LINES_PER_SECOND
    assert 0.98 * expected <= taken <= expected


def test_a_server_gets_a_rate_of_characters(book):
    taken, line = 0, "x" * 4000 + "\n"
    for tick in range(200):
        for _ in range(20):
            book.write("stdout", "f", line, tick * 0.05)
        taken += sum(map(len, texts(book.take())))
    expected = output_book.MAX_CHARACTERS + 10 * output_book.CHARACTERS_PER_SECOND
    assert 0.95 * expected <= taken <= expected + 200 * 4000


def test_what_a_book_holds_is_bounded(book):
    for now in range(1000):
        book.write("stdout", "f", ("x" * 8000 + "\n") * 10, float(now))
    batch = book.take()
    assert sum(map(len, texts(batch))) <= output_book.MAX_CHARACTERS + output_book.MAX_LINE_CHARACTERS
    assert len(batch.lines) + batch.left_out == 10_000


def test_lines_that_many_jobs_began_are_bounded(book):
    for number in range(1500):
        book.write("stdout", f"f#{number}", "half", 0.0)
    assert len(book.take().lines) == 500


def test_a_batch_that_could_not_be_sent_is_counted(book):
    book.write("stdout", "f", "x\n" * 7, 0.0)
    batch = book.take()
    book.write("stdout", "f", "y\n", 0.0)
    book.not_sent(batch._replace(left_out=3))
    batch = book.take()
    assert texts(batch) == ["y"]
    assert batch.left_out == 10


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.text("xy\n", max_size=6)), max_size=40))
def test_however_it_is_cut_into_pieces_every_line_arrives(pieces):
    book = OutputBook(0.0)
    for job, text in pieces:
        book.write("stdout", job, text, 0.0)
    for job in "ab":
        book.over(job, 0.0)
    batch = book.take()
    for job in "ab":
        printed = "".join(text for one, text in pieces if one == job)
        lines = printed.removesuffix("\n").split("\n") if printed else []
        assert [line.text for line in (batch.lines if batch else ()) if line.job == job] == lines


def test_a_batch_travels(book):
    book.write("log", "f", "\ud800ä\n" + "x" * 9000 + "\n" * 2 * BURST, 0.0)
    book.write("stdout", "n" * 5000, "\n", 0.0)
    batch = book.take()
    assert Batch.from_wire(json.loads(json.dumps(batch.to_wire()))) == batch


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"lines": [], "left_out": None},
        {"lines": [], "left_out": -1},
        {"lines": [], "left_out": True},
        {"lines": [], "left_out": 10**5000},
        {"lines": None, "left_out": 0},
        {"lines": [["stdout", "f", "x"]] * (BURST + 1), "left_out": 0},
        {"lines": ["abc"], "left_out": 0},
        {"lines": [["stdout", "f"]], "left_out": 0},
        {"lines": [["stdout", "f", 5]], "left_out": 0},
        {"lines": [["stdout", "f" * 201, "x"]], "left_out": 0},
        {"lines": [["stdout", "f", "x" * 8201]], "left_out": 0},
    ],
)
def test_what_is_no_batch_is_refused(header):
    with pytest.raises(RemoteProtocolError, match="output"):
        Batch.from_wire(header)


def test_a_line_is_shown_with_where_it_comes_from():
    assert shown("node-2", OutputLine("stdout", "f#17", "hello\tthere ä")) == "[node-2 f#17] hello\tthere ä"
    assert shown("node-2", OutputLine("stderr", "", "from C")) == "[node-2] from C"
    assert left_out_notice("node-2", 340) == "[node-2] … 340 lines left out"
    assert left_out_notice("node-2", 1) == "[node-2] … 1 line left out"


def test_what_is_shown_steers_no_terminal():
    line = shown("no\x1bde", OutputLine("stdout", "f\n#1", "\x1b[2J\x07\x9b\u202e\ud800"))
    assert line == "[no\\x1bde f\\n#1] \\x1b[2J\\x07\\x9b\\u202e\\ud800"
    assert left_out_notice("no\x1bde", 1).startswith("[no\\x1bde]")
