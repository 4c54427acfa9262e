"""What a runtime is in a process that was forked from its own."""

from __future__ import annotations

from typing import Any

from greencoro.hub import forks

__all__ = ["leave_to_parent"]

#: What of the runtime can be known there.
_KNOWN = {"finish", "incarnation", "location", "locations", "name"}


class _ForkedRuntime:
    """Takes the place of `Runtime` as the class of objects that were made before the fork.

    Their threads are the parent's, so whatever is asked of them raises `RuntimeError`. To finish them does nothing.
    """

    def __getattribute__(self, name: str) -> Any:
        if name not in _KNOWN and not name.startswith("__"):
            forks.refuse()
        return object.__getattribute__(self, name)

    def __repr__(self) -> str:
        return f"<Runtime {self.name} of the process that this one was forked from>"

    def __enter__(self) -> None:
        forks.refuse()

    def __exit__(self, *of_error: object) -> None:
        self.finish()

    def finish(self, timeout: float = 5.0) -> None:
        """Nothing: it is the parent's."""


def leave_to_parent(runtime: Any) -> None:
    """This process was just forked, and the runtime is its parent's."""
    runtime.__class__ = _ForkedRuntime
