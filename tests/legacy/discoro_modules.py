"""asyncoro.discoro and what belongs to it, without what importing it does to all that come after it in this process."""

from greencoro.legacy import asyncoro, scheduler

_before = dict(vars(asyncoro))
_current = scheduler.current

from greencoro.legacy import discoro, discoro_schedulers  # noqa: E402

# Coroutines of other tests are not to start a network.
scheduler.current = _current
vars(asyncoro).clear()
vars(asyncoro).update(_before)

__all__ = ["discoro", "discoro_schedulers"]
