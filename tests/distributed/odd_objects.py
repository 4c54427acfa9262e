"""Objects whose pickling, unpickling or text raises what is no `Exception`."""

from greenlet import GreenletExit


class Beyond(BaseException):
    """What no `except Exception` catches, as `asyncio.CancelledError` or what ends a test."""


class Raises:
    """Raises ``error`` when it is pickled, and ``error`` or ``and_then`` when it is to be shown."""

    def __init__(self, error, and_then=None):
        self.error, self.and_then = error, and_then

    def __reduce__(self):
        raise self.error

    def __repr__(self):
        if self.and_then is not None:
            raise self.and_then
        return "<raises>"


def raise_from(error):
    raise error


class Bomb:
    """Raises ``error`` when it is unpickled."""

    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        return raise_from, (self.error,)


class FailsOddly(Exception):
    """Neither it nor its text can be had."""

    def __reduce__(self):
        raise Beyond("no")

    def __str__(self):
        raise SystemExit("no text")


ODD_ERRORS = [Beyond("boom"), KeyboardInterrupt("boom"), SystemExit("boom"), GreenletExit("boom")]
