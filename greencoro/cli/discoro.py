"""``discoro.py``: a batch scheduler under the name and with the options that programs and scripts know."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from greencoro.cli.calling import run_command
from greencoro.cli.old_options import CLEAN, as_given_today
from greencoro.cli.scheduler import HELP, OPTIONS, serve

__all__ = ["main"]

_NAME = "discoro.py"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; the exit code.

    Args:
        arguments: After its name; None for those of this process.
    """
    params = [*OPTIONS, CLEAN]
    command = click.Command(_NAME, params=list(params), callback=serve, help=HELP)
    given = as_given_today(_NAME, params, sys.argv[1:] if arguments is None else arguments)
    return run_command(command, _NAME, given)
