"""Which runtimes have part in computations: those that open pickles, as functions and their results travel so."""

from __future__ import annotations

from greencoro.errors import ConfigError

__all__ = ["check_serializer"]


def check_serializer(serializer: str) -> None:
    """Refuse a runtime whose objects travel in another way.

    Raises:
        ConfigError: They do.
    """
    if serializer != "pickle":
        raise ConfigError(
            f"computations need a Runtime(serializer='pickle'), the default, as their functions run at peers; with "
            f"{serializer!r} runtimes exchange messages"
        )
