"""What a timeout may be, checked alike wherever one is taken."""

from __future__ import annotations

__all__ = ["LONGEST_SECONDS", "seconds"]

#: About 30 years: a timeout of this or more is none. Beyond it clocks and floats come to their limits, each elsewhere.
LONGEST_SECONDS = 1e9


def seconds(timeout: float | None, what: str) -> float | None:
    """``timeout`` as it is, once it is known to be a time: None waits for ever, 0 or less does not wait.

    One of `LONGEST_SECONDS` or more, infinity included, is None.

    Args:
        timeout (float | None): In seconds.

        what (str): Begins the sentence of the error: what was called.

    Raises:
        TypeError: It is no number.

        ValueError: It is NaN, which is neither long nor short.
    """
    if timeout is None or (timeout.__class__ is float and timeout < LONGEST_SECONDS):
        return timeout
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"{what} takes its timeout in seconds, a number or None for no limit, not {timeout!r}")
    if timeout != timeout:
        raise ValueError(f"{what} takes its timeout in seconds, and NaN is no number of them")
    # Not every whole number can be made a float.
    return None if timeout >= LONGEST_SECONDS else max(timeout, -LONGEST_SECONDS)
