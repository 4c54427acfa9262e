"""Hosts whose firewall refuses connections to them, as a place does where nobody listens: M4, N1."""

from __future__ import annotations

import pytest

from tests.lab.netlab import Lab
from tests.lab.networks import shell, why_no_filter
from tests.support.members import Members
from tests.support.polling import poll_until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.lab,
    pytest.mark.skipif(why_no_filter() is not None, reason=str(why_no_filter())),
]

_FIREWALL = (
    "nft add table inet firewall",
    "nft add chain inet firewall input '{ type filter hook input priority 0; }'",
    "nft add rule inet firewall input tcp flags \\& \\(syn \\| ack\\) == syn counter reject",
)
#: What belongs to a connection ends it, on both sides; whoever knocks is let in.
_RESETS = (
    "nft add table inet resets",
    *(f"nft add chain inet resets {hook} '{{ type filter hook {hook} priority 0; }}'" for hook in ("input", "output")),
    *(
        f"nft add rule inet resets {hook} tcp flags \\& syn == 0 tcp flags \\& rst == 0 counter reject with tcp reset"
        for hook in ("input", "output")
    ),
)


def _count(lab: Lab, host: str, chain: str) -> int:
    """How many packets the rule of a chain has met."""
    return int(shell(lab, host, f"nft list chain inet {chain}").partition("packets ")[2].split()[0])


def test_M4_a_connection_that_breaks_is_gone_on_with_though_the_side_that_had_dialled_refuses_to_be_dialled(
    lab: Lab, members: Members
) -> None:
    shell(lab, "h1", *_FIREWALL)
    server = members.start("server", host="h2", tick_seconds=0.5)
    client = members.start("client", host="h1", peers=[server], tick_seconds=0.5)
    members.await_peers(server, client)
    # So far away that the server hears the refusal before it hears the client, which dials at once.
    lab.netem("h1", delay=0.05)
    server.call("receiver", who="server/r")
    server.call("echo", who="server/echo")
    client.call("sender", who="client/s", to={"server/r": server.location}, count=2000, largest=1000, pause=0.005)
    refused = breaks = 0
    while refused < 3 and breaks < 10:
        before = server.call("count", who="server/r")
        poll_until(lambda before=before: server.call("count", who="server/r") > before, what="messages flow")  # type: ignore[misc]
        shell(lab, "h2", *_RESETS)
        poll_until(lambda: _count(lab, "h2", "resets input") + _count(lab, "h2", "resets output") > 1, 10)
        shell(lab, "h2", "nft delete table inet resets")
        breaks += 1
        poll_until(lambda: len(client.call("ping", to="server/echo", location=server.location, count=1)) == 1)
        refused = _count(lab, "h1", "firewall input")
    lab.heal()
    members.await_last(server, {"client/s": client.call("value", within=100, who="client/s", timeout=90)})
    members.check()
    print(f"{breaks} breaks, the server was refused {refused} times")
    assert refused and not members.losses()


def test_N1_one_that_dies_behind_such_a_firewall_is_noticed_within_a_second(lab: Lab, members: Members) -> None:
    shell(lab, "h1", *_FIREWALL)
    server = members.start("server", host="h2", tick_seconds=5.0)
    client = members.start("client", host="h1", peers=[server], tick_seconds=5.0)
    members.await_peers(server, client)
    began = members.kill(client)
    poll_until(lambda: members.offline_at(server, client))
    took = members.offline_at(server, client, began)
    print(f"noticed after {took} s")
    assert took is not None and took <= 1.0
    assert _count(lab, "h1", "firewall input")
    members.check()
