"""What a runtime knows of the peers that are online."""

from __future__ import annotations

from typing import NamedTuple

from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.runtime import Runtime

__all__ = ["PeerFacts", "asked_of", "facts_of"]


class PeerFacts(NamedTuple):
    """A peer, as it introduced itself; ``udp_port`` is 0 where it takes no part in discovery."""

    info: PeerInfo
    greencoro: str
    python: str
    udp_port: int

    def as_json(self) -> dict[str, str]:
        """For programs."""
        return {
            "name": self.info.name,
            "location": str(self.info.location),
            "greencoro": self.greencoro,
            "python": self.python,
        }


def facts_of(runtime: Runtime) -> list[PeerFacts]:
    """Those online, by name."""
    found = []
    for link in runtime.peer_table.online():
        wire = link.wire
        # Without one it was lost since.
        if wire is not None:
            hello = wire.connection.peer_hello
            found.append(PeerFacts(link.info, hello.package_version, hello.python_version, hello.udp_port))
    return sorted(found, key=lambda facts: (facts.info.name, facts.info.location))


def asked_of(targets: list[str], udp_port: int) -> str:
    """Where a runtime asked for peers, for people."""
    return ", ".join(f"{target}:{udp_port}" for target in targets) or "no network"
