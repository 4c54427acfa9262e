"""``discoronode.py``: a node daemon under the name and with the options that programs and scripts know."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from greencoro.cli.calling import run_command
from greencoro.cli.node import HELP, serve
from greencoro.cli.node_settings import OPTIONS

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; the exit code.

    Args:
        arguments: After its name; None for those of this process.
    """
    command = click.Command("discoronode.py", params=list(OPTIONS), callback=serve, help=HELP)
    return run_command(command, "discoronode.py", sys.argv[1:] if arguments is None else arguments)
