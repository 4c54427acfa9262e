"""Where the calls of an executor run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from greencoro.compute.client_phase import Phase
from greencoro.compute.cluster import LocalCluster
from greencoro.compute.computation import Computation
from greencoro.compute.inline import current_inline_server
from greencoro.compute.scheduler import Scheduler, current_scheduler
from greencoro.distributed.location import Location

__all__ = ["Workplace"]


class Workplace:
    """A computation, which is closed with it where it is its own, as is a cluster.

    Apart from the executor, so that this one can be collected while its calls are under way.

    Args:
        where, components: See `Executor`, also for what is raised.

    Attributes:
        computation (Computation): Of all calls.

        location (Location | None): Of its scheduler, where that was given.
    """

    def __init__(
        self, where: LocalCluster | Scheduler | Location | Computation | None, components: Sequence[Any] | Any
    ) -> None:
        if not isinstance(where, LocalCluster | Scheduler | Location | Computation | None):
            raise TypeError(f"an Executor runs at a LocalCluster, Scheduler, Location or Computation, not {where!r}")
        if isinstance(where, Scheduler) and where is not current_scheduler():
            raise ValueError("that Scheduler is closed")
        if isinstance(where, Computation) and components:
            raise ValueError("components are given to the Computation")
        self._owns_computation = not isinstance(where, Computation)
        self.computation = where if isinstance(where, Computation) else Computation(components)
        self.location = where if isinstance(where, Location) else None
        self._cluster: LocalCluster | None = None
        if where is None and current_scheduler() is None and current_inline_server() is None:
            self._cluster = LocalCluster()

    def open(self) -> None:
        """Have the computation scheduled, where nobody has done so."""
        if self._owns_computation and self.computation._jobs.client.phase is Phase.NEW:
            self.computation.schedule(self.location)

    def close(self) -> None:
        """Nothing is run any more; may be called again."""
        if self._owns_computation:
            self.computation.close()
        if self._cluster is not None:
            self._cluster.close()
