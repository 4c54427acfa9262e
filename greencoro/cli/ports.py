"""The TCP ports of servers, as people list them."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["expand_ports"]

_HIGHEST = 65535


def expand_ports(listed: Iterable[str], count: int) -> tuple[int, ...]:
    """Ports for ``count`` servers: those listed in their order, then those beyond the highest of them.

    Args:
        listed: Each a port, as ``"2345"``, or a range with both ends in it, as ``"2345-2347"``.

    Returns:
        A port for each server; nothing where nothing is listed, so that each takes any free one.

    Raises:
        ValueError: Something else was listed, one port twice, or there are not enough ports beyond the highest.
    """
    ports: list[int] = []
    for text in listed:
        first, dash, last = text.partition("-")
        low = _port(first, text)
        high = _port(last, text) if dash else low
        if high < low:
            raise ValueError(f"the range {text} ends below its start")
        ports += range(low, high + 1)
    if len(set(ports)) < len(ports):
        raise ValueError("a port is listed twice")
    if not ports:
        return ()
    ports = ports[:count]
    beyond = max(ports) + 1 if len(ports) < count else 0
    ports += range(beyond, beyond + count - len(ports))
    if max(ports) > _HIGHEST:
        raise ValueError(f"there are not {count} ports: the highest one is {_HIGHEST}")
    return tuple(ports)


def _port(text: str, whole: str) -> int:
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else 0
    if not 1 <= number <= _HIGHEST:
        raise ValueError(f"{whole!r} is no port or range of ports, like 2345 or 2345-2347")
    return number
