"""Objects as bytes, for programs that store or send them on their own."""

from __future__ import annotations

import pickle
from typing import Any

__all__ = ["deserialize", "serialize", "unserialize"]


def serialize(obj: Any) -> bytes:
    """``obj`` as bytes, by `pickle`."""
    return pickle.dumps(obj, pickle.HIGHEST_PROTOCOL)


def deserialize(data: Any) -> Any:
    """What `serialize` was given. Bytes from a stranger may run any code here."""
    return pickle.loads(data)


unserialize = deserialize
