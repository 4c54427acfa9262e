"""What a node daemon is started with, checked before anything is begun."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from greencoro.compute.limits import Limits
from greencoro.compute.service_hours import ServiceHours
from greencoro.distributed.location import Location
from greencoro.errors import ConfigError

__all__ = ["NodeOptions"]


@dataclass(frozen=True)
class NodeOptions:
    """What whoever runs a node decides about it.

    Attributes:
        servers (int): Number of server processes.

        host (str | None): Address to listen on; None for the default of `Runtime`.

        ext_ip_addr (str | None): Address of the gateway that forwards the ports of the daemon and its servers.

        port (int): The daemon's own TCP port; 0 for any.

        udp_port (int | None): Port of discovery; None for the default of `Runtime`.

        server_ports (tuple[int, ...]): One for each server; 0 for any. Empty: any for all.

        name (str | None): The node's name; None for the default of `Runtime`. Server k is called ``<name>-<k>``.

        dest_path (Path | None): Where the servers' directories are made.

        max_file_size (int | None): Bytes of the largest file that a server takes; None: no limit.

        certfile, keyfile (Path | None): Of the certificate that the daemon and its servers show.

        min_pulse_interval, max_pulse_interval (float): The limits of what a computation may ask for, in seconds.

        zombie_period (float): Seconds without a job after which a computation is closed; 0: never.

        serve (int | None): Computations to serve before the daemon ends; None: no limit.

        hours (ServiceHours | None): When the node is in service; None: always.

        discover_peers (bool | str): Find peers on the network, and be found; ``"schedulers"``: by those alone.

        ping_interval (float | None): How often to announce the node while no scheduler has it, in seconds; None: once.

        peers (tuple[Location, ...]): Who to connect to.

        tags: Words about the node, by name, for filters.

        limits (Limits): Of each server.

        user (str | None): Name of the account that jobs run under; None: the daemon's.

        forward_output (bool): Send what jobs print to their client.

        drain_seconds (float): What running jobs are given when the daemon is asked to end, their clean-up included.

    Raises:
        ConfigError: They cannot work, alone or together.
    """

    servers: int
    host: str | None = None
    ext_ip_addr: str | None = None
    port: int = 0
    udp_port: int | None = None
    server_ports: tuple[int, ...] = ()
    name: str | None = None
    dest_path: Path | None = None
    max_file_size: int | None = None
    certfile: Path | None = None
    keyfile: Path | None = None
    min_pulse_interval: float = 10.0
    max_pulse_interval: float = 100.0
    zombie_period: float = 0.0
    serve: int | None = None
    hours: ServiceHours | None = None
    discover_peers: bool | str = False
    ping_interval: float | None = None
    peers: tuple[Location, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    user: str | None = None
    forward_output: bool = True
    drain_seconds: float = 10.0

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise ConfigError(problem)

    def _problems(self) -> list[str]:
        problems = []

        def need(fulfilled: bool, problem: str) -> None:
            if not fulfilled:
                problems.append(problem)

        need(self.servers >= 1, f"a node has at least one server, not {self.servers}")
        need(
            len(self.server_ports) in (0, self.servers),
            f"{len(self.server_ports)} ports are given for {self.servers} servers",
        )
        for port in (self.port, self.udp_port or 0, *self.server_ports):
            need(0 <= port <= 65535, f"{port} is no port")
        for port in sorted({port for port in self.server_ports if port and self.server_ports.count(port) > 1}):
            need(False, f"port {port} is given to two servers")
        need(
            not self.port or self.port not in self.server_ports,
            f"port {self.port} is given to a server, and to the daemon too: one of them needs another",
        )
        need(self.keyfile is None or self.certfile is not None, "a key needs its certificate: certfile is missing")
        need(self.max_file_size is None or self.max_file_size >= 0, "max_file_size is negative")
        for name in ("min_pulse_interval", "max_pulse_interval"):
            value = getattr(self, name)
            need(math.isfinite(value) and value > 0, f"{name} is {value}, and has to be a number of seconds above 0")
        need(
            self.min_pulse_interval <= self.max_pulse_interval,
            f"min_pulse_interval ({self.min_pulse_interval:g} s) is longer than "
            f"max_pulse_interval ({self.max_pulse_interval:g} s)",
        )
        for name in ("zombie_period", "drain_seconds"):
            value = getattr(self, name)
            need(math.isfinite(value) and value >= 0, f"{name} is {value}, and has to be a number of seconds from 0 on")
        need(
            self.ping_interval is None or (math.isfinite(self.ping_interval) and self.ping_interval > 0),
            f"ping_interval is {self.ping_interval}, and has to be a number of seconds above 0",
        )
        need(self.serve is None or self.serve >= 1, f"a node serves at least one computation, not {self.serve}")
        need(all(self.tags), "a tag has no name")
        return problems
