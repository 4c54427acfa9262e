"""What a timeout may be, checked alike wherever one is taken."""

from __future__ import annotations

__all__ = ["seconds"]


def seconds(timeout: float | None, what: str) -> float | None:
    """``timeout`` as it is, once it is known to be a time: None waits for ever, 0 or less does not wait.

    Args:
        timeout (float | None): In seconds.

        what (str): Begins the sentence of the error: what was called.

    Raises:
        TypeError: It is no number.

        ValueError: It is NaN, which is neither long nor short.
    """
    if timeout is None or (timeout.__class__ is float and timeout == timeout):
        return timeout
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"{what} takes its timeout in seconds, a number or None for no limit, not {timeout!r}")
    if timeout != timeout:
        raise ValueError(f"{what} takes its timeout in seconds, and NaN is no number of them")
    return timeout
