"""Doing what may hang, for a limited time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

import click

from greencoro import log
from greencoro.errors import DeadlineExceeded
from greencoro.hub import native
from greencoro.hub.completion import Completion

__all__ = ["Warnings", "within"]

T = TypeVar("T")

#: Whoever looks on is told what is waited for after so long.
SAY_SECONDS = 1.0


def within(seconds: float, what: str, function: Callable[[], T]) -> T:
    """The result of ``function()``, called in a thread of its own, which is left behind where it takes too long.

    Args:
        what (str): What is waited for; standard error says so where it takes longer than a second.

    Raises:
        DeadlineExceeded: It took longer than ``seconds``.
    """
    done = Completion()

    def call() -> None:
        try:
            done.set(function())
        except Exception as error:
            done.fail(error)

    native.Thread(call, "greencoro-step").start()
    if not done.wait(min(SAY_SECONDS, seconds)):
        if seconds > SAY_SECONDS:
            click.echo(f"waiting for {what}, for at most {seconds:g} s", err=True)
        if not done.wait(seconds - SAY_SECONDS):
            raise DeadlineExceeded(f"gave up waiting for {what} after {seconds:g} s")
    result: T = done.result()
    return result


class Warnings(logging.Handler):
    """Collects the warnings that greencoro logs meanwhile, once each; a context manager.

    Attributes:
        said (list[str]): They.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if line not in self.said:
            self.said.append(line)

    def __enter__(self) -> Warnings:
        logging.getLogger(log.ROOT).addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger(log.ROOT).removeHandler(self)
