"""asyncoro's logger (legacy-api, section 3.10)."""

import errno
import io
import logging
import re
import sys
import threading

import pytest

from greencoro.legacy import asyncoro
from greencoro.legacy.logger import Logger

LEVELS = ["debug", "info", "warning", "error", "critical"]


class Full(io.StringIO):
    def flush(self):
        raise OSError(errno.ENOSPC, "no space left")


@pytest.fixture
def stream():
    return io.StringIO()


def test_the_logger_of_asyncoro_writes_to_stdout_from_info_up(capsys):
    assert isinstance(asyncoro.logger, asyncoro.Logger)
    asyncoro.logger.debug("not this")
    asyncoro.logger.info("started with %s of %d", "one", 2)
    out, err = capsys.readouterr()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d asyncoro - started with one of 2\n", out)
    assert err == ""


def test_with_milliseconds_they_stand_behind_the_seconds_until_they_shall_not(stream):
    logger = Logger("name", stream, log_ms=True)
    logger.info("a")
    logger.show_ms(False)
    logger.info("b")
    logger.show_ms(True)
    logger.info("c")
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    assert re.fullmatch(rf"{time}\.\d{{3}} name - a\n{time} name - b\n{time}\.\d{{3}} name - c\n", stream.getvalue())


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("spelling", [logging, Logger])
@pytest.mark.parametrize("given", ["at once", "later"])
def test_a_level_lets_by_what_is_not_below_it(stream, place, spelling, given):
    level = getattr(spelling, LEVELS[place].upper())
    logger = Logger("name", stream, level if given == "at once" else None)
    if given == "later":
        logger.setLevel(level)
    for name in LEVELS:
        getattr(logger, name)(name)
    assert re.findall(r" - (\w+)\n", stream.getvalue()) == LEVELS[place:]


@pytest.mark.parametrize(("name", "same"), [("WARN", "WARNING"), ("FATAL", "CRITICAL")])
def test_two_levels_have_two_names_each(stream, name, same):
    assert getattr(Logger, name) == getattr(Logger, same) == getattr(logging, name)
    logger = Logger("name", stream, getattr(Logger, name))
    getattr(logger, name.lower())("one")
    getattr(logger, same.lower())("two")
    assert re.findall(r" - (\w+)\n", stream.getvalue()) == ["one", "two"]


@pytest.mark.parametrize("message", ["50 %", ValueError("50 %")])
def test_a_message_without_arguments_is_written_as_it_is(stream, message):
    Logger("name", stream).error(message)
    assert stream.getvalue().endswith(" name - 50 %\n")


def test_its_stdout_is_the_one_of_the_moment(monkeypatch, stream):
    logger = Logger("name")
    monkeypatch.setattr(sys, "stdout", stream)
    logger.info("here")
    assert stream.getvalue().endswith("here\n")


def test_a_line_is_there_at_once(tmp_path):
    with open(tmp_path / "log", "w") as file:
        Logger("name", file).info("here")
        assert (tmp_path / "log").read_text().endswith("here\n")


def test_nobody_who_logs_is_hurt_where_the_stream_is_gone(monkeypatch, tmp_path):
    logger = Logger("name")
    monkeypatch.setattr(sys, "stdout", None)
    logger.info("nowhere")
    with open(tmp_path / "log", "w") as file:
        logger = Logger("name", file)
    logger.info("closed")
    logger.flush()
    logger = Logger("name", Full())
    logger.info("no room")
    logger.flush()


def test_as_a_context_manager_it_leaves_the_stream_open(stream):
    with Logger("name", stream) as logger:
        logger.info("inside")
    logger.shutdown()
    logger.info("after")
    assert stream.getvalue().count("\n") == 2


def test_lines_of_several_threads_do_not_mix(tmp_path):
    with open(tmp_path / "log", "w") as file:
        logger = Logger("name", file)

        def write(letter):
            for _ in range(200):
                logger.info(letter * 50)

        threads = [threading.Thread(target=write, args=(letter,)) for letter in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 600
    assert all(re.search(r" - (a{50}|b{50}|c{50})$", line) for line in lines)
