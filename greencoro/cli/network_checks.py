"""The checks of `greencoro doctor` that need this machine's network and nobody else's."""

from __future__ import annotations

import errno
import ipaddress
import os
import secrets
import socket
from collections.abc import Callable
from typing import Any

import psutil

from greencoro.cli.findings import Finding, Level, ok_or_warn, words_of
from greencoro.cli.peer_facts import PeerFacts, asked_of, facts_of
from greencoro.cli.steps import Warnings
from greencoro.config import Settings
from greencoro.distributed import reactor as reactors
from greencoro.distributed.addresses import Channel, channels, default_address, is_unspecified, resolve
from greencoro.distributed.discovery_socket import DiscoverySocket
from greencoro.distributed.reactor import Reactor
from greencoro.distributed.runtime import Runtime
from greencoro.errors import GreencoroError
from greencoro.hub import native
from greencoro.hub.completion import Completion

__all__ = ["broadcast", "choose_address", "peers_found", "tcp_port", "udp_port"]

#: So long a datagram of our own may take to come back, and so often it is sent.
_BACK_SECONDS = 0.5
_SENT_TIMES = 3


def choose_address(node: str | None) -> tuple[str | None, Finding]:
    """The address that a runtime would listen at, None where it cannot; ``node`` as for `Runtime`."""
    interfaces = _interfaces()
    data: dict[str, Any] = {"interfaces": interfaces, "chosen": None, "reason": ""}
    try:
        found = resolve(default_address() if node is None else node)
    except OSError as error:
        text = f"{node} has no address: {words_of(error)}"
        return None, Finding("addresses", Level.FAIL, text, "give --node an address of this machine", data)
    chosen = found[0]
    at = {entry["address"]: entry["interface"] for entry in interfaces if entry["is_up"]}
    here = ipaddress.ip_address(chosen)
    others = ", ".join(f"{address} ({name})" for address, name in at.items() if address != chosen) or "none"
    if chosen not in at and not here.is_loopback and not here.is_unspecified:
        which = chosen if node == chosen else f"{node} is {chosen}, which"
        text = f"{which} is no address of an interface of this machine that is up; there are: {others}"
        return None, Finding("addresses", Level.FAIL, text, "give --node one of these", data)
    reason = "the first of an interface that is up" if node is None else "as --node says"
    level, advice = Level.OK, ""
    if here.is_loopback:
        reason = f"{'no interface that is up has another' if node is None else reason}; only this machine can reach it"
        if node is None:
            level, advice = Level.WARN, "bring a network interface up, if others are to reach this machine"
        elif node not in (chosen, "localhost"):
            # As some systems have it in /etc/hosts for the machine's own name.
            level, advice = (
                Level.WARN,
                "give --node (in programs: node=) the address by which others reach this machine",
            )
    elif node is None and len({name for address, name in at.items() if _is_reachable(address)}) > 1:
        reason += "; --node, or Runtime(node=), takes another"
    data |= {"chosen": chosen, "reason": reason}
    text = f"{chosen} ({'all interfaces' if here.is_unspecified else at.get(chosen, 'loopback')}): {reason}"
    return chosen, Finding("addresses", level, f"{text}. Others: {others}", advice, data)


def _interfaces() -> list[dict[str, Any]]:
    states = psutil.net_if_stats()
    return [
        {
            "interface": name,
            "address": found.address.partition("%")[0],
            "netmask": found.netmask,
            "broadcast": found.broadcast,
            "is_up": name not in states or states[name].isup,
        }
        for name, addresses in psutil.net_if_addrs().items()
        for found in addresses
        if found.family in (socket.AF_INET, socket.AF_INET6)
    ]


def _is_reachable(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return not parsed.is_loopback and not parsed.is_link_local


def tcp_port(address: str, port: int, is_named: bool) -> Finding:
    """Can somebody listen at this port? ``is_named``: on the command line, so it has to be free."""
    data: dict[str, Any] = {"address": address, "port": port, "is_free": True, "taken_by": None}
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        socket.create_server((address, port), family=family).close()
    except OSError as error:
        taken_by = _holder("tcp", port)
        data |= {"is_free": False, "taken_by": taken_by}
        text = f"{address}:{port} cannot be had: {words_of(error)}{_by(taken_by)}"
        if error.errno == errno.EADDRINUSE and not is_named:
            advice = "all is well where that is `greencoro node`, or none is to run here; else give it another --port"
            return Finding("tcp_port", Level.WARN, text, advice, data)
        advice = "end what has it, or take another port"
        return Finding("tcp_port", Level.FAIL, text, advice, data)
    return Finding("tcp_port", Level.OK, f"{address}:{port} is free", data=data)


def udp_port(address: str, port: int, settings: Settings) -> tuple[list[Channel], Finding]:
    """The networks that a runtime at ``address`` is heard on, none where it cannot have the port of discovery."""
    ways = channels(address, settings.multicast_group)
    data: dict[str, Any] = {"port": port, "networks": [way.target for way in ways], "taken_by": None}
    reactor = reactors.acquire(settings.log_lines_per_second)
    try:
        DiscoverySocket(reactor, ways, _own(address, ways), port, lambda datagram, host, port: None).close()
    except OSError as error:
        taken_by = _holder("udp", port)
        data["taken_by"] = taken_by
        advice = "end what has it, or give all runtimes another --udp_port (in programs: udp_port=)"
        return [], Finding("udp_port", Level.FAIL, f"{words_of(error)}{_by(taken_by)}", advice, data)
    finally:
        reactors.release()
    if not ways:
        text = f"{address} is on no network with a broadcast address, so discovery hears nobody"
        return [], Finding("udp_port", Level.WARN, text, "name the peers: peer(), or peers=", data)
    text = f"{port} can be had at {asked_of([way.target for way in ways], port)}; several programs may share it"
    return ways, Finding("udp_port", Level.OK, text, data=data)


def _own(address: str, ways: list[Channel]) -> list[str]:
    return list(dict.fromkeys(way.address for way in ways)) if is_unspecified(address) else [address]


def broadcast(ways: list[Channel], port: int, settings: Settings) -> Finding:
    """Does what is broadcast come back to its sender?"""
    reactor = reactors.acquire(settings.log_lines_per_second)
    try:
        took = [_round_trip(reactor, way, port) for way in ways]
    finally:
        reactors.release()
    data = {
        "networks": [
            {"target": way.target, "milliseconds": seconds and round(seconds * 1000, 3)}
            for way, seconds in zip(ways, took, strict=True)
        ]
    }
    said = [
        f"{way.target}:{port} " + ("did not come back" if seconds is None else f"came back after {_ms(seconds)}")
        for way, seconds in zip(ways, took, strict=True)
    ]
    text = f"a datagram of our own to {', '.join(said)}"
    if None not in took:
        return Finding("broadcast", Level.OK, text, data=data)
    advice = f"let the firewall of this machine pass UDP port {port}; or name the peers: peer(), or peers="
    return Finding("broadcast", Level.WARN if any(took) else Level.FAIL, text, advice, data)


def _round_trip(reactor: Reactor, way: Channel, port: int) -> float | None:
    # No ping: whoever else hears it drops it, as everything that is none.
    datagram = secrets.token_bytes(32)
    back, closed = Completion(), Completion()

    def hear(heard: bytes, host: str, port: int) -> None:
        if heard == datagram:
            back.set(native.monotonic())

    def close() -> None:
        sock.close()
        closed.set()

    sock = DiscoverySocket(reactor, [way], [], port, hear)
    reactor.post(sock.start)
    try:
        for _ in range(_SENT_TIMES):
            began = native.monotonic()
            reactor.post(sock.broadcast, lambda way: datagram)
            if back.wait(_BACK_SECONDS):
                return float(back.value) - began
        return None
    finally:
        reactor.post(close)
        closed.wait(_BACK_SECONDS)


def peers_found(
    start: Callable[[], Runtime], fingerprint: str, ways: list[Channel], port: int, seconds: float
) -> Finding:
    """Who answers to the runtime that ``start()`` makes, within so many seconds."""
    began = native.monotonic()
    with Warnings() as warnings:
        try:
            runtime = start()
        except (GreencoroError, OSError) as error:
            advice = "what is said of addresses and ports above may be the reason"
            return Finding("peers", Level.FAIL, f"no runtime can start: {words_of(error)}", advice, {"peers": []})
        with runtime:
            native.sleep(max(0.0, seconds - (native.monotonic() - began)))
            found = facts_of(runtime)
    asked = asked_of([way.target for way in ways], port)
    data: dict[str, Any] = {
        "asked": [f"{way.target}:{port}" for way in ways],
        "seconds": seconds,
        "peers": [facts.as_json() for facts in found],
        "warnings": warnings.said,
    }
    text = f"{len(found)} answered on {asked} within {seconds:g} s"
    if found:
        text += ": " + ", ".join(map(_words, found))
    advice = ""
    if warnings.said:
        advice = "meanwhile was logged: " + "; ".join(warnings.said)
    elif not found:
        advice = (
            f"does one run elsewhere, with the secret {fingerprint} and the UDP port {port}? Ask there as well; "
            f"or name it: --peer HOST:PORT"
        )
    return Finding("peers", ok_or_warn(bool(found) and not warnings.said), text, advice, data)


def _words(facts: PeerFacts) -> str:
    info = facts.info
    name = "" if info.name == str(info.location) else f"{info.name} at "
    return f"{name}{info.location} (greencoro {facts.greencoro}, Python {facts.python})"


def _holder(kind: str, port: int) -> str | None:
    """Who has the port, as far as this user may know."""
    try:
        for connection in psutil.net_connections(kind):
            if connection.laddr and connection.laddr.port == port and connection.pid not in (None, os.getpid()):
                if kind == "tcp" and connection.status != psutil.CONN_LISTEN:
                    continue
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        # It ended meanwhile, or is another user's: then it stays nameless.
        return None
    return None


def _by(taken_by: str | None) -> str:
    return "" if taken_by is None else f", taken by {taken_by}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms"
