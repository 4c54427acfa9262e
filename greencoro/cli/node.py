"""``greencoro node``: start server processes on this machine, for computations of whoever knows the secret."""

from __future__ import annotations

import dataclasses
import functools
import logging
import sys
from datetime import datetime
from typing import Any

import click
from click.core import ParameterSource

from greencoro import log
from greencoro.cli import terminal
from greencoro.cli.calling import OptionsError
from greencoro.cli.findings import words_of
from greencoro.cli.node_settings import NOT_SAVED, count_servers, node_options
from greencoro.cli.saved_config import given, save
from greencoro.compute import service_lock
from greencoro.compute.confinement import check_can_run, find_user
from greencoro.compute.cpu_count import cpu_count
from greencoro.compute.node import Node
from greencoro.config import Settings
from greencoro.errors import GreencoroError
from greencoro.hub import native

__all__ = ["HELP", "serve"]

HELP = "Start server processes on this machine, for computations of whoever knows the secret."

_STANDARD_INPUT = 0


@click.pass_context
def serve(context: click.Context, /, **values: Any) -> int:
    """Be a node daemon; the exit code.

    Args:
        values: Of each of `node_settings.OPTIONS`, by name.
    """
    if context.invoked_subcommand is not None:
        if given(context):
            raise click.UsageError(f"options of a daemon do not go with {context.invoked_subcommand}")
        return 0
    log.enable_console(logging.DEBUG if values["debug"] else logging.WARNING)
    secret, secret_file = values["secret"], values["secret_file"]
    if secret is not None:
        if context.get_parameter_source("secret_file") is ParameterSource.COMMANDLINE:
            raise OptionsError(context, "--secret and --secret_file exclude each other")
        secret_file = None  # the command line wins
        click.echo(
            f"{context.command_path}: a secret on the command line is visible to everybody on this machine (`ps`); "
            "prefer --secret_file",
            err=True,
        )
    try:
        if values["save_config"] is not None:
            return _save(context)
        servers = _usage(count_servers, values["cpus"], cpu_count())
        options = _usage(node_options, values, servers, datetime.now())
        if options.user is not None:
            check_can_run(find_user(options.user))  # before anything is begun
        settings = Settings.from_env()
        if secret_file is not None:
            settings = dataclasses.replace(settings, secret_file=secret_file)
        daemon_node = Node(options, settings, secret=secret)
        daemon_node.end_on_signals()
        announce = functools.partial(_announce, daemon_node, servers, not values["daemon"])
        with service_lock.taken(options.host, options.port, values["phoenix"]):
            return daemon_node.run(announce)
    except (OSError, GreencoroError) as error:
        click.echo(f"{context.command_path}: {words_of(error)}", err=True)
        return 1


def _save(context: click.Context) -> int:
    values = context.params
    # Whether they can work; how many CPUs there are is for the machines where they are to be used.
    servers = _usage(count_servers, values["cpus"], max(cpu_count(), abs(values["cpus"]) + 1))
    _usage(node_options, values, servers, datetime.now())
    save(values["save_config"], {name: value for name, value in given(context).items() if name not in NOT_SAVED})
    return 0


def _usage(function: Any, *arguments: Any) -> Any:
    """What the function makes of the options alone, so that a `ValueError` is a mistake on the command line."""
    try:
        return function(*arguments)
    except ValueError as error:
        raise OptionsError(click.get_current_context(), str(error)) from None


def _announce(daemon_node: Node, servers: int, interactive: bool, runtime: Any) -> None:
    click.echo(
        f"{click.get_current_context().command_path} at {runtime.location}: "
        f"{servers} server{'' if servers == 1 else 's'}, secret {runtime.secret.fingerprint}"
    )
    sys.stdout.flush()
    # Where standard input was closed, its number may be another file's by now.
    if interactive and sys.stdin is not None:
        if terminal.is_in_foreground(_STANDARD_INPUT):
            click.echo("commands: status, close, quit (or exit), terminate")
        native.Thread(functools.partial(_read_commands, daemon_node), "greencoro-commands").start()


def _read_commands(daemon_node: Node) -> None:
    for line in terminal.lines(_STANDARD_INPUT):
        daemon_node.command(line)
