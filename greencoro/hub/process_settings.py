"""The settings of what belongs to the process rather than to one of its runtimes."""

from __future__ import annotations

import functools

from greencoro.config import Settings

__all__ = ["process_settings", "use_settings"]

_given: Settings | None = None


@functools.cache
def process_settings() -> Settings:
    """Those given to `use_settings`; else the environment's as they were when the first coroutine or anybody asked."""
    return Settings.from_env() if _given is None else _given


def use_settings(settings: Settings) -> None:
    """Have these in place of the environment's, in a process that another one has started."""
    global _given
    _given = settings
    process_settings.cache_clear()
