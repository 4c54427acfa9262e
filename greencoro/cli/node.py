"""``greencoro node``: start server processes on this machine, for computations of whoever knows the secret."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import sys
from pathlib import Path
from typing import Any

import click

from greencoro import log
from greencoro.cli.ports import expand_ports
from greencoro.compute.node import Node
from greencoro.compute.node_options import NodeOptions
from greencoro.config import Settings
from greencoro.errors import GreencoroError
from greencoro.hub import native

__all__ = ["node"]


@click.command(help="Start server processes on this machine, for computations of whoever knows the secret.")
@click.option(
    "-c",
    "--cpus",
    type=int,
    default=0,
    metavar="N",
    help="Servers to start: N; all CPUs but N, where N is negative; one for each CPU, where it is 0 (default).",
)
@click.option(
    "-i",
    "--ip_addr",
    metavar="ADDRESS",
    help="Address or host name to listen at; default: that of the first network interface.",
)
@click.option(
    "-u",
    "--udp_port",
    type=click.IntRange(1, 65535),
    default=51350,
    show_default=True,
    metavar="PORT",
    help="Port that nodes and clients have in common; the number of the daemon's TCP port too.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="The daemon's own TCP port; default: the number of --udp_port; 0: any free one.",
)
@click.option(
    "--tcp_ports",
    multiple=True,
    metavar="PORTS",
    help="Ports for the servers: N or N1-N2; may be repeated. "
    "More are taken beyond the highest where these are too few. Default: any free ones.",
)
@click.option("-n", "--name", help="Name of this node; default: its location.")
@click.option(
    "--dest_path",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIRECTORY",
    help="Where the servers' working directories are made.",
)
@click.option(
    "-s",
    "--secret",
    help="The secret itself. Everybody on this machine can see it in the list of processes: prefer --secret_file.",
)
@click.option(
    "--secret_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="File of the secret; default: the one of this user, made on first use.",
)
@click.option("--daemon", is_flag=True, help="Do not read commands from standard input.")
@click.option("-d", "--debug", is_flag=True, help="Log everything.")
def node(
    cpus: int,
    ip_addr: str | None,
    udp_port: int,
    port: int | None,
    tcp_ports: tuple[str, ...],
    name: str | None,
    dest_path: Path | None,
    secret: str | None,
    secret_file: Path | None,
    daemon: bool,
    debug: bool,
) -> int:
    """The command; its exit code."""
    log.enable_console(logging.DEBUG if debug else logging.WARNING)
    if secret is not None:
        if secret_file is not None:
            raise click.UsageError("--secret and --secret_file exclude each other")
        click.echo(
            "greencoro node: a secret on the command line is visible to everybody on this machine (`ps`); "
            "prefer --secret_file",
            err=True,
        )
    try:
        servers = count_servers(cpus, len(os.sched_getaffinity(0)))
        server_ports = expand_ports(tcp_ports, servers)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    own_port = udp_port if port is None else port
    try:
        settings = Settings.from_env()
        if secret_file is not None:
            settings = dataclasses.replace(settings, secret_file=secret_file)
        options = NodeOptions(
            servers,
            host=ip_addr,
            port=own_port,
            udp_port=udp_port,
            server_ports=server_ports,
            name=name,
            dest_path=dest_path,
        )
        daemon_node = Node(options, settings, secret=secret)
        daemon_node.end_on_signals()
        return daemon_node.run(functools.partial(_announce, daemon_node, servers, not daemon and _is_in_foreground()))
    except (OSError, GreencoroError) as error:
        click.echo(f"greencoro node: {error}", err=True)
        return 1


def count_servers(cpus: int, available: int) -> int:
    """Number of servers for ``--cpus``.

    Args:
        cpus (int): As given: that many, all but so many, or 0 for all.

        available (int): CPUs that this process may use.

    Raises:
        ValueError: It would be more than there are CPUs, or none.
    """
    if cpus > available:
        raise ValueError(f"--cpus {cpus} is more than the {available} CPUs there are")
    count = cpus if cpus > 0 else available + cpus
    if count < 1:
        raise ValueError(f"--cpus {cpus} leaves none of the {available} CPUs there are")
    return count


def _is_in_foreground() -> bool:
    """Is standard input a terminal that may be read? In the background that would stop the process."""
    try:
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:  # a terminal, but not this session's: nobody else reads it
        return True


def _announce(daemon_node: Node, servers: int, interactive: bool, runtime: Any) -> None:
    click.echo(
        f"greencoro node at {runtime.location}: {servers} server{'' if servers == 1 else 's'}, "
        f"secret {runtime.secret.fingerprint}"
    )
    sys.stdout.flush()
    if interactive:
        click.echo("commands: status, close, quit (or exit), terminate")
        native.Thread(functools.partial(_read_commands, daemon_node), "greencoro-commands").start()


def _read_commands(daemon_node: Node) -> None:
    for line in sys.stdin:
        daemon_node.command(line)
