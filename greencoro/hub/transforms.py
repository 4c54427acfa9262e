"""The function of a channel that makes one message of another."""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable
from typing import Any

from greencoro.hub.mailbox import Encoded
from greencoro.hub.telling import tell

__all__ = ["Transform", "apply", "checked"]

_log = logging.getLogger(__name__)

Transform = Callable[[str, Any], Any]


def checked(transform: Any) -> Transform | None:
    """``transform`` as it is, once it is known to be a function of a name and a message, or None.

    Raises:
        TypeError: It is neither.
    """
    if transform is None:
        return None
    if not callable(transform) or inspect.isgeneratorfunction(transform) or inspect.iscoroutinefunction(transform):
        raise TypeError(f"the transform of a channel is a plain function of a name and a message, not {transform!r}")
    try:
        inspect.signature(transform).bind("name", "message")
    except TypeError as error:
        raise TypeError(f"the transform of a channel takes a name and a message, but {transform!r}: {error}") from None
    except ValueError:
        pass  # some C functions have no signature: the call itself will tell
    function: Transform = transform
    return function


def apply(transform: Transform, channel: Any, message: Any) -> Any:
    """What ``transform`` makes of a message; None where that goes no further. One that came as bytes is decoded."""
    if isinstance(message, Encoded):
        usable, message = message.decode()
        if not usable:
            return None
    try:
        return transform(channel.name, message)
    except Exception:
        failure = f"the transform of {channel!r} failed, the message is dropped:\n{traceback.format_exc()}"
        tell(_log, logging.ERROR, failure.rstrip())
        return None
