"""Which functions a computation has run around its jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["HookFunctions"]


@dataclass(frozen=True)
class HookFunctions:
    """Functions without parameters, run as jobs; None for none.

    Attributes:
        node_setup, node_cleanup: Once a node.

        server_setup, server_cleanup: At every server.
    """

    node_setup: Callable[[], Any] | None = None
    server_setup: Callable[[], Any] | None = None
    server_cleanup: Callable[[], Any] | None = None
    node_cleanup: Callable[[], Any] | None = None
