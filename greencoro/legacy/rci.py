"""asyncoro's RCI: generator functions that peers may start as coroutines here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from greencoro.distributed import rci
from greencoro.distributed.runtime import runtime
from greencoro.errors import PeerLost
from greencoro.hub.binding import is_generator_function, name_of
from greencoro.hub.coroutine import Coro as NativeCoro
from greencoro.legacy import scheduler
from greencoro.legacy.coro import Coro
from greencoro.legacy.logger import logger

__all__ = ["RCI", "RemoteRCI"]


class RCI(rci.RCI):
    """A generator function that peers may start as a coroutine here, once it is registered.

    They find it with `locate`; with ``yield`` a call of what that gives starts it: ``rcoro = yield rci(*args)``.

    Args:
        method: A generator function.

        name (str | None): What it is registered as; default: the function's name.

    Raises:
        RuntimeError: ``method`` is no generator function.
    """

    coro_class: ClassVar[type[NativeCoro]] = Coro

    def __init__(self, method: Callable[..., Any], name: str | None = None) -> None:
        if not is_generator_function(method):
            raise RuntimeError(f"{name_of(method)} is not a generator method")
        scheduler.ensure_started()
        super().__init__(method, name or None)

    @staticmethod
    def locate(name: str, location: Any = None, timeout: float | None = None) -> Any:
        """With ``yield``: find the RCI registered as ``name`` at a peer; one of this process itself is not found.

        Args:
            location (Location | None): Ask only there.

            timeout (float | None): Longest wait, in seconds. ``None`` waits for ever.

        Returns:
            RCI | None: A reference; None where there was none in time.
        """
        scheduler.ensure_started()
        return runtime().locate_elsewhere("rci", name, location, timeout)

    def __repr__(self) -> str:
        return f"{self.name}@{self.location}"


class RemoteRCI(rci.RemoteRCI, RCI):
    """A reference to an RCI of another process."""

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """With ``yield``: start the coroutine there.

        Returns:
            Coro | None: A reference to it; None where its process is lost.

        Raises:
            Exception: The function does not take these arguments, or is not registered any more.
        """
        try:
            return super().__call__(*args, **kwargs)
        except PeerLost as error:
            logger.warning("%s is not called: %s", self, error)
            return None
