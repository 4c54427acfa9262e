"""Two networks of a lab, joined by a router: the hosts `INSIDE` and `OUTSIDE` hear nothing of each other's broadcasts.

The router is a host with an address on both. Who would talk past it is stopped by the switch. What `masquerade` and
`forward` tell it is done by its kernel, as is what `drop` tells any host.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from tests.lab.netlab import Lab, Unavailable

INSIDE, ROUTER, OUTSIDE = ("h1", "h2"), "h3", ("h4", "h5")
_INSIDE_NETWORK, _OUTSIDE_NETWORK = "10.98.0", "10.97.0"
_ADDRESSES = {
    "h1": f"{_INSIDE_NETWORK}.1",
    "h2": f"{_INSIDE_NETWORK}.2",
    "h4": f"{_OUTSIDE_NETWORK}.4",
    "h5": f"{_OUTSIDE_NETWORK}.5",
}
#: The router's address on each network.
GATEWAY_INSIDE, GATEWAY = f"{_INSIDE_NETWORK}.254", f"{_OUTSIDE_NETWORK}.254"


def why_no_filter() -> str | None:
    """One line that says why hosts cannot filter or translate here, or None."""
    return None if shutil.which("nft") is not None else "a host that filters needs the command 'nft' (Debian: nftables)"


class Networks:
    """See the module; the hosts of ``lab``, which has five, are given new addresses."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._separate()
        for host, address in _ADDRESSES.items():
            gateway = GATEWAY_INSIDE if host in INSIDE else GATEWAY
            self.shell(
                host,
                "ip addr flush dev eth0",
                f"ip addr add {address}/24 brd + dev eth0",
                f"ip route replace default via {gateway}",
            )
        self.shell(
            ROUTER,
            "ip addr flush dev eth0",
            f"ip addr add {GATEWAY_INSIDE}/24 brd + dev eth0",
            f"ip addr add {GATEWAY}/24 brd + dev eth0",
            # Both networks are on one cable, which the hosts are not to know.
            "echo 0 > /proc/sys/net/ipv4/conf/all/send_redirects",
            "echo 0 > /proc/sys/net/ipv4/conf/eth0/send_redirects",
            "echo 1 > /proc/sys/net/ipv4/ip_forward",
        )

    def _separate(self) -> None:
        self.lab.partition(INSIDE, OUTSIDE)

    # What `Members` needs of a lab.

    def enter(self, host: str, argv: Sequence[str]) -> list[str]:
        return self.lab.enter(host, argv)

    def ip(self, host: str) -> str:
        return _ADDRESSES[host]

    # What tests do to the networks.

    def shell(self, host: str, *lines: str) -> str:
        """Run commands in a host; what they wrote."""
        return shell(self.lab, host, *lines)

    def masquerade(self) -> None:
        """Let the router be one of those that homes have: who is inside gets out, with its address; nobody gets in."""
        self.shell(
            ROUTER,
            "nft add table ip gateway",
            "nft add chain ip gateway out '{ type nat hook postrouting priority 100; }'",
            f"nft add rule ip gateway out ip saddr {_INSIDE_NETWORK}.0/24 masquerade",
            "nft add chain ip gateway in '{ type nat hook prerouting priority -100; }'",
            "nft add chain ip gateway through '{ type filter hook forward priority 0; }'",
            "nft add rule ip gateway through ct status dnat accept",
            f"nft add rule ip gateway through ct state new ip daddr {_INSIDE_NETWORK}.0/24 drop",
        )

    def forward(self, port: int, host: str) -> None:
        """Have the masquerading router pass on what comes to its TCP ``port`` from outside."""
        self.shell(ROUTER, f"nft add rule ip gateway in ip daddr {GATEWAY} tcp dport {port} dnat to {self.ip(host)}")

    def cut_off(self, host: str) -> None:
        """Drop what goes between a host and the router, both ways."""
        self.lab.partition([host], [ROUTER])

    def heal(self) -> None:
        """Undo what `cut_off` and `Lab.netem` did."""
        self.lab.heal()
        self._separate()


def shell(lab: Lab, host: str, *lines: str) -> str:
    """Run shell commands in a host, until one fails; what they wrote.

    Raises:
        Unavailable: One failed; the message is what they wrote.
    """
    process = lab.popen(
        host, ["sh", "-ec", "\n".join(lines)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wrote = str(process.communicate(timeout=60)[0])
    if process.returncode:
        raise Unavailable(f"{host}: {wrote.strip()}")
    return wrote


def drop(lab: Lab, host: str, what: str, hooks: Sequence[str] = ("input", "output", "forward")) -> None:
    """Have a host drop and count what matches this of nft's expressions: coming in, going out, passing through."""
    shell(
        lab,
        host,
        "nft add table inet filter",
        *(f"nft 'add chain inet filter {hook} {{ type filter hook {hook} priority 0; }}'" for hook in hooks),
        *(f"nft 'add rule inet filter {hook} {what} counter drop'" for hook in hooks),
    )


def dropped(lab: Lab, host: str, hook: str) -> int:
    """How many packets a host has dropped there since `drop`."""
    words = shell(lab, host, f"nft list chain inet filter {hook}").split()
    return int(words[words.index("packets") + 1])


def drop_no_more(lab: Lab, host: str) -> None:
    """Undo `drop`."""
    shell(lab, host, "nft delete table inet filter")
