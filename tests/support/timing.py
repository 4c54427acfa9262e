"""How long a call takes, on a machine that does other things as well."""

import time
from collections.abc import Callable


def fastest(act: Callable[[], object], times: int = 5) -> float:
    """The seconds that the fastest of so many calls took.

    Other work on the machine makes a call slow and nothing makes it fast, so a promise about seconds that the fastest
    one does not keep is kept by none.
    """
    took = []
    for _ in range(times):
        began = time.monotonic()
        act()
        took.append(time.monotonic() - began)
    return min(took)
