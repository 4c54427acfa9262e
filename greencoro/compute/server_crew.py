"""The server processes of a node daemon."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, Protocol

from greencoro.compute import node_vocabulary as vocabulary
from greencoro.compute import server_words
from greencoro.compute.child import settings_as_json
from greencoro.compute.directories import DaemonDirectory
from greencoro.compute.inbox import Inbox
from greencoro.compute.launching import Launcher, LaunchOrder
from greencoro.compute.node_options import NodeOptions
from greencoro.compute.server import ServerProcess
from greencoro.compute.slot_ports import SlotPorts
from greencoro.config import Settings
from greencoro.hub import native

__all__ = ["END_SECONDS", "KILL_SECONDS", "STUCK_SECONDS", "CrewListener", "ServerCrew"]

_log = logging.getLogger(__name__)

#: What a server is given to end by itself; what its jobs hold it up with ends there.
END_SECONDS = 0.8
#: Servers that were all killed and still are not gone after this long end with what has started them. It is not told to
#: end at once, because it alone finds what jobs have left outside of their process groups.
KILL_SECONDS = 2.0
#: The same where the node ends and nobody is in a hurry: whatever works has done by then what it does, and said so.
STUCK_SECONDS = 7.0


class CrewListener(Protocol):
    """Hears of the servers, in the thread that takes from the inbox."""

    def reported(self, slot: int, run: int, report: server_words.Report) -> None:
        """A server says something."""

    def exited(self, slot: int, run: int, explanation: str) -> None:
        """A server is gone, with all it started."""


class ServerCrew:
    """Starts, orders and ends servers; in the daemon's main thread.

    Args:
        inbox (Inbox): Where what the servers report goes.

        listener: Hears of it then.

    Raises:
        ConfigError: A port that is listed for a server cannot be had.
    """

    def __init__(
        self,
        options: NodeOptions,
        settings: Settings,
        directory: DaemonDirectory,
        launcher: Launcher,
        inbox: Inbox,
        listener: CrewListener,
    ) -> None:
        self._options = options
        self._settings = settings
        self._directory = directory
        self._launcher = launcher
        self._inbox = inbox
        self._listener = listener
        self._ports = SlotPorts(options.host, options.server_ports)
        self._servers: dict[int, ServerProcess] = {}
        self._kill_at: dict[int, float] = {}
        #: When whatever has started them is ended by force.
        self._give_up_at: float | None = None
        #: None until the daemon has one.
        self._runtime: Any = None

    @property
    def size(self) -> int:
        """How many processes there are."""
        return len(self._servers)

    def start(self, order: vocabulary.StartServer) -> None:
        """Start a process in the slot; one that could not be started is told of as one that ended."""

        def later(method: Callable[[int, int, Any], None]) -> Callable[[Any], None]:
            return lambda news: self._inbox.put(functools.partial(method, order.slot, order.run, news))

        directory = self._directory.path / f"server-{order.slot}" / str(order.run)
        launch = LaunchOrder(order.slot, self._ports.descriptor(order.slot))
        exited = later(self._exited)
        try:
            server = ServerProcess(launch, directory, self._launcher, later(self._listener.reported), exited)
        except OSError as error:
            # As a process that ended at once: it is tried again, after longer and longer pauses.
            exited(f"could not be started: {error}")
            return
        self._servers[order.slot] = server
        if self._runtime is not None:
            self._configure(server)

    def _exited(self, slot: int, run: int, explanation: str) -> None:
        server = self._servers.pop(slot, None)
        if server is not None:  # it could be started
            server.join()
        self._kill_at.pop(slot, None)
        self._ports.take_back(slot)
        self._listener.exited(slot, run, explanation)

    def configure(self, runtime: Any) -> None:
        """Tell all servers, those to come as well, what they need to know of the daemon's runtime."""
        self._runtime = runtime
        self._ports.answer(runtime)
        for server in self._servers.values():
            self._configure(server)

    def _configure(self, server: ServerProcess) -> None:
        options, runtime = self._options, self._runtime
        server.send(
            server_words.Configure(
                key=runtime.secret.key.hex(),
                # Behind a gateway the daemon's location is the gateway's.
                host=runtime.location.addr if options.ext_ip_addr is None else options.host,
                port=options.server_ports[server.slot - 1] if options.server_ports else 0,
                name=f"{runtime.name}-{server.slot}",
                directory=str(server.directory),
                settings=settings_as_json(self._settings),
                log_level=_log.getEffectiveLevel(),
                ext_ip_addr=options.ext_ip_addr,
                certfile=None if options.certfile is None else str(options.certfile.absolute()),
                keyfile=None if options.keyfile is None else str(options.keyfile.absolute()),
                max_file_size=options.max_file_size,
                discover_peers=options.discover_peers is True,
                udp_port=options.udp_port,
                peers=options.peers,
                limits=options.limits.to_texts(),
                user=options.user,
                has_listener=self._ports.descriptor(server.slot) is not None,
                forward_output=options.forward_output,
            )
        )

    def send(self, slot: int, order: server_words.Order) -> None:
        """Tell the slot's server; where it is gone, its end is being reported anyway."""
        server = self._servers.get(slot)
        if server is not None:
            server.send(order)

    def assign(self, slot: int, token: str) -> None:
        """Have the slot's server serve whoever shows the token, at its own port."""
        self._ports.hand_over(slot)
        self.send(slot, server_words.Assign(token))

    def send_all(self, order: server_words.Order) -> None:
        """Tell every server."""
        for server in self._servers.values():
            server.send(order)

    def end(self, slot: int) -> None:
        """End the slot's server with what it started: soon, if need be by force."""
        self.send(slot, server_words.End())
        self._kill_at[slot] = native.monotonic() + END_SECONDS

    def kill(self, slot: int) -> None:
        """End the slot's server by force, with what it started."""
        server = self._servers.get(slot)
        if server is not None:
            server.kill()

    def kill_all(self) -> None:
        """End every server by force."""
        for server in self._servers.values():
            server.kill()
        self.give_up_after(KILL_SECONDS)

    def give_up_after(self, seconds: float) -> None:
        """End the launcher by force if servers are left then; of several such times the first one counts."""
        at = native.monotonic() + seconds
        self._give_up_at = at if self._give_up_at is None else min(at, self._give_up_at)

    def close(self) -> None:
        """End every server by force, and wait until they are gone."""
        self.kill_all()
        until = native.monotonic() + KILL_SECONDS
        servers = self._servers.values()
        late = [server for server in servers if not server.join(max(0.0, until - native.monotonic()))]
        if late:
            self._give_up()
        for server in late:
            server.join()
        self._ports.close()

    def next_due_at(self) -> float | None:
        """When `look` has something to do; None for no time soon."""
        dues = [*self._kill_at.values()]
        if self._give_up_at is not None:
            dues.append(self._give_up_at)
        return min(dues, default=None)

    def look(self, now: float) -> None:
        """End those by force whose time is over."""
        for slot in [slot for slot, at in self._kill_at.items() if at <= now]:
            del self._kill_at[slot]
            self.kill(slot)
        if self._give_up_at is not None and self._give_up_at <= now:
            self._give_up_at = None
            if self._servers:
                self._give_up()

    def _give_up(self) -> None:
        _log.warning("servers do not end: the process that has started them is ended by force, and they with it")
        self._launcher.kill()
