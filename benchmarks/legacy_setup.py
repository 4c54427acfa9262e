"""How greencoro's modules for asyncoro's programs are had here: quiet."""

from __future__ import annotations

from typing import Any


def quiet() -> Any:
    """The module `asyncoro` with its log lines (to stdout) limited to errors."""
    from greencoro.legacy import asyncoro

    asyncoro.logger.setLevel(asyncoro.logger.ERROR)
    return asyncoro
