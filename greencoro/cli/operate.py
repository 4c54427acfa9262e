"""``greencoro node status``, ``release`` and ``drain``: what whoever runs a node asks of its daemon."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

import click

from greencoro import log
from greencoro.cli.findings import words_of
from greencoro.cli.network_options import network_options
from greencoro.compute.node_report import NodeReport
from greencoro.compute.node_words import Command, Operate, Operated
from greencoro.config import Settings
from greencoro.distributed.addresses import default_address
from greencoro.distributed.location import Location
from greencoro.distributed.runtime import Runtime
from greencoro.errors import GreencoroError, PeerUnreachable

__all__ = ["COMMANDS"]

#: Number of the layout of ``--json``.
FORMAT = 1
_HELP = {
    Command.STATUS: "Say what a node and its servers are at.",
    Command.RELEASE: "End the computation that has a node of this machine, with its jobs, for others to use the node.",
    Command.DRAIN: "Have a node of this machine take no more jobs, and end when the last one is over.",
}


def _operate(
    command: Command,
    place: str | None,
    node: str | None,
    udp_port: int,
    seconds: float,
    secret_file: Path | None,
    certfile: Path | None,
    keyfile: Path | None,
    as_object: bool,
    debug: bool,
) -> int:
    """Ask a daemon; the exit code."""
    log.enable_console(logging.DEBUG if debug else logging.ERROR)
    try:
        location = Location(default_address(), 0) if place is None else Location.parse(place)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if not location.port:
        location = Location(location.addr, udp_port)
    program = click.get_current_context().command_path
    try:
        settings = Settings.from_env()
        if secret_file is not None:
            settings = dataclasses.replace(settings, secret_file=secret_file)
        with Runtime(
            node, discover_peers=False, certfile=certfile, keyfile=keyfile, settings=settings, announce=False
        ) as runtime:
            peer = runtime.connect(location, timeout=seconds)
            answer = runtime.request(peer, Operate.operation, Operate(command).to_header(), timeout=seconds)
        told = (NodeReport if command is Command.STATUS else Operated).from_header(answer.header)
    except (OSError, GreencoroError) as error:
        hint = "; no node there? `greencoro node` starts one" if isinstance(error, PeerUnreachable) else ""
        click.echo(f"{program}: {words_of(error)}{hint}", err=True)
        return 1
    if as_object:
        click.echo(json.dumps({"format": FORMAT} | told.to_header(), indent=2))
    elif isinstance(told, NodeReport):
        click.echo("\n".join(told.lines()))
    else:
        click.echo(f"node {peer.name} at {peer.location}: {_done(command, told.ended)}")
    return 0


def _done(command: Command, ended: str | None) -> str:
    if command is Command.DRAIN:
        return "takes no more jobs"
    return "was free already, no computation has it" if ended is None else f"released, {ended} is ended"


def _command(command: Command) -> click.Command:
    @click.command(command.value, help=_HELP[command])
    @click.argument("place", metavar="[LOC]", required=False)
    @network_options(secret_must_exist=True)
    def ask(
        place: str | None,
        node: str | None,
        udp_port: int,
        seconds: float,
        secret_file: Path | None,
        certfile: Path | None,
        keyfile: Path | None,
        as_object: bool,
        debug: bool,
    ) -> int:
        return _operate(command, place, node, udp_port, seconds, secret_file, certfile, keyfile, as_object, debug)

    return ask


#: LOC is HOST:PORT of a daemon; without a port it is that of ``--udp_port``, without a host this machine.
COMMANDS = tuple(map(_command, Command))
