"""Where a runtime answers: host name or address with a TCP port.

Nothing is resolved here. Two locations are the same if they are written the same, after an IPv6 address has been
brought into its shortest form.
"""

from __future__ import annotations

import ipaddress
import operator
from dataclasses import dataclass
from typing import Any

__all__ = ["Location"]

#: Longest host accepted, in UTF-8 bytes: a DNS name has at most 253, and one byte counts it on the wire.
MAX_HOST_BYTES = 255


@dataclass(frozen=True, order=True, slots=True, init=False, repr=False)
class Location:
    """The place of a runtime, or of the coroutines, channels and functions registered there.

    Immutable, hashable, ordered by host, then port. `str` gives ``host:port``, with an IPv6 address in brackets.

    Args:
        host (str): Host name or IP address. A name is kept as given: no look-up happens.

        tcp_port (int | str): 0 to 65535, as a number or in digits. ``0`` stands for every runtime on that host where
            a runtime is looked for (`peer`).

    Raises:
        ValueError: One of them cannot be part of a location.
    """

    addr: str
    port: int

    def __init__(self, host: str, tcp_port: int | str) -> None:
        object.__setattr__(self, "addr", _checked_host(host))
        object.__setattr__(self, "port", _checked_port(tcp_port))

    @classmethod
    def parse(cls, text: str) -> Location:
        """Read ``host``, ``host:port``, ``[ipv6]`` or ``[ipv6]:port``; without a port it is 0.

        Raises:
            ValueError: The text is none of these.
        """
        if text.startswith("["):
            host, bracket, rest = text[1:].partition("]")
            if not bracket or (rest and not rest.startswith(":")) or ":" not in host:
                raise ValueError(f"{text!r} is no location: it opens a bracket, so [ipv6-address]:port is expected")
            return cls(host, rest[1:] if rest else 0)
        if text.count(":") > 1:
            # "fe80::1:51347" could mean two things; guessing wrong would be found out much later.
            raise ValueError(f"{text!r} is ambiguous: put an IPv6 address in brackets, as in [::1]:51347")
        host, colon, port = text.partition(":")
        return cls(host, port if colon else 0)

    @classmethod
    def of(cls, given: Any, what: str) -> Location:
        """What a caller gave: a location as it is, or text to `parse`.

        Args:
            what (str): Begins the sentence of the error: what takes it.

        Raises:
            TypeError: It is neither.

            ValueError: The text is no location.
        """
        if isinstance(given, Location):
            return given
        if not isinstance(given, str):
            raise TypeError(f"{what} takes a Location, or a host with or without a port as text, not {given!r}")
        return cls.parse(given)

    def __str__(self) -> str:
        return f"[{self.addr}]:{self.port}" if ":" in self.addr else f"{self.addr}:{self.port}"

    __repr__ = __str__

    def __reduce__(self) -> tuple[type[Location], tuple[str, int]]:
        return Location, (self.addr, self.port)


def _checked_host(host: str) -> str:
    if not isinstance(host, str):
        raise ValueError(f"a host is given as text, not as {type(host).__name__}")
    if ":" in host:
        try:
            host = str(ipaddress.IPv6Address(host))
        except ValueError:
            raise ValueError(f"{host!r} is neither a host name nor an IPv6 address") from None
    # Brackets, slashes and blanks come from a mistyped URL or list; control characters would reach log lines. The zone
    # of an IPv6 address (what follows its %) may be any text, as far as `ipaddress` looks at it.
    if not host or not host.isprintable() or any(character in " []/,@" for character in host):
        raise ValueError(f"{host!r} is no host name or IP address")
    if len(host.encode()) > MAX_HOST_BYTES:
        raise ValueError(f"a host name has at most {MAX_HOST_BYTES} bytes; this one starts with {host[:32]!r}")
    return host


def _checked_port(port: int | str) -> int:
    if isinstance(port, str):
        # int() would also take " 7", "+7" and "1_000".
        number = int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else -1
    elif isinstance(port, bool):
        number = -1
    else:
        try:
            number = operator.index(port)
        except TypeError:
            number = -1
    if not 0 <= number <= 65535:
        raise ValueError(f"a TCP port is a number from 0 to 65535, not {port!r}")
    return number
