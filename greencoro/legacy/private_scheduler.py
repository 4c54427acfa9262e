"""The scheduler of asyncoro's computations in the client's own process."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, ClassVar

from greencoro.compute import scheduler
from greencoro.compute.status import StatusCodes
from greencoro.distributed.location import Location
from greencoro.distributed.runtime import DEFAULT_PORT
from greencoro.errors import GreencoroError
from greencoro.hub import exit as process_exit
from greencoro.legacy import scheduler as of_process
from greencoro.legacy.logger import logger
from greencoro.legacy.singleton import Singleton

__all__ = ["Scheduler"]

#: Among what is called at the end of a program: behind what asyncoro itself had called there, from 10 on.
_LAST = 5


class Scheduler(StatusCodes, metaclass=Singleton):
    """Finds nodes, and gives the computations of this process their turn at them; there is one of it in a process.

    Files that jobs send to this process are saved in ``discoro/scheduler`` below its first `AsynCoro.dest_path`.

    Args:
        nodes: Host names or locations of nodes beside those on the networks here.

        zombie_period (float | None): Computations that ask for none are closed after so many seconds without a job; 0
            or None: never.

        clean (bool): Ignored: a server's directory is its own, and empty.

        options: As `AsynCoro` takes them, where it is not started yet; else they are ignored. Its name is
            "discoro_scheduler".

    Raises:
        Exception: A node is none, or ``zombie_period`` no number of seconds.
    """

    _word: ClassVar[str] = "discoro"

    def __init__(
        self,
        nodes: Iterable[Any] | str = (),
        zombie_period: float | None = None,
        clean: bool = False,
        **options: Any,
    ) -> None:
        options["name"] = f"{self._word}_scheduler"
        asyncoro: Any = of_process.current(**options)
        asyncoro.dest_path = os.path.join(self._word, "scheduler")
        udp_port = options.get("udp_port") or DEFAULT_PORT
        wanted = [nodes] if isinstance(nodes, str | Location) else list(nodes)
        try:
            places = [Location.of(node, "Scheduler()") for node in wanted]
            # The number of that port is the one of a node's own, too.
            places = [place if place.port else Location(place.addr, udp_port) for place in places]
            self._scheduler = scheduler.Scheduler(nodes=places, zombie_period=zombie_period or 0)
        except (GreencoroError, TypeError, ValueError) as error:
            raise Exception(f"invalid nodes or zombie_period: {error}") from error
        for node in wanted:
            # The others on its network.
            asyncoro.peer(node, udp_port, False, True)
        # What programs call at their end comes first, in the order that it had there.
        process_exit.cancel_at_exit(self._scheduler.close)
        process_exit.at_exit(_LAST, self._scheduler.close)
        logger.debug("scheduler at %s", asyncoro.location)

    def status(self) -> dict[str, Any]:
        """What it is at.

        Returns:
            dict: ``Client``: whose computation has its turn, empty where none has. ``Pending``: how many wait for
            theirs. ``Nodes``: the addresses of those that are used. ``Servers``: the locations of those.
        """
        told = self._scheduler.status()
        servers = [(node["address"], server) for node in told["nodes"] for server in node["servers"]]
        return {
            "Client": next((each["name"] for each in told["computations"] if each["has_turn"]), ""),
            "Pending": sum(not each["has_turn"] for each in told["computations"]),
            "Nodes": list(dict.fromkeys(address for address, _ in servers)),
            "Servers": [Location.parse(server["location"]) for _, server in servers],
        }

    def print_status(self) -> None:
        """Print what `status` returns, for people."""
        status = self.status()
        print(f"  Client: {status['Client']}")
        print(f"  Pending: {status['Pending']}")
        print(f"  Nodes: {len(status['Nodes'])}: {', '.join(status['Nodes'])}")
        print(f"  Servers: {len(status['Servers'])}: {', '.join(map(str, status['Servers']))}")
