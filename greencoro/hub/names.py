"""Local names: what is registered here, found by kind and name."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from greencoro.hub import native
from greencoro.hub.completion import Completion
from greencoro.hub.waiting import seconds
from greencoro.hub.waiting_aloud import wait_aloud

__all__ = ["KINDS", "Names", "Network", "checked", "default", "find"]

_log = logging.getLogger(__name__)

Key = tuple[str, str]

#: What is looked for by name, and how that is called to people.
KINDS = {"coro": "a coroutine called", "channel": "a channel called", "rci": "a function called"}


class Network(Protocol):
    """What `Coro.locate` asks where a name is not known here; the distributed layer plugs one in."""

    def locate(self, kind: str, name: str, location: Any, timeout: float | None) -> Any:
        """A reference to what is registered under ``name`` at ``location`` (None: at any peer), or None."""


class Names:
    """One process's (or, in tests, one runtime's) registered names.

    Any thread may call each method, the reactor's among them: what they need is a few dict operations, and the one lock
    is never held while anybody else's code runs.
    """

    def __init__(self) -> None:
        self._bound: dict[Key, Any] = {}
        #: id of a target -> the names it has, so that its end need not look through all there are. Whoever registers a
        #: target looks afterwards whether that is over, so the end may look here without the lock.
        self.of: dict[int, set[Key]] = {}
        self._listeners: dict[Key, list[Callable[[Any], object]]] = {}
        # An RLock, because a destructor that runs in the middle may free a name as well.
        self._lock = native.RLock()
        #: Where to ask for names that are not bound here; None: nowhere.
        self.network: Network | None = None

    def register(self, kind: str, name: str, target: Any) -> bool:
        """Bind ``name``; False where it is bound to something else here."""
        key = kind, name
        with self._lock:
            if self._bound.setdefault(key, target) is not target:
                return False
            self.of.setdefault(id(target), set()).add(key)
            listeners = tuple(self._listeners.get(key, ()))
        for listener in listeners:
            listener(target)
        return True

    def unregister(self, kind: str, name: str, target: Any) -> bool:
        """Free ``name``; False where it is not bound to ``target``."""
        key = kind, name
        with self._lock:
            if self._bound.get(key) is not target:
                return False
            del self._bound[key]
            held = self.of[id(target)]
            held.discard(key)
            if not held:
                del self.of[id(target)]
            return True

    def forget(self, target: Any) -> None:
        """Free every name of ``target``, which is over."""
        with self._lock:
            for key in self.of.pop(id(target), ()):
                del self._bound[key]

    def lookup(self, kind: str, name: str) -> Any:
        """What is bound to ``name`` here, or None."""
        return self._bound.get((kind, name))

    def listen(self, kind: str, name: str, listener: Callable[[Any], object]) -> None:
        """Call ``listener(target)`` when ``name`` is bound here, in the thread that registers; at once where it is."""
        with self._lock:
            self._listeners.setdefault((kind, name), []).append(listener)
            bound = self._bound.get((kind, name))
        if bound is not None:
            listener(bound)

    def unlisten(self, kind: str, name: str, listener: Callable[[Any], object]) -> None:
        """Take a listener out again."""
        with self._lock:
            listeners = self._listeners.get((kind, name))
            if listeners and listener in listeners:
                listeners.remove(listener)
                if not listeners:
                    del self._listeners[kind, name]


#: The names of this process.
default = Names()


def checked(name: str) -> str:
    """``name`` as it is, once it is known to be one.

    Raises:
        TypeError, ValueError: It is no text, or empty.
    """
    if not isinstance(name, str):
        raise TypeError(f"a name to register or look for is a text, not {name!r}")
    if not name:
        raise ValueError("a name to register or look for has at least one character")
    return name


def find(kind: str, name: str, location: Any, timeout: float | None, home: Any) -> Any:
    """What is registered as ``name``, waiting for it; None where there was none in time. `Coro.locate` describes it.

    Args:
        home: The runtime in which the caller is at home; None stands for the process's default one.
    """
    name, timeout = checked(name), seconds(timeout, "locate()")
    local = default if home is None else home.names
    # Read once: a runtime that finishes takes it away.
    network = local.network
    if network is not None:
        return network.locate(kind, name, location, timeout)
    if location is not None:
        raise RuntimeError(f"{name!r} cannot be looked for at {location}: make a Runtime first")
    whose = "this process has no Runtime" if home is None else f"{home!r} is finished"
    appeared = Completion()
    local.listen(kind, name, appeared.set)
    try:
        wait_aloud(
            appeared,
            timeout,
            f"{KINDS.get(kind, kind)} {name!r}",
            lambda: f"{whose}, so only its own names are looked at",
            _log,
        )
    finally:
        local.unlisten(kind, name, appeared.set)
    return appeared.value
