"""The options of a node daemon on the command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, time
from pathlib import Path
from typing import Any

import click

from greencoro.cli.ports import expand_ports
from greencoro.cli.saved_config import config_option, save_option
from greencoro.compute.limits import Limits, size
from greencoro.compute.node_options import NodeOptions
from greencoro.compute.service_hours import ServiceHours, time_of_day
from greencoro.distributed.location import Location
from greencoro.distributed.options import SCHEDULERS
from greencoro.errors import ConfigError

__all__ = ["NOT_SAVED", "OPTIONS", "count_servers", "node_options"]

#: What belongs to one node, or nowhere but in the secret's own file.
NOT_SAVED = frozenset({"secret", "ip_addr", "ext_ip_addr", "name", "save_config"})

_TAG = re.compile(r"(\w[^=\n]*)=([^\n]*)")


class _Checked(click.ParamType):
    """Text that a function accepts. It stays text, as which it can be saved."""

    def __init__(self, name: str, check: Callable[[str], object]) -> None:
        self.name = name
        self._check = check

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See `click.ParamType`."""
        text = str(value)
        try:
            self._check(text)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return text


def _tag(text: str) -> tuple[str, str]:
    match = _TAG.fullmatch(text)
    if match is None:
        raise ConfigError(f"{text!r} is no tag, like disk=ssd")
    return match[1], match[2]


def _option(flags: str, help: str, **more: Any) -> click.Option:
    return click.Option(flags.split(), help=help, **more)


_PORT = click.IntRange(1, 65535)
_FILE = click.Path(path_type=Path, dir_okay=False)
_TIME = _Checked("time", time_of_day)

#: In the order in which the help lists them; a `click.Command` has them as its ``params``.
OPTIONS: Sequence[click.Option] = (
    _option(
        "-c --cpus",
        "Servers to start: N; all CPUs but N, where N is negative; one for each CPU, where it is 0 (default). CPUs are "
        "those that the daemon may use, by its affinity and its control group's quota.",
        type=int,
        default=0,
        metavar="N",
    ),
    _option(
        "-i --ip_addr",
        "Address or host name to listen at; default: that of the first network interface.",
        metavar="ADDRESS",
    ),
    _option(
        "--ext_ip_addr",
        "Address of the gateway that forwards the ports of the daemon and its servers to this machine.",
        metavar="ADDRESS",
    ),
    _option(
        "-u --udp_port",
        "Port that nodes and clients have in common; the number of the daemon's TCP port too.",
        type=_PORT,
        default=51350,
        show_default=True,
        metavar="PORT",
    ),
    _option(
        "--port",
        "The daemon's own TCP port; default: the number of --udp_port; 0: any free one.",
        type=click.IntRange(0, 65535),
        metavar="PORT",
    ),
    _option(
        "--tcp_ports",
        "Ports for the servers: N or N1-N2; may be repeated. More are taken beyond the highest where these are too "
        "few. Default: any free ones.",
        type=_Checked("ports", lambda text: expand_ports([text], 1)),
        multiple=True,
        metavar="PORTS",
    ),
    _option("-n --name", "Name of this node; default: its location. Its servers are NAME-1, NAME-2, ..."),
    _option(
        "--tag",
        "A word about the node, for filters; may be repeated.",
        type=_Checked("tag", _tag),
        multiple=True,
        metavar="NAME=VALUE",
    ),
    _option(
        "--dest_path",
        "Where the servers' working directories are made.",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIRECTORY",
    ),
    _option(
        "--max_file_size",
        "Largest file that a server takes, in bytes or as in 500M; default: no limit.",
        type=_Checked("size", size),
        metavar="BYTES",
    ),
    _option(
        "-s --secret",
        "The secret itself. Everybody on this machine can see it in the list of processes: prefer --secret_file.",
    ),
    _option(
        "--secret_file",
        "File of the secret; default: the one of this user, made on first use.",
        type=_FILE,
        metavar="FILE",
    ),
    _option("--certfile", "Certificate, where processes talk by TLS.", type=_FILE, metavar="FILE"),
    _option("--keyfile", "Its private key, where it is not in the same file.", type=_FILE, metavar="FILE"),
    _option(
        "--min_pulse_interval",
        "Shortest pulse_interval that a computation may have, in seconds.",
        type=float,
        default=10.0,
        show_default=True,
        metavar="S",
    ),
    _option(
        "--max_pulse_interval",
        "Longest pulse_interval that a computation may have, in seconds.",
        type=float,
        default=100.0,
        show_default=True,
        metavar="S",
    ),
    _option(
        "--zombie_period",
        "Seconds without a job after which a computation is closed, for others to use the node; 0: never.",
        type=float,
        default=0.0,
        show_default=True,
        metavar="S",
    ),
    _option(
        "--ping_interval",
        "Seconds after which the node announces itself again, while no scheduler has it; default: it does at its "
        "start.",
        type=float,
        metavar="S",
    ),
    _option(
        "--serve",
        "Computations to serve before the daemon ends; -1: no limit.",
        type=int,
        default=-1,
        show_default=True,
        metavar="N",
    ),
    _option("--service_start", "When the node begins to serve, each day; default: now.", type=_TIME, metavar="HH:MM"),
    _option("--service_stop", "When it stops to take jobs; those that run go on.", type=_TIME, metavar="HH:MM"),
    _option("--service_end", "When jobs that run are ended.", type=_TIME, metavar="HH:MM"),
    _option(
        "--drain_seconds",
        "What running jobs are given to end by themselves at SIGTERM.",
        type=float,
        default=10.0,
        show_default=True,
        metavar="S",
    ),
    _option("--discover_peers", "Find, and be found by, all peers on the network, not schedulers alone.", is_flag=True),
    _option(
        "--peer",
        "A peer to connect to, such as the scheduler; may be repeated.",
        type=_Checked("location", Location.parse),
        multiple=True,
        metavar="HOST:PORT",
    ),
    _option(
        "--limit",
        "What each server process may use: as=BYTES (memory), cpu=SECONDS, nproc=N, fsize=BYTES; may be repeated.",
        type=_Checked("limit", lambda text: Limits.parse([text])),
        multiple=True,
        metavar="KIND=N",
    ),
    _option("--user", "The account that servers run under; only root can have that.", metavar="NAME"),
    _option("--no_forward", "Do not send to clients what their jobs print.", is_flag=True),
    _option(
        "--phoenix",
        "End a daemon that offers this service (address and port) already, with its servers, and take its place.",
        is_flag=True,
    ),
    _option("--daemon", "Do not read commands from standard input.", is_flag=True),
    _option("-d --debug", "Log everything.", is_flag=True),
    save_option(),
    config_option(),
)


def node_options(values: Mapping[str, Any], servers: int, now: datetime) -> NodeOptions:
    """What the options ask for, once it is known how many servers that is.

    Args:
        values: Of each of `OPTIONS`, by name.

        now (datetime): By the clock on the wall.

    Raises:
        ValueError: They cannot work together; most often that is a `ConfigError`.
    """
    udp_port, port = values["udp_port"], values["port"]
    tags: dict[str, str] = {}
    for name, value in map(_tag, values["tag"]):
        if name in tags:
            raise ConfigError(f"the tag {name} is given twice")
        tags[name] = value
    return NodeOptions(
        servers,
        host=values["ip_addr"],
        ext_ip_addr=values["ext_ip_addr"],
        port=udp_port if port is None else port,
        udp_port=udp_port,
        server_ports=expand_ports(values["tcp_ports"], servers),
        name=values["name"],
        dest_path=values["dest_path"],
        max_file_size=None if values["max_file_size"] is None else size(values["max_file_size"]),
        certfile=values["certfile"],
        keyfile=values["keyfile"],
        min_pulse_interval=values["min_pulse_interval"],
        max_pulse_interval=values["max_pulse_interval"],
        zombie_period=values["zombie_period"],
        serve=None if values["serve"] == -1 else values["serve"],
        hours=_hours(values["service_start"], values["service_stop"], values["service_end"], now),
        discover_peers=True if values["discover_peers"] else SCHEDULERS,
        ping_interval=values["ping_interval"],
        peers=tuple(Location.parse(peer) for peer in values["peer"]),
        tags=tags,
        limits=Limits.parse(values["limit"]),
        user=values["user"],
        forward_output=not values["no_forward"],
        drain_seconds=values["drain_seconds"],
    )


def _hours(start: str | None, stop: str | None, end: str | None, now: datetime) -> ServiceHours | None:
    if start is stop is end is None:
        return None
    first = time(now.hour, now.minute) if start is None else time_of_day(start)
    return ServiceHours(first, None if stop is None else time_of_day(stop), None if end is None else time_of_day(end))


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
