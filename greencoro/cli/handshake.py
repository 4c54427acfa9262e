"""A node daemon for a parent process, which tells it everything through its standard input.

This process, the zygote and its servers import most of the same, so it is done once: by this one, which is patched as
servers are, before it forks the zygote. What only a daemon needs is imported after that, and no part of the servers.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greencoro.compute.child import Channel
from greencoro.compute.zygote import fork_off
from greencoro.compute.zygote_link import ForkingLauncher
from greencoro.errors import ConfigError
from greencoro.hub import native

if TYPE_CHECKING:
    from greencoro.compute.node import Node

__all__ = ["run_for_parent"]


def run_for_parent() -> int:
    """Serve until the parent says so or is gone; the exit code. In a patched process without threads and hubs.

    The parent is to start it with the environment of jobs, and to tell the settings.
    """
    try:
        channel = Channel.from_standard_input()
    except OSError:
        print("greencoro node: --handshake is for programs that start a node", file=sys.stderr)
        return 2
    try:
        launcher = ForkingLauncher(fork_off())
        with contextlib.closing(launcher):
            node = _configured(channel, launcher)
            return 0 if node is None else _run(node, channel)
    except (OSError, ConfigError) as error:
        print(f"greencoro node: {error}", file=sys.stderr)
        return 1


def _configured(channel: Channel, launcher: ForkingLauncher) -> Node | None:
    """As the parent says; None where that gave up before it came to telling."""
    from greencoro.compute.node import Node
    from greencoro.compute.node_options import NodeOptions
    from greencoro.config import Settings

    config = channel.receive()
    if config is None or "order" in config:
        return None
    dest_path = config["dest_path"]
    shortest, longest = config["pulses"]
    options = NodeOptions(
        servers=config["servers"],
        host=config["host"],
        dest_path=None if dest_path is None else Path(dest_path),
        min_pulse_interval=shortest,
        max_pulse_interval=longest,
    )
    key = bytes.fromhex(config["key"])
    return Node(options, Settings(**config["settings"]), secret_key=key, make_launcher=lambda: launcher)


def _run(node: Node, channel: Channel) -> int:
    node.end_on_signals()
    native.Thread(functools.partial(_obey, channel, node), "greencoro-parent").start()

    def tell_parent(runtime: Any) -> None:
        channel.send({"host": runtime.location.addr, "port": runtime.location.port})

    return node.run(tell_parent)


def _obey(channel: Channel, node: Node) -> None:
    while (message := channel.receive()) is not None:
        if message["order"] == "retire":
            node.retire()
        elif message["order"] == "end":
            node.stop()
    node.stop()
