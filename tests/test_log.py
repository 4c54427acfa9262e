import logging
import re
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greencoro.hub import native
from greencoro.log import Admission, RateLimiter, ReactorLog, enable_console, escape
from tests.support.polling import poll_until

logger = logging.getLogger("greencoro.test_log")


class Held:
    """`native` with clocks that the test turns and a thread that it may hold back."""

    Lock = staticmethod(native.Lock)

    def __init__(self):
        self.now = 100.0

    def Thread(self, target, name):
        self.run = target
        return native.Thread(target, name)

    def monotonic(self):
        return self.now

    def wall_clock(self):
        return 1_700_000_000.5


@pytest.fixture
def seen(caplog):
    """The messages that reached `logging`."""
    caplog.set_level(logging.INFO, "greencoro")
    return caplog


@pytest.fixture
def held():
    return Held()


def test_the_root_logger_has_a_handler_that_says_nothing():
    assert any(isinstance(h, logging.NullHandler) for h in logging.getLogger("greencoro").handlers)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain text, ünï 名", "plain text, ünï 名"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("a\u2028b\u202ec\x85", r"a\u2028b\u202ec\x85"),
        ("\ud800", r"\ud800"),
        (7, "7"),
    ],
)
def test_what_is_not_printable_is_escaped(text, line):
    assert escape(text) == line


def test_a_long_text_is_cut_and_says_by_how_much():
    assert escape("x" * 1005) == "x" * 1000 + "... (5 more characters)"
    assert escape("x" * 1000) == "x" * 1000
    assert escape("x" * 2000, limit=None) == "x" * 2000


@settings(deadline=None)
@given(st.text(alphabet=st.characters(codec=None)))
def test_an_escaped_text_is_one_printable_line(text):
    assert escape(text).isprintable()


def test_of_one_cause_ten_a_second_are_let_through():
    limiter = RateLimiter(10)
    answers = [limiter.admit("flood", 5.0 + n / 100).admitted for n in range(100)]
    assert answers == [True] * 10 + [False] * 90


def test_in_the_next_second_the_cause_may_log_again_and_hears_how_many_were_suppressed():
    limiter = RateLimiter(1)
    assert limiter.admit("c", 0.0) == Admission(True, 0)
    assert [limiter.admit("c", 0.5), limiter.admit("c", 0.9)] == [Admission(False, 0)] * 2
    assert limiter.admit("c", 1.0) == Admission(True, 2)
    assert limiter.admit("c", 2.5) == Admission(True, 0)


def test_causes_do_not_share_their_allowance():
    limiter = RateLimiter(1)
    assert [limiter.admit(c, 0.0).admitted for c in ("a", "b", "a")] == [True, True, False]


def test_a_quiet_cause_is_told_of_once_when_its_second_is_over():
    limiter = RateLimiter(1)
    for _ in range(4):
        limiter.admit("c", 0.0)
    assert limiter.take_suppressed(0.9) == []
    assert limiter.take_suppressed(1.0) == [("c", 3)]
    assert limiter.take_suppressed(9.0) == []


def test_a_stranger_who_invents_causes_gets_one_allowance_for_all_of_them():
    limiter = RateLimiter(2, max_causes=100)
    let_through = sum(limiter.admit(("address", n), n / 1e6).admitted for n in range(10_000))
    assert let_through == 100 + 2
    assert len(limiter._seconds) == 101


def test_causes_that_went_quiet_make_room_for_others():
    limiter = RateLimiter(1, max_causes=2)
    for cause in ("a", "b"):
        limiter.admit(cause, 0.0)
    assert limiter.admit("c", 5.0).admitted and limiter.admit("d", 5.0).admitted
    assert RateLimiter.OTHERS not in limiter._seconds


def test_a_line_of_the_reactor_reaches_its_logger(seen):
    log = ReactorLog(native)
    log.start()
    log.log(logger, logging.INFO, "peer %s is up, %d in all", "h1", 3)
    assert log.close(timeout=5)
    (record,) = seen.records
    assert (record.name, record.levelno, record.getMessage()) == (logger.name, logging.INFO, "peer h1 is up, 3 in all")


def test_a_line_that_comes_while_the_thread_sleeps_wakes_it(seen):
    log = ReactorLog(native)
    log.start()
    for n in range(3):
        log.log(logger, logging.INFO, f"line {n}")
        poll_until(lambda n=n: len(seen.messages) == n + 1)
    assert log.close(timeout=5)


def test_nothing_logged_before_close_is_lost(seen):
    log = ReactorLog(native, lines_per_second=10_000)
    log.start()
    for n in range(5000):
        log.log(logger, logging.INFO, "line %d", n)
    assert log.close(timeout=10)
    assert seen.messages == [f"line {n}" for n in range(5000)]


def test_the_time_is_that_of_the_event(seen, held):
    log = ReactorLog(held)
    log.log(logger, logging.INFO, "early")
    log.start()
    log.close()
    assert seen.records[0].created == 1_700_000_000.5


def test_appending_does_not_wait_for_a_handler_that_is_stuck(seen):
    class Stuck(logging.Handler):
        def emit(self, record):
            entered.set()
            go_on.wait(20)

    entered, go_on, handler = threading.Event(), threading.Event(), Stuck()
    log = ReactorLog(native, lines_per_second=1000)
    log.start()
    logger.addHandler(handler)
    try:
        log.log(logger, logging.INFO, "first")
        assert entered.wait(5)
        began = native.monotonic()
        for n in range(100):
            log.log(logger, logging.INFO, "more %d", n)
        took = native.monotonic() - began
        assert not log.close(timeout=0.05)  # it is stuck, and says so
    finally:
        go_on.set()
        logger.removeHandler(handler)
    assert log.close(timeout=5)
    assert took < 10
    assert len(seen.messages) == 101


def test_lines_beyond_the_bound_are_dropped_and_counted(seen, held):
    log = ReactorLog(held, lines_per_second=1000, max_lines=10)
    for n in range(25):
        log.log(logger, logging.INFO, "line %d", n)
    assert log.dropped == 15
    log.start()
    log.close()
    assert [*seen.messages[:10]] == [f"line {n}" for n in range(10)]
    assert seen.messages[10:] == ["15 lines lost: they came faster than they could be written"]


def test_S18_a_flood_of_one_cause_makes_ten_lines_and_a_summary(seen, held):
    log = ReactorLog(held)
    for n in range(100_000):
        log.log(logger, logging.WARNING, "bad datagram from %s", n, cause="bad datagram")
    log.start()
    log.close()
    assert len(seen.messages) == 11
    assert seen.messages[-1] == "bad datagram: ... 99990 more suppressed"


def test_S18_suppressed_lines_are_told_at_the_tick_and_before_the_next_of_their_cause(seen, held):
    log = ReactorLog(held, lines_per_second=1)
    for _ in range(3):
        log.log(logger, logging.WARNING, "a")
    held.now += 1
    log.log(logger, logging.WARNING, "a")
    log.log(logger, logging.WARNING, "b")
    log.log(logger, logging.WARNING, "b")
    held.now += 1
    log.tell_suppressed()
    log.start()
    log.close()
    assert seen.messages == ["a", "a: ... 2 more suppressed", "a", "b", "b: ... 1 more suppressed"]


def test_S18_a_stranger_cannot_write_a_log_line_of_his_own(seen, held):
    log = ReactorLog(held)
    log.log(logger, logging.WARNING, "refused %s", "x\n2026-01-01 ERROR all is lost\x1b[2J")
    log.start()
    log.close()
    assert seen.messages == [r"refused x\n2026-01-01 ERROR all is lost\x1b[2J"]


def test_S18_what_people_are_told_is_the_line_with_nothing_in_it_that_steers_a_terminal(seen, held):
    log, told = ReactorLog(held), []
    log.log(logger, logging.WARNING, "refused %s", "x\x1b[2J", tell=lambda *what: told.append(what))
    log.log(logger, logging.DEBUG, "not wanted", tell=lambda *what: told.append(what))
    log.start()
    log.close()
    assert told == [(logger, r"refused x\x1b[2J")] and seen.messages == [r"refused x\x1b[2J"]


def test_a_transcript_is_limited_only_by_its_level(seen, held):
    log = ReactorLog(held)
    for n in range(20):
        log.log(logger, logging.DEBUG, "record %d", n)
    seen.set_level(logging.DEBUG, "greencoro")
    for n in range(20, 50):
        log.log(logger, logging.DEBUG, "record %d", n)
    log.start()
    log.close()
    assert seen.messages == [f"record {n}" for n in range(20, 50)]


def test_an_exception_brings_its_traceback_escaped(seen, held):
    log = ReactorLog(held)
    try:
        raise ValueError("bad\x1b[31m")
    except ValueError as error:
        log.log(logger, logging.ERROR, "handler failed", error=error)
    log.start()
    log.close()
    (record,) = seen.records
    text = logging.Formatter("%(message)s").format(record)
    assert text.startswith("handler failed\nTraceback (most recent call last):\n  File ")
    assert text.endswith("ValueError: bad\\x1b[31m")


def test_a_line_that_cannot_be_formatted_is_reported_and_the_next_still_comes(seen, held):
    log = ReactorLog(held)
    log.log(logger, logging.INFO, "%d lines", "no number")
    log.log(logger, logging.INFO, "next")
    log.start()
    log.close()
    assert [m for m in seen.messages if m.startswith("cannot log '%d lines'")]
    assert seen.messages[-1] == "next"


@pytest.fixture
def console(capsys):
    root = logging.getLogger("greencoro")
    handlers, level = root.handlers[:], root.level
    yield lambda: capsys.readouterr().err
    root.handlers[:] = handlers
    root.setLevel(level)


def test_the_console_shows_time_level_and_logger_in_one_line(console):
    enable_console("INFO")
    logging.getLogger("greencoro.x").info("two\nlines %s", "\x1b[2J")
    logging.getLogger("greencoro.x").debug("unseen")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO    greencoro\.x: two\\nlines \\x1b\[2J\n", console()
    )


def test_enabling_the_console_again_changes_the_level_and_writes_no_line_twice(console):
    enable_console()
    enable_console(logging.ERROR)
    logging.getLogger("greencoro.x").info("unseen")
    logging.getLogger("greencoro.x").error("once")
    assert console().count("\n") == 1


def test_a_level_that_does_not_exist_is_refused(console):
    with pytest.raises(ValueError, match="LOUD"):
        enable_console("LOUD")
