"""The settings of what belongs to the process rather than to one of its runtimes."""

from __future__ import annotations

import functools

from greencoro.config import Settings

__all__ = ["process_settings"]


@functools.cache
def process_settings() -> Settings:
    """The environment's settings as they were when the first coroutine (or whoever else) asked."""
    return Settings.from_env()
