"""The options of commands that start a runtime for a moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from greencoro.distributed.runtime import DEFAULT_PORT

__all__ = ["network_options"]

Command = TypeVar("Command", bound=Callable[..., Any])


def network_options(secret_must_exist: bool) -> Callable[[Command], Command]:
    """A decorator that gives a command ``node``, ``udp_port``, ``seconds``, those of secret and TLS, and of output.

    Args:
        secret_must_exist (bool): A secret file that is named and not there is a mistake of usage.
    """
    a_file = click.Path(path_type=Path, dir_okay=False)
    options = (
        click.option("--node", metavar="HOST", help="Address or host name to listen at, as for Runtime(node=)."),
        click.option(
            "--udp_port",
            type=click.IntRange(1, 65535),
            default=DEFAULT_PORT,
            show_default=True,
            metavar="PORT",
            help="Port of discovery, as for Runtime(udp_port=), here and at peers.",
        ),
        click.option(
            "--seconds",
            type=click.FloatRange(0.1, 3600),
            default=2.0,
            show_default=True,
            metavar="S",
            help="How long peers may take to answer.",
        ),
        click.option(
            "--secret_file",
            type=click.Path(path_type=Path, dir_okay=False, exists=secret_must_exist),
            metavar="FILE",
            help="File of the secret; default: the one of this user, made on first use.",
        ),
        click.option(
            "--certfile",
            type=a_file,
            metavar="FILE",
            help="Certificate, where runtimes talk by TLS, as for Runtime(certfile=).",
        ),
        click.option(
            "--keyfile", type=a_file, metavar="FILE", help="Its private key, where it is not in the same file."
        ),
        click.option("--json", "as_object", is_flag=True, help="Print one JSON object."),
        click.option("-d", "--debug", is_flag=True, help="Log everything."),
    )

    def decorate(command: Command) -> Command:
        # As they are listed, top to bottom, decorators are applied from the last.
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
