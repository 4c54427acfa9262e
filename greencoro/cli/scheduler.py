"""``greencoro scheduler``: the computations of many clients, one after another."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import logging
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from greencoro import compute, log
from greencoro.cli import terminal
from greencoro.cli.calling import OptionsError
from greencoro.cli.findings import words_of
from greencoro.compute import service_lock
from greencoro.compute.client_words import AskStatus, SchedulerStatus
from greencoro.compute.limits import size
from greencoro.compute.remote_scheduler import find_scheduler_peer
from greencoro.compute.scheduler_daemon import SchedulerDaemon, status_lines
from greencoro.config import Settings
from greencoro.distributed.location import Location
from greencoro.distributed.options import as_secret
from greencoro.distributed.runtime import DEFAULT_PORT, Runtime
from greencoro.errors import GreencoroError
from greencoro.hub import native

__all__ = ["HELP", "OPTIONS", "scheduler", "serve"]

HELP = "Give the computations of many clients their turn, one after another, at all nodes that are found."

_STANDARD_INPUT = 0


def _checked(check: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A callback that turns the text of an option, or each of its texts, into what the function makes of it."""

    def convert(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        try:
            if isinstance(value, tuple):
                return tuple(map(check, value))
            return None if value is None else check(value)
        except ValueError as error:
            raise click.BadParameter(str(error), context, parameter) from None

    return convert


def _seconds(text: str) -> float:
    seconds = float(text)
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"{text} is no number of seconds from 0 on")
    return seconds


def _option(flags: str, help: str, **more: Any) -> click.Option:
    return click.Option(flags.split(), help=help, **more)


_FILE = click.Path(path_type=Path, dir_okay=False)
_UDP_PORT = _option(
    "-u --udp_port",
    "Port that nodes and clients have in common.",
    type=click.IntRange(1, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    metavar="PORT",
)
_SECRET = _option(
    "-s --secret",
    "The secret itself. Everybody on this machine can see it in the list of processes: prefer --secret_file.",
)
_SECRET_FILE = _option(
    "--secret_file",
    "File of the secret; default: the one of this user, made on first use.",
    type=_FILE,
    metavar="FILE",
)
_CERTFILE = _option("--certfile", "Certificate, where processes talk by TLS.", type=_FILE, metavar="FILE")
_KEYFILE = _option("--keyfile", "Its private key, where it is not in the same file.", type=_FILE, metavar="FILE")
_DEBUG = _option("-d --debug", "Log everything.", is_flag=True)

#: In the order in which the help lists them; a `click.Command` has them as its ``params``.
OPTIONS: Sequence[click.Option] = (
    _option(
        "-i --ip_addr",
        "Address or host name to listen at; default: that of the first network interface.",
        metavar="ADDRESS",
    ),
    _option(
        "--ext_ip_addr",
        "Address of the gateway that forwards the scheduler's port to this machine.",
        metavar="ADDRESS",
    ),
    _UDP_PORT,
    _option(
        "-t --tcp_port",
        "The scheduler's own TCP port; 0: any free one.",
        type=click.IntRange(0, 65535),
        default=0,
        show_default=True,
        metavar="PORT",
    ),
    _option("-n --name", "Name of this scheduler; default: its location."),
    _option(
        "--node",
        "A node in a network elsewhere, whose other nodes are found through it; may be repeated. Those in the local "
        "network are found anyway.",
        multiple=True,
        callback=_checked(Location.parse),
        metavar="HOST",
    ),
    _option(
        "--dest_path",
        "Where files of peers are saved.",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIRECTORY",
    ),
    _option(
        "--max_file_size",
        "Largest file that is taken, in bytes or as in 500M; default: no limit.",
        callback=_checked(size),
        metavar="BYTES",
    ),
    _SECRET,
    _SECRET_FILE,
    _CERTFILE,
    _KEYFILE,
    _option(
        "--zombie_period",
        "Seconds without a job after which a computation is closed, for the next to have its turn; 0: never. Default: "
        "ten times the longest pulse interval, which is 1000.",
        callback=_checked(_seconds),
        metavar="S",
    ),
    _option("--daemon", "Do not read commands from standard input.", is_flag=True),
    _DEBUG,
)


@click.pass_context
def serve(context: click.Context, /, **values: Any) -> int:
    """Be a batch scheduler; the exit code.

    Args:
        values: Of each of `OPTIONS`, by name.
    """
    if context.invoked_subcommand is not None:
        return 0
    log.enable_console(logging.DEBUG if values["debug"] else logging.WARNING)
    zombie_period = values["zombie_period"]
    with contextlib.ExitStack() as held:
        try:
            credentials = _credentials(context)
            secret = as_secret(credentials.pop("secret"), None, credentials["settings"])
            # First: clients and nodes are to hear nothing of one that may not be.
            place = values["ip_addr"], values["tcp_port"], values["udp_port"], secret.fingerprint
            held.enter_context(service_lock.scheduler_taken(*place))
            daemon = SchedulerDaemon(
                10 * compute.MaxPulseInterval if zombie_period is None else zombie_period,
                values["node"],
                node=values["ip_addr"],
                udp_port=values["udp_port"],
                tcp_port=values["tcp_port"],
                ext_ip_addr=values["ext_ip_addr"],
                name=values["name"],
                dest_path=values["dest_path"],
                max_file_size=values["max_file_size"],
                secret_key=secret.key,
                **credentials,
            )
        except (OSError, GreencoroError) as error:
            click.echo(f"{context.command_path}: {words_of(error)}", err=True)
            return 1
        daemon.end_on_signals()
        _announce(context, daemon, not values["daemon"])
        return daemon.run()


def _credentials(context: click.Context) -> dict[str, Any]:
    """The runtime's parameters that say how peers know each other.

    Raises:
        OptionsError: They cannot work together.
    """
    values = context.params
    secret, settings = values["secret"], Settings.from_env()
    if values["keyfile"] is not None and values["certfile"] is None:
        raise OptionsError(context, "a key needs its certificate: certfile is missing")
    if secret is not None:
        if values["secret_file"] is not None:
            raise OptionsError(context, "--secret and --secret_file exclude each other")
        click.echo(
            f"{context.command_path}: a secret on the command line is visible to everybody on this machine (`ps`); "
            "prefer --secret_file",
            err=True,
        )
    elif values["secret_file"] is not None:
        settings = dataclasses.replace(settings, secret_file=values["secret_file"])
    return {"secret": secret, "settings": settings, "certfile": values["certfile"], "keyfile": values["keyfile"]}


def _announce(context: click.Context, daemon: SchedulerDaemon, interactive: bool) -> None:
    runtime = daemon.runtime
    click.echo(f"{context.command_path} at {runtime.location}: secret {runtime.secret.fingerprint}")
    sys.stdout.flush()
    # Where standard input was closed, its number may be another file's by now.
    if interactive and sys.stdin is not None:
        if terminal.is_in_foreground(_STANDARD_INPUT):
            click.echo("commands: status, quit (or exit)")
        native.Thread(functools.partial(_read_commands, daemon), "greencoro-commands").start()


def _read_commands(daemon: SchedulerDaemon) -> None:
    for line in terminal.lines(_STANDARD_INPUT):
        daemon.command(line)


@click.pass_context
def _status(context: click.Context, /, **values: Any) -> int:
    """Ask a scheduler what it is at; the exit code."""
    log.enable_console(logging.DEBUG if values["debug"] else logging.WARNING)
    seconds = values["seconds"]
    try:
        with Runtime(values["ip_addr"], values["udp_port"], announce=False, **_credentials(context)) as runtime:
            peer = find_scheduler_peer(runtime, values["location"], seconds)
            answer = runtime.request(peer, AskStatus.operation, AskStatus().to_header(), timeout=seconds)
            report = SchedulerStatus.from_header(answer.header).report
    except (OSError, ValueError, GreencoroError) as error:
        click.echo(f"{context.command_path}: {words_of(error)}", err=True)
        return 1
    click.echo(json.dumps(report, indent=2) if values["as_object"] else "\n".join(status_lines(report)))
    return 0


#: Runs the scheduler where no subcommand is named.
scheduler = click.Group("scheduler", params=list(OPTIONS), callback=serve, invoke_without_command=True, help=HELP)
scheduler.add_command(
    click.Command(
        "status",
        callback=_status,
        help="Show the computations of the scheduler at LOCATION (HOST:PORT), or of one that is found, and its nodes.",
        params=[
            click.Argument(["location"], required=False, callback=_checked(Location.parse)),
            _option("-i --ip_addr", "Address or host name to listen at meanwhile.", metavar="ADDRESS"),
            _UDP_PORT,
            _option(
                "--seconds",
                "How long the scheduler may take to answer.",
                type=click.FloatRange(0.1, 3600),
                default=5.0,
                show_default=True,
                metavar="S",
            ),
            _SECRET,
            _SECRET_FILE,
            _CERTFILE,
            _KEYFILE,
            _option("--json as_object", "Print one JSON object.", is_flag=True),
            _DEBUG,
        ],
    )
)
