"""``discoro.py``: a batch scheduler under the name and with the options that programs and scripts know."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from greencoro.cli.calling import run_command
from greencoro.cli.scheduler import HELP, OPTIONS, serve

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; the exit code.

    Args:
        arguments: After its name; None for those of this process.
    """
    command = click.Command("discoro.py", params=list(OPTIONS), callback=serve, help=HELP)
    return run_command(command, "discoro.py", sys.argv[1:] if arguments is None else arguments)
