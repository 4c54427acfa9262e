"""A node daemon for a parent process, which tells it everything through its standard input."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

from greencoro.compute.child import Channel
from greencoro.compute.node import Node
from greencoro.compute.node_options import NodeOptions
from greencoro.config import Settings
from greencoro.errors import ConfigError
from greencoro.hub import native

__all__ = ["run_for_parent"]


def run_for_parent() -> int:
    """Serve until the parent says so or is gone; the exit code."""
    try:
        channel = Channel.from_standard_input()
    except OSError:
        print("greencoro node: --handshake is for programs that start a node", file=sys.stderr)
        return 2
    config = channel.receive()
    if config is None or "order" in config:
        return 0  # the parent gave up before it came to telling
    dest_path = config["dest_path"]
    shortest, longest = config["pulses"]
    options = NodeOptions(
        servers=config["servers"],
        host=config["host"],
        dest_path=None if dest_path is None else Path(dest_path),
        min_pulse_interval=shortest,
        max_pulse_interval=longest,
    )
    node = Node(options, Settings(**config["settings"]), secret_key=bytes.fromhex(config["key"]))
    node.end_on_signals()
    native.Thread(functools.partial(_obey, channel, node), "greencoro-parent").start()

    def tell_parent(runtime: Any) -> None:
        channel.send({"host": runtime.location.addr, "port": runtime.location.port})

    try:
        return node.run(tell_parent)
    except (OSError, ConfigError) as error:
        print(f"greencoro node: {error}", file=sys.stderr)
        return 1


def _obey(channel: Channel, node: Node) -> None:
    while (message := channel.receive()) is not None:
        if message["order"] == "retire":
            node.retire()
        elif message["order"] == "end":
            node.stop()
    node.stop()
