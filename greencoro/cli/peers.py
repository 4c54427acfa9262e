"""``greencoro peers``: who is on the network."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from greencoro import log
from greencoro.cli.findings import words_of
from greencoro.cli.network_options import network_options
from greencoro.cli.peer_facts import PeerFacts, asked_of, facts_of
from greencoro.config import Settings
from greencoro.distributed.addresses import channels
from greencoro.distributed.location import Location
from greencoro.distributed.options import as_locations
from greencoro.distributed.peer_events import PeerEvent
from greencoro.distributed.runtime import DEFAULT_PORT, Runtime
from greencoro.errors import GreencoroError
from greencoro.hub import native

__all__ = ["peers"]

#: Number of the layout of ``--json``.
FORMAT = 1
_HEADINGS = ("name", "location", "greencoro", "Python", "answered after")
#: Whoever was named and did not answer is logged at about the end of the time; so much later it is too late.
_LATE_SECONDS = 0.5


@click.command(help="Join the network for a moment, and list who answers.")
@network_options(secret_must_exist=True)
@click.option(
    "--peer",
    "named",
    multiple=True,
    metavar="LOC",
    help="HOST:PORT to contact, or HOST for all runtimes there, the node daemon among them; may be repeated.",
)
def peers(
    node: str | None,
    udp_port: int,
    seconds: float,
    named: tuple[str, ...],
    secret_file: Path | None,
    certfile: Path | None,
    keyfile: Path | None,
    as_object: bool,
    debug: bool,
) -> int:
    """The command; its exit code."""
    log.enable_console(logging.DEBUG if debug else logging.WARNING)
    try:
        locations = as_locations(named)
    except ValueError as error:
        raise click.UsageError(f"--peer: {error}") from None
    try:
        settings = Settings.from_env()
        if secret_file is not None:
            settings = dataclasses.replace(settings, secret_file=secret_file)
        runtime = Runtime(node, udp_port, certfile=certfile, keyfile=keyfile, settings=settings)
    except (OSError, GreencoroError) as error:
        click.echo(f"greencoro peers: {words_of(error)}; `greencoro doctor` finds out more", err=True)
        return 1
    with runtime:
        after = _Arrivals(runtime)
        missing = _contact(runtime, locations, udp_port, seconds)
        found = facts_of(runtime)
    asked = [way.target for way in channels(runtime.location.addr, settings.multicast_group)]
    if as_object:
        click.echo(json.dumps(_as_json(runtime, asked, udp_port, seconds, found, missing, after), indent=2))
    elif found:
        _print_table([_row(facts, after) for facts in found])
    else:
        others = f", and {', '.join(missing)}" if missing else ""
        click.echo(
            f"no peers: nobody answered within {seconds:g} s; asked {asked_of(asked, udp_port)}{others}, as "
            f"{runtime.location}, with the secret {runtime.secret.fingerprint}. `greencoro doctor"
            f"{f' --peer {missing[0]}' if missing else ''}` finds out more"
        )
    return 1 if missing else 0


class _Arrivals:
    """When peers came, in seconds since this was made."""

    def __init__(self, runtime: Runtime) -> None:
        self._began = native.monotonic()
        self._at: dict[bytes, float] = {}
        runtime.watch_peers(self._on_event)

    def _on_event(self, event: PeerEvent) -> None:
        if event.online:
            self._at[event.peer.incarnation] = native.monotonic()

    def __getitem__(self, facts: PeerFacts) -> float:
        return self._at.get(facts.info.incarnation, self._began) - self._began


def _contact(runtime: Runtime, named: Sequence[Location], udp_port: int, seconds: float) -> list[str]:
    """Wait for those who come by themselves, and ask those who were named; which of these were not reached.

    What does not work is logged.
    """
    end = native.monotonic() + seconds
    reached: set[Location] = set()

    def contact(location: Location, place: Location) -> None:
        if runtime.peer(place, udp_port, timeout=seconds) == 0:
            reached.add(location)

    places = [(location, location) for location in named]
    if udp_port != DEFAULT_PORT:
        # A node daemon listens at the TCP port of the same number, unless it was told otherwise.
        places += [(location, Location(location.addr, udp_port)) for location in named if not location.port]
    threads = [native.Thread(functools.partial(contact, *each), "greencoro-contact") for each in places]
    for thread in threads:
        thread.start()
    native.Event().wait(seconds)
    for thread in threads:
        # It gives up at the same time, and says why.
        thread.join(max(0.0, end + _LATE_SECONDS - native.monotonic()))
    return [str(each) if each.port else each.addr for each in named if each not in reached]


def _row(facts: PeerFacts, after: _Arrivals) -> tuple[str, ...]:
    return facts.info.name, str(facts.info.location), facts.greencoro, facts.python, f"{after[facts]:.2f} s"


def _print_table(rows: list[tuple[str, ...]]) -> None:
    """For people: with lines at a terminal, else plain columns, which are never cut or wrapped."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*_HEADINGS)
        for row in rows:
            # Text, because a name may look like markup.
            table.add_row(*map(Text, row))
        Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
    for row in (_HEADINGS, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _as_json(
    runtime: Runtime,
    asked: list[str],
    udp_port: int,
    seconds: float,
    found: list[PeerFacts],
    missing: list[str],
    after: _Arrivals,
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "location": str(runtime.location),
        "fingerprint": runtime.secret.fingerprint,
        "asked": [f"{target}:{udp_port}" for target in asked],
        "seconds": seconds,
        "not_reached": missing,
        "peers": [facts.as_json() | {"answered_after_seconds": round(after[facts], 3)} for facts in found],
    }
