"""A click command run as a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, Any

import click

__all__ = ["OptionsError", "run_command"]


class OptionsError(click.ClickException):
    """Options that can be read, and cannot work: one line says why, the exit code is 2."""

    exit_code = 2

    def __init__(self, context: click.Context, reason: str) -> None:
        super().__init__(f"{context.command_path}: {reason}")

    def show(self, file: IO[Any] | None = None) -> None:
        """See `click.ClickException`; without the usage, which does not say what goes with what."""
        click.echo(self.message, file=file, err=True)


def run_command(command: click.Command, name: str, arguments: Sequence[str]) -> int:
    """Run a command, which returns its exit code or None; what is wrong with the arguments is told.

    Args:
        name (str): Of the program, for people.

    Returns:
        int: The exit code.
    """
    try:
        code: int | None = command.main(args=list(arguments), prog_name=name, standalone_mode=False)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return code or 0
