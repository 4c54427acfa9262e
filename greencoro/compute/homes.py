"""Where a thing can be found by a name."""

from __future__ import annotations

import sys
import types
from typing import Any

from greencoro.compute.references import references_of

__all__ = ["MAIN", "NOTHING", "home_of", "is_main", "owner_of", "private_globals", "shipped_name"]

#: The module whose names are shipped one by one.
MAIN = "__main__"

# A process started by multiprocessing's spawn knows its main module by both names.
_MAIN_NAMES = frozenset({"__main__", "__mp_main__"})


class _Nothing:
    """The type of `NOTHING`."""


#: Identical to no object of a user's.
NOTHING = _Nothing()


def is_main(module: object) -> bool:
    """Whether this is a name of the main module."""
    return module in _MAIN_NAMES


def shipped_name(module: Any) -> Any:
    """What a module is called at the server."""
    return MAIN if module in _MAIN_NAMES else module


def home_of(obj: Any) -> tuple[str, str] | None:
    """The module and dotted name under which a function, class or other named thing can be found; None if it cannot."""
    name = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None)
    module = getattr(obj, "__module__", None)
    if not isinstance(name, str) or not isinstance(module, str):
        return None
    found: Any = sys.modules.get(module)
    for word in name.split("."):
        # "<locals>", in the name of what a function made, is never found.
        found = getattr(found, word, NOTHING)
    return (MAIN if module in _MAIN_NAMES else module, name) if found is obj else None


def owner_of(namespace: dict[str, Any]) -> str | None:
    """The name of the module whose globals these are; None where they are a dictionary of somebody's own."""
    name = namespace.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) else None
    if module is None or vars(module) is not namespace:
        return None
    return MAIN if name in _MAIN_NAMES else name


def private_globals(function: types.FunctionType) -> dict[str, Any]:
    """What a function uses of its globals, where those are no module's; ``exec`` makes such functions."""
    namespace = function.__globals__
    if owner_of(namespace) is not None:
        return {}
    names = references_of(function.__code__).names
    return {name: namespace[name] for name in names if name in namespace and name != "__builtins__"}
