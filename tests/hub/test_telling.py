"""Lines for people reach them once, whether their program set up logging or not."""

import logging

import pytest

from greencoro.hub.telling import tell, tell_unheard

LOGGER = logging.getLogger("greencoro.tests.telling")


def test_without_logging_a_line_goes_to_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Here, for pytest listens to loggers that are cut off when a test begins.
    monkeypatch.setattr(LOGGER, "propagate", False)
    tell(LOGGER, logging.WARNING, "look here")
    tell_unheard(LOGGER, "and here")
    assert capsys.readouterr().err == "greencoro: look here\ngreencoro: and here\n"


def test_with_logging_a_line_is_logged_and_what_the_log_has_is_not_said_again(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(LOGGER, logging.WARNING, "100 % of it")
    tell_unheard(LOGGER, "the same in other words")
    assert caplog.messages == ["100 % of it"]
    assert capsys.readouterr().err == ""
