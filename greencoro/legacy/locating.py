"""How long a name is looked for at a place."""

from __future__ import annotations

from typing import Any

from greencoro.distributed.runtime import current_runtime

__all__ = ["patience"]


def patience(location: Any, timeout: float | None) -> float | None:
    """Longest wait, in seconds, for a name at ``location``: what is not here is not waited for here."""
    runtime = current_runtime()
    is_own = location is not None and runtime is not None and runtime.is_own(location)
    return 0 if is_own else timeout
