"""The checks of `greencoro doctor` that need one peer, named on the command line."""

from __future__ import annotations

import errno
import hmac
import ipaddress
import platform
import secrets
import socket
import statistics
import struct
from collections.abc import Iterator
from typing import Any

from greencoro._version import __version__
from greencoro.cli.findings import Finding, Level, ok_or_warn, words_of
from greencoro.cli.peer_facts import PeerFacts, facts_of
from greencoro.cli.steps import Warnings
from greencoro.config import Settings
from greencoro.distributed.addresses import resolve
from greencoro.distributed.datagrams import MAX_DATAGRAM_BYTES, Echo
from greencoro.distributed.location import Location
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.runtime import Runtime
from greencoro.errors import (
    AuthenticationError,
    DeadlineExceeded,
    GreencoroError,
    IncompatibleVersion,
    PeerUnreachable,
    RemoteProtocolError,
)
from greencoro.hub import native

__all__ = ["clock", "connect", "handshake", "resolve_name", "round_trip", "udp"]

#: Pings of one peer, and how long each may take.
PINGS = 20
PING_SECONDS = 2.0
#: So often one address is asked by UDP, and so long it has to answer, all in all.
_UDP_TIMES = 3
UDP_SECONDS = 1.5
#: Questions for its clock; the one that took least time counts.
_CLOCK_QUESTIONS = 5
#: No clock is further from 1970 than that.
_MOST_SECONDS = 1e12
#: Clocks further apart are worth a word: it shows in log lines, file times and certificates.
_CLOCK_SECONDS = 1.0


def resolve_name(peer: Location) -> tuple[list[str], Finding]:
    """All addresses of the peer's host; none where it has none."""
    began = native.monotonic()
    try:
        found = resolve(peer.addr)
    except OSError as error:
        text = f"{peer.addr} has no address: {words_of(error)}"
        return [], Finding("resolve", Level.FAIL, text, "check the spelling; or name an address", {"addresses": []})
    data = {"addresses": found, "milliseconds": _rounded(native.monotonic() - began)}
    text = f"{peer.addr} is {'an address' if found == [peer.addr] else ', '.join(found)}"
    if all(map(_is_loopback, found)) and not _is_loopback(peer.addr):
        text += ", which is always the machine that asks"
        advice = f"give the peer's address in place of its name, or mend what {peer.addr} is here (/etc/hosts)"
        return found, Finding("resolve", Level.WARN, text, advice, data)
    return found, Finding("resolve", Level.OK, text, data=data)


def connect(peer: Location, addresses: list[str], settings: Settings) -> Finding:
    """Does anybody accept TCP connections there, and how soon?"""
    tried: list[dict[str, Any]] = []
    advice = ""
    for address in addresses:
        began = native.monotonic()
        try:
            with socket.create_connection((address, peer.port), settings.connect_timeout_seconds) as sock:
                took = native.monotonic() - began
                # A reset: an orderly end would look like a stranger without the secret, and be logged there as such.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError as error:
            tried.append({"address": address, "milliseconds": None, "error": words_of(error)})
            advice = _advice_on(error, peer)
        else:
            tried.append({"address": address, "milliseconds": _rounded(took), "error": None})
    said = [f"{each['address']} " + (each["error"] or f"accepts after {each['milliseconds']:.2f} ms") for each in tried]
    text = f"TCP port {peer.port}: {'; '.join(said)}"
    worked = [each for each in tried if each["error"] is None]
    level = Level.FAIL if not worked else ok_or_warn(len(worked) == len(tried))
    return Finding("connect", level, text, advice, {"port": peer.port, "tried": tried})


def _advice_on(error: OSError, peer: Location) -> str:
    if error.errno == errno.ECONNREFUSED:
        return (
            f"the machine is there, but nobody listens at port {peer.port}: does it run, and is that its port? It may "
            f"listen at another address only: what it prints or logs at its start names both"
        )
    if isinstance(error, TimeoutError):
        return f"no answer at all: a firewall that drops what goes to TCP port {peer.port}, or the machine is down"
    if error.errno == errno.EHOSTUNREACH:
        return "the machine is down, the address is wrong, or a firewall refuses what goes there"
    return "there is no way to that address from here: check it, and the routes (`ip route get ADDRESS`)"


def handshake(peer: Location, runtime: Runtime, seconds: float) -> tuple[PeerFacts | None, Finding]:
    """Does the peer prove that it knows the secret, and go together with us? What it says it is; None: it does not."""
    fingerprint = runtime.secret.fingerprint
    data: dict[str, Any] = {"fingerprint": fingerprint, "peer": None, "error": None, "milliseconds": None}
    began = native.monotonic()
    try:
        # Else whoever waits says so on standard error, with advice for those who look for names.
        with Warnings():
            info = runtime.connect(peer, seconds)
    except (GreencoroError, OSError) as error:
        data["error"] = type(error).__name__
        return None, Finding("handshake", Level.FAIL, words_of(error), _advice_on_refusal(error, fingerprint), data)
    took = native.monotonic() - began
    facts = next((facts for facts in facts_of(runtime) if facts.info.incarnation == info.incarnation), None)
    if facts is None:
        text = f"{info} proved itself, and was lost at once"
        return None, Finding("handshake", Level.FAIL, text, "what it logs may say why", data)
    data |= {"peer": facts.as_json(), "milliseconds": _rounded(took)}
    text = (
        f"{info} proved itself in {took * 1000:.2f} ms; both have the secret {fingerprint}; "
        f"there greencoro {facts.greencoro}, Python {facts.python}"
    )
    advice = [each for each in (_on_versions(facts), _on_location(facts, peer)) if each]
    return facts, Finding("handshake", ok_or_warn(not advice), text, "; ".join(advice), data)


def _advice_on_refusal(error: Exception, fingerprint: str) -> str:
    if isinstance(error, AuthenticationError):
        if any(word in str(error) for word in ("TLS", "certificate")):
            return "--certfile FILE, the same on both sides (or on neither); see the page on TLS of the manual"
        return (
            f"run `greencoro doctor` there as well: where its secret is not {fingerprint}, copy the file of one side "
            f"to the other (the manual has a page on it); where it is, something else answers at that port"
        )
    if isinstance(error, IncompatibleVersion):
        if "serializer" in str(error):
            return "the doctor meets runtimes with pickle alone; those with JSON talk to each other"
        ours = f"{__version__} and {platform.python_version()}"
        return f"install one version of greencoro, for one minor version of Python, on both sides; here are {ours}"
    if isinstance(error, DeadlineExceeded | PeerUnreachable):
        return "TCP connects, and then nobody speaks: a process that is stopped, or something else at that port"
    return "what it logs may say why"


def _on_versions(facts: PeerFacts) -> str:
    if facts.greencoro != __version__:
        return f"there is greencoro {facts.greencoro}, here {__version__}: better the same"
    return ""


def _on_location(facts: PeerFacts, dialled: Location) -> str:
    told = facts.info.location
    if told.addr != dialled.addr and _is_loopback(told.addr) and not _is_loopback(dialled.addr):
        return f"it tells others to dial {told}, which only its own machine can: start it with another node="
    return ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def udp(addresses: list[str], port: int, key: bytes, facts: PeerFacts | None) -> Finding:
    """Do runtimes at the peer's UDP port hear us, and we them? ``facts``: of the peer, where it is known."""
    told = None if facts is None else facts.udp_port
    data: dict[str, Any] = {"port": port, "told_port": told, "tried": []}
    if told == 0:
        text = "the peer takes no part in discovery (discover_peers=False), so it is not asked"
        return Finding("udp", Level.OK, text, data=data)
    tried = data["tried"]
    advice = ""
    for address in addresses:
        try:
            took = _ask_by_udp(address, port, key)
        except OSError as error:
            tried.append({"address": address, "milliseconds": None, "error": words_of(error)})
            advice = (
                "nobody there hears at that UDP port: does it run, with that udp_port=?"
                if error.errno == errno.ECONNREFUSED
                else f"a firewall that drops what goes to UDP port {port}, or another program there took it: where "
                "several share the port one alone hears what is sent to that machine, and it may have another secret"
            )
        else:
            tried.append({"address": address, "milliseconds": _rounded(took), "error": None})
    said = [f"{each['address']} " + (each["error"] or f"answers after {each['milliseconds']:.2f} ms") for each in tried]
    text = f"UDP port {port}: {'; '.join(said)}"
    if told not in (None, port):
        text += f"; the peer itself is at UDP port {told}"
        advice = f"only who has one UDP port finds each other: --udp_port {told}, and in programs udp_port={told}"
        return Finding("udp", Level.WARN, text, advice, data)
    if any(each["error"] is None for each in tried):
        return Finding("udp", Level.OK, text, data=data)
    return Finding("udp", Level.WARN, text, f"{advice}; TCP is enough where it is named: peer(), or peers=", data)


def _ask_by_udp(address: str, port: int, key: bytes) -> float:
    """The seconds until an answer comes.

    Raises:
        OSError: None does, or the question cannot be sent.
    """
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((address, port))
        host, own_port = sock.getsockname()[:2]
        echo = Echo(secrets.token_bytes(16), Location(host.partition("%")[0], own_port))
        expected = echo.answer(key)
        for _ in range(_UDP_TIMES):
            began = native.monotonic()
            sock.send(echo.question(key))
            while (left := began + UDP_SECONDS / _UDP_TIMES - native.monotonic()) > 0:
                sock.settimeout(left)
                try:
                    heard = sock.recv(MAX_DATAGRAM_BYTES + 1)
                except TimeoutError:
                    break
                if hmac.compare_digest(heard, expected):
                    return native.monotonic() - began
    raise TimeoutError("no answer")


def round_trip(runtime: Runtime, peer: PeerInfo) -> Finding:
    """How long the peer's reactor takes to answer."""
    took = []
    try:
        for _ in range(PINGS):
            began = native.monotonic()
            runtime.request(peer, "greencoro.ping", {}, timeout=PING_SECONDS)
            took.append((native.monotonic() - began) * 1000)
    except GreencoroError as error:
        text = f"ping {len(took) + 1} of {PINGS}: {error}"
        advice = "the connection is there and then silent: look for what stops that process"
        return Finding("round_trip", Level.FAIL, text, advice, {"pings": len(took), "p50_milliseconds": None})
    p50 = statistics.median(took)
    data = {
        "pings": PINGS,
        "p50_milliseconds": round(p50, 3),
        "min_milliseconds": round(min(took), 3),
        "max_milliseconds": round(max(took), 3),
    }
    text = f"{PINGS} pings: p50 {p50:.2f} ms, {min(took):.2f} to {max(took):.2f} ms"
    return Finding("round_trip", Level.OK, text, data=data)


def clock(runtime: Runtime, peer: PeerInfo) -> Finding:
    """How far the peer's wall clock is ahead of ours."""
    data: dict[str, Any] = {"ahead_seconds": None, "uncertain_by_seconds": None}
    try:
        ahead, uncertain = min(_clock_answers(runtime, peer), key=lambda answer: answer[1])
    except GreencoroError as error:
        text = f"the peer does not tell the time: {error}"
        return Finding("clock", Level.WARN, text, "install one version of greencoro on both sides", data)
    data |= {"ahead_seconds": round(ahead, 6), "uncertain_by_seconds": round(uncertain, 6)}
    where = "ahead of" if ahead > 0 else "behind"
    text = f"its clock is {abs(ahead):.3f} s {where} ours (within {uncertain * 1000:.1f} ms)"
    if abs(ahead) - uncertain <= _CLOCK_SECONDS:
        return Finding("clock", Level.OK, text, data=data)
    advice = "set both by NTP (`timedatectl`): times in logs, of files and of certificates do not fit together"
    return Finding("clock", Level.WARN, text, advice, data)


def _clock_answers(runtime: Runtime, peer: PeerInfo) -> Iterator[tuple[float, float]]:
    """How far it is ahead, in seconds, and how uncertain that is: nobody knows when in between it looked."""
    for _ in range(_CLOCK_QUESTIONS):
        here, began = native.wall_clock(), native.monotonic()
        reply = runtime.request(peer, "greencoro.clock", {}, timeout=PING_SECONDS)
        half = (native.monotonic() - began) / 2
        there = reply.header.get("wall_clock_seconds")
        # Of a number that is none every comparison is false.
        if isinstance(there, bool) or not isinstance(there, int | float) or not abs(there) < _MOST_SECONDS:
            raise RemoteProtocolError("its answer is no time")
        yield there - (here + half), half


def _rounded(seconds: float) -> float:
    return round(seconds * 1000, 3)
