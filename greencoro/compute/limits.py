"""What a server process may take of its machine."""

from __future__ import annotations

from dataclasses import dataclass, fields

from greencoro.errors import ConfigError

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Limits of one server process; None: that of the daemon.

    Attributes:
        address_space_bytes (int | None): Memory that it may map.

        cpu_seconds (int | None): CPU time that it may use in its life.

        processes (int | None): Processes and threads that its account may have on the machine.

        file_bytes (int | None): Size of the largest file that it may write.

    Raises:
        ConfigError: One is not positive.
    """

    address_space_bytes: int | None = None
    cpu_seconds: int | None = None
    processes: int | None = None
    file_bytes: int | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None and value < 1:
                raise ConfigError(f"the limit {each.name} is {value}, and has to be positive")
