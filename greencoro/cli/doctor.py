"""``greencoro doctor``: why processes here do not find each other, or those elsewhere."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import click

from greencoro import log
from greencoro.cli import machine_checks, network_checks, peer_checks
from greencoro.cli.findings import Finding, Level, as_json, exit_code, words_of
from greencoro.cli.network_options import network_options
from greencoro.cli.peer_facts import PeerFacts
from greencoro.cli.steps import within
from greencoro.config import Settings
from greencoro.distributed.location import Location
from greencoro.distributed.runtime import Runtime
from greencoro.distributed.secret import Secret
from greencoro.errors import DeadlineExceeded, GreencoroError

__all__ = ["doctor"]

T = TypeVar("T")

_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}

#: What needs no network, or little of it, takes at most so long each: a resolver or a file system may be away.
STEP_SECONDS = 15.0
#: What a runtime may take to start and to finish, beyond the time that peers have to answer.
END_SECONDS = 8.0


@click.command(help="Find out what keeps processes apart, here or on the way to a peer.")
@click.option(
    "--peer",
    metavar="LOC",
    help="HOST:PORT of a runtime to reach, which is also asked at --udp_port; without a port, the node daemon there.",
)
@network_options(secret_must_exist=False)
@click.option(
    "--tcp_port",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="TCP port that has to be free; default: look at the node daemon's, the number of --udp_port.",
)
def doctor(
    peer: str | None,
    node: str | None,
    udp_port: int,
    tcp_port: int | None,
    seconds: float,
    secret_file: Path | None,
    certfile: Path | None,
    keyfile: Path | None,
    as_object: bool,
    debug: bool,
) -> int:
    """The command; its exit code."""
    if debug:
        log.enable_console(logging.DEBUG)
    try:
        location = None if peer is None else Location.parse(peer)
    except ValueError as error:
        raise click.UsageError(f"--peer: {error}") from None
    if location is not None and not location.port:
        # A node daemon listens at the TCP port of the same number, unless it was told otherwise.
        location = Location(location.addr, udp_port)
    checkup = _Checkup(aloud=not as_object)
    network = _Network(node, udp_port, tcp_port, certfile, keyfile)
    started = _start_with(checkup, network, secret_file)
    if started is not None:
        _look_around(checkup, network, started, seconds)
        if location is not None:
            _look_at(checkup, location, udp_port, started)
    if as_object:
        click.echo(json.dumps(as_json(checkup.findings), indent=2))
    return exit_code(checkup.findings)


class _Network(NamedTuple):
    """Where a runtime is to be, as the command line says."""

    node: str | None
    udp_port: int
    tcp_port: int | None
    certfile: Path | None
    keyfile: Path | None


class _Start(NamedTuple):
    """What runtimes are started with; `runtime` only where all the others are there."""

    settings: Settings
    secret: Secret | None
    address: str | None
    runtime: Callable[[bool], Runtime] | None


class _Checkup:
    """Does the checks, and keeps what they found.

    Args:
        aloud (bool): Print each finding when it is there.
    """

    def __init__(self, aloud: bool) -> None:
        self.findings: list[Finding] = []
        self._aloud = aloud

    def step(self, check: str, what: str, function: Callable[[], tuple[T, Finding]], seconds: float) -> T | None:
        """Do one check; what it found for those that follow, None where it failed or took longer than ``seconds``."""
        try:
            value, finding = within(seconds, what, function)
        except (GreencoroError, OSError) as error:
            advice = "find out why that takes so long" if isinstance(error, DeadlineExceeded) else ""
            self.add(Finding(check, Level.FAIL, words_of(error), advice))
            return None
        self.add(finding)
        return value

    def check(self, check: str, what: str, function: Callable[[], Finding], seconds: float) -> bool:
        """Do one check; False where it failed."""

        def step() -> tuple[bool, Finding]:
            finding = function()
            return finding.level is not Level.FAIL, finding

        return bool(self.step(check, what, step, seconds))

    def add(self, finding: Finding) -> None:
        """Keep a finding."""
        self.findings.append(finding)
        if self._aloud:
            first, *rest = finding.lines()
            level = click.style(f"{finding.level.value:4}", fg=_COLOURS[finding.level])
            # What peers and the system say is shown, not obeyed.
            click.echo(f"{level}  {log.escape(first, None)}")
            for line in rest:
                click.echo(log.escape(line, None))


def _start_with(checkup: _Checkup, network: _Network, secret_file: Path | None) -> _Start | None:
    """Check what a runtime needs before there is one; None where the settings cannot work."""
    checkup.add(machine_checks.versions())
    checkup.add(machine_checks.patched())
    settings = checkup.step("settings", "the settings", lambda: machine_checks.settings_of(secret_file), STEP_SECONDS)
    checkup.add(machine_checks.descriptors())
    checkup.add(machine_checks.memory_maps())
    if settings is None:
        return None
    secret = checkup.step(
        "secret",
        f"the secret in {settings.secret_path}",
        lambda: machine_checks.secret_of(settings, secret_file is not None),
        STEP_SECONDS,
    )
    has_certificate = (network.certfile is None and network.keyfile is None) or checkup.check(
        "certificate",
        f"the certificate in {network.certfile}",
        lambda: machine_checks.certificate(network.certfile, network.keyfile),
        STEP_SECONDS,
    )
    what = "the addresses of this machine" if network.node is None else f"the addresses of {network.node}"
    address = checkup.step("addresses", what, lambda: network_checks.choose_address(network.node), STEP_SECONDS)
    if secret is None or address is None or not has_certificate:
        return _Start(settings, secret, address, None)

    def runtime(discovers: bool) -> Runtime:
        return Runtime(
            address,
            network.udp_port,
            discover_peers=discovers,
            announce=False,
            certfile=network.certfile,
            keyfile=network.keyfile,
            settings=settings,
            secret_key=secret.key,
        )

    return _Start(settings, secret, address, runtime)


def _look_around(checkup: _Checkup, network: _Network, start: _Start, seconds: float) -> None:
    """Check the ports, and who hears us."""
    address, udp_port = start.address, network.udp_port
    if address is None:
        return
    tcp_port = udp_port if network.tcp_port is None else network.tcp_port
    checkup.check(
        "tcp_port",
        f"TCP port {tcp_port}",
        lambda: network_checks.tcp_port(address, tcp_port, network.tcp_port is not None),
        STEP_SECONDS,
    )
    ways = checkup.step(
        "udp_port",
        f"UDP port {udp_port}",
        lambda: network_checks.udp_port(address, udp_port, start.settings),
        STEP_SECONDS,
    )
    if not ways:
        return
    checkup.check(
        "broadcast",
        "a datagram of our own to come back",
        lambda: network_checks.broadcast(ways, udp_port, start.settings),
        STEP_SECONDS,
    )
    runtime, secret = start.runtime, start.secret
    if runtime is not None and secret is not None:
        checkup.check(
            "peers",
            f"peers to answer at UDP port {udp_port}",
            lambda: network_checks.peers_found(lambda: runtime(True), secret.fingerprint, ways, udp_port, seconds),
            seconds + END_SECONDS,
        )


def _look_at(checkup: _Checkup, peer: Location, udp_port: int, start: _Start) -> None:
    """Check the way to one peer, and back."""
    settings = start.settings
    addresses = checkup.step(
        "resolve", f"the addresses of {peer.addr}", lambda: peer_checks.resolve_name(peer), STEP_SECONDS
    )
    if not addresses:
        return
    accepts = checkup.check(
        "connect",
        f"{peer} to accept a connection",
        lambda: peer_checks.connect(peer, addresses, settings),
        settings.connect_timeout_seconds * len(addresses) + 1.0,
    )
    make, secret = start.runtime, start.secret

    def ask_by_udp(facts: PeerFacts | None) -> None:
        if secret is not None:
            checkup.check(
                "udp",
                f"{peer.addr} to answer at UDP port {udp_port}",
                lambda: peer_checks.udp(addresses, udp_port, secret.discovery_key(), facts),
                peer_checks.UDP_SECONDS * len(addresses) + 1.0,
            )

    if not accepts:
        # Whether it is TCP alone that does not get through.
        ask_by_udp(None)
        return
    if make is None:
        return
    try:
        # Not one that discovers: the peer would perhaps be met before it is dialled.
        runtime = within(STEP_SECONDS, f"a runtime to start at {start.address}", lambda: make(False))
    except (GreencoroError, OSError) as error:
        text = f"no runtime can start: {words_of(error)}"
        checkup.add(Finding("handshake", Level.FAIL, text, "what is said above may be the reason"))
        return
    with runtime:
        seconds = settings.connect_timeout_seconds + settings.handshake_seconds + 1.0
        facts = checkup.step(
            "handshake",
            f"{peer} to prove itself",
            lambda: peer_checks.handshake(peer, runtime, seconds),
            seconds + 1.0,
        )
        if facts is None:
            return
        ask_by_udp(facts)
        info = facts.info
        pings = peer_checks.PINGS * peer_checks.PING_SECONDS
        checkup.check("round_trip", f"{peer} to answer", lambda: peer_checks.round_trip(runtime, info), pings)
        checkup.check("clock", f"{peer} to tell the time", lambda: peer_checks.clock(runtime, info), STEP_SECONDS)
