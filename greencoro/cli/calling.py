"""A click command run as a program."""

from __future__ import annotations

from collections.abc import Sequence

import click

__all__ = ["run_command"]


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
