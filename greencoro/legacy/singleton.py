"""Classes of which there is one object."""

from __future__ import annotations

from typing import Any

from greencoro.hub.sync import RLock

__all__ = ["Singleton"]


class Singleton(type):
    """A metaclass: calling the class makes its object the first time, and gives that object ever after.

    The class keeps it as ``_instance``; a program that sets that to None starts anew.
    """

    _instance: Any = None

    def __init__(cls, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        cls._instance_lock = RLock()

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        # Two may come first, threads or coroutines.
        with cls._instance_lock:
            if cls._instance is None:
                cls._instance = super().__call__(*args, **kwargs)
            return cls._instance
