"""The node daemon: the shell that carries out what `node_state` decides.

Its main thread takes one thing after another from an inbox: requests of schedulers, reports of server processes,
signals, commands, times that are due. Nothing of a user's is run or decoded here.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from greencoro.compute import node_state as decisions
from greencoro.compute.child import settings_as_json
from greencoro.compute.directories import DaemonDirectory
from greencoro.compute.guard import Guard
from greencoro.compute.inbox import Inbox
from greencoro.compute.server import ServerProcess
from greencoro.config import Settings
from greencoro.errors import BusyResource, ConfigError
from greencoro.hub import native

__all__ = ["Node", "NodeOptions"]

_log = logging.getLogger(__name__)

#: What a server is given to end by itself; what its jobs hold it up with ends there.
_END_SECONDS = 1.0
_STATUS_SECONDS = 0.5


@dataclass(frozen=True)
class NodeOptions:
    """What a node daemon is started with.

    Attributes:
        servers (int): Number of server processes.

        host (str | None): Address to listen on; None for the default of `Runtime`.

        port (int): The daemon's own TCP port; 0 for any.

        server_ports (tuple[int, ...]): One for each server; 0 for any.

        name (str | None): The node's name; None for the default of `Runtime`. Server k is called ``<name>-<k>``.

        dest_path (Path | None): Where the servers' directories are made.
    """

    servers: int
    host: str | None = None
    port: int = 0
    server_ports: tuple[int, ...] = ()
    name: str | None = None
    dest_path: Path | None = None


class Node:
    """A node daemon; `run` is its life.

    Args:
        secret_key (bytes | None): The derived key of the secret, from a parent process.

        secret (str | None): The secret as text; without either, it comes from the file that the settings name.
    """

    def __init__(
        self, options: NodeOptions, settings: Settings, *, secret_key: bytes | None = None, secret: str | None = None
    ) -> None:
        self._options = options
        self._settings = settings
        self._secret_key = secret_key
        self._secret = secret
        self._inbox = Inbox()
        self._state = decisions.NodeState(options.servers)
        self._servers: dict[int, ServerProcess] = {}
        self._kill_at: dict[int, float] = {}
        self._peers: dict[bytes, Any] = {}
        self._census: dict[int, int] | None = None
        self._census_until = 0.0
        self._stopped = False
        self._exit_code = 0
        self._runtime: Any = None

    # For other threads, and signal handlers.

    def stop(self, exit_code: int = 0) -> None:
        """End everything; `run` then returns ``exit_code``. A second call ends the servers by force."""
        self._inbox.put(functools.partial(self._stop, exit_code))

    def retire(self) -> None:
        """Start no server processes any more, because `stop` comes next."""
        self._inbox.put(self._state.retire)

    def command(self, line: str) -> None:
        """Do what a person typed: status, close, quit (or exit), terminate."""
        self._inbox.put(functools.partial(self._command, line.strip().lower()))

    # The main thread.

    def run(self, on_ready: Callable[[Any], None]) -> int:
        """Serve until `stop`; in the main thread.

        Args:
            on_ready: Called once, with the daemon's runtime, when schedulers can reserve the node.

        Returns:
            int: The exit code.

        Raises:
            ConfigError: The port is taken, there is no such address, or the secret or the directory cannot be used.

            OSError: The system has no more processes or descriptors for the daemon itself.
        """
        with contextlib.ExitStack() as undo:
            self._directory = DaemonDirectory(self._options.dest_path)
            undo.callback(self._directory.remove)
            self._guard = Guard()
            undo.callback(self._guard.close)
            undo.callback(self._kill_servers)
            # The servers' interpreters start while this one still imports and looks up its secret.
            self._carry_out(self._state.start(native.monotonic()))
            runtime = self._start_runtime()
            undo.callback(runtime.finish)
            on_ready(runtime)
            while not self._stopped:
                action = self._inbox.take(self._until_due())
                if action is not None:
                    self._do(action)
                self._do(self._look_at_clock)
        return self._exit_code

    def _do(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception:
            # The outermost boundary: whatever goes wrong with one thing, the jobs at the other servers go on.
            _log.exception("the node daemon could not do one thing, and goes on with the next")

    def _kill_servers(self) -> None:
        for server in self._servers.values():
            server.kill()
        for server in self._servers.values():
            server.join()

    def end_on_signals(self) -> None:
        """Have SIGTERM end the daemon with exit code 0, SIGINT with 130, SIGUSR1 show stacks; from the main thread."""

        def on_signal(number: int, frame: FrameType | None) -> None:
            self.stop(130 if number == signal.SIGINT else 0)

        signal.signal(signal.SIGTERM, on_signal)
        signal.signal(signal.SIGINT, on_signal)
        signal.signal(signal.SIGUSR1, _show_stacks)

    def _start_runtime(self) -> Any:
        from greencoro.distributed.runtime import Runtime

        options = self._options
        given: dict[str, Any] = {"tcp_port": options.port, "discover_peers": False, "settings": self._settings}
        if options.host is not None:
            given["node"] = options.host
        if options.name is not None:
            given["name"] = options.name
        if self._secret_key is not None:
            given["secret_key"] = self._secret_key
        else:
            given["secret"] = self._secret
        try:
            runtime = self._runtime = Runtime(**given)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            hint = "; another node may run there, --port chooses another port" if taken else ""
            raise ConfigError(f"{error.strerror or error}{hint}") from error
        for server in self._servers.values():
            self._configure(server)
        runtime.handle("node.attach", self._from_network(self._attach), on_reactor=True)
        runtime.handle("node.reserve", self._from_network(self._reserve), on_reactor=True)
        runtime.handle("node.release", self._from_network(self._release), on_reactor=True)
        runtime.handle("node.replace", self._from_network(self._replace), on_reactor=True)
        runtime.watch_peers(self._on_peer)
        return runtime

    def _from_network(self, handler: Callable[[Any], None]) -> Callable[[Any], None]:
        def handle(request: Any) -> None:
            self._inbox.put(functools.partial(self._answer, handler, request))

        return handle

    def _answer(self, handler: Callable[[Any], None], request: Any) -> None:
        try:
            handler(request)
        except Exception as error:
            # One boundary: what a peer asks for must not end the daemon.
            _log.warning("a request of %s failed: %r", request.peer, error)
            request.fail(error)

    def _until_due(self) -> float | None:
        dues = [*self._kill_at.values()]
        due = self._state.next_due_at()
        if due is not None:
            dues.append(due)
        if self._census is not None:
            dues.append(self._census_until)
        return max(0.0, min(dues) - native.monotonic()) if dues else None

    def _look_at_clock(self) -> None:
        now = native.monotonic()
        for slot in [slot for slot, at in self._kill_at.items() if at <= now]:
            del self._kill_at[slot]
            if slot in self._servers:
                self._servers[slot].kill()
        if self._census is not None and (now >= self._census_until or len(self._census) == len(self._servers)):
            self._print_status()
        self._carry_out(self._state.due(now))

    # Requests of schedulers.

    def _attach(self, request: Any) -> None:
        import platform

        request.reply(
            {
                "address": self._runtime.location.addr,
                "name": self._runtime.name,
                "servers": self._options.servers,
                "ready": self._state.ready_count,
                "platform": platform.platform(),
            }
        )

    def _reserve(self, request: Any) -> None:
        token, name = str(request.header["token"]), str(request.header["name"])
        self._peers[request.peer.incarnation] = request.peer
        self._carry_out(self._state.reserve(request, request.peer.incarnation, token, name))

    def _release(self, request: Any) -> None:
        self._carry_out(self._state.release(request, str(request.header["token"])))

    def _replace(self, request: Any) -> None:
        incarnation = request.header["incarnation"]
        token = str(request.header["token"])
        self._carry_out(self._state.replace(token, lambda identity: identity["incarnation"] == incarnation))

    def _on_peer(self, event: Any) -> None:
        if not event.online:
            self._inbox.put(functools.partial(self._peer_lost, event))

    def _peer_lost(self, event: Any) -> None:
        incarnation = event.peer.incarnation
        if self._peers.pop(incarnation, None) is not None:
            _log.info("scheduler %s was lost: %s", event.peer, event.reason)
        self._carry_out(self._state.holder_lost(incarnation))

    # What the servers report.

    def _on_report(self, slot: int, run: int, report: dict[str, Any]) -> None:
        event = report["event"]
        if event == "ready":
            identity = {**report["identity"], "pid": self._servers[slot].pid}
            self._carry_out(self._state.ready(slot, run, identity))
        elif event == "drained":
            self._carry_out(self._state.drained(slot, run))
        elif event == "status" and self._census is not None:
            self._census[slot] = report["jobs"]

    def _on_exit(self, slot: int, run: int, explanation: str) -> None:
        server = self._servers.pop(slot, None)
        if server is not None:  # it could be started
            server.join()
        self._kill_at.pop(slot, None)
        expected = self._state.slots[slot - 1].is_ending
        log = _log.debug if expected else _log.warning
        log("server %d %s", slot, explanation)
        self._carry_out(self._state.exited(slot, run, explanation, native.monotonic()))

    # Instructions.

    def _carry_out(self, instructions: list[decisions.Instruction]) -> None:
        for instruction in instructions:
            _CARRY_OUT[type(instruction)](self, instruction)

    def _start_server(self, order: decisions.StartServer) -> None:
        def later(method: Callable[..., None]) -> Callable[[Any], None]:
            return lambda news: self._inbox.put(functools.partial(method, order.slot, order.run, news))

        directory = self._directory.path / f"server-{order.slot}" / str(order.run)
        exited = later(self._on_exit)
        try:
            server = ServerProcess(order.slot, directory, self._guard, later(self._on_report), exited)
        except OSError as error:
            # As a process that ended at once: it is tried again, after longer and longer pauses.
            exited(f"could not be started: {error}")
            return
        self._servers[order.slot] = server
        if self._runtime is not None:
            self._configure(server)

    def _configure(self, server: ServerProcess) -> None:
        ports = self._options.server_ports
        server.send(
            {
                "key": self._runtime.secret.key.hex(),
                "host": self._runtime.location.addr,
                "port": ports[server.slot - 1] if ports else 0,
                "name": f"{self._runtime.name}-{server.slot}",
                "directory": str(server.directory),
                "settings": settings_as_json(self._settings),
                "log_level": _log.getEffectiveLevel(),
            }
        )

    def _end_server(self, order: decisions.EndServer) -> None:
        server = self._servers.get(order.slot)
        if server is None:
            return  # it could not be started, which is being told
        if order.at_once:
            server.kill()
            return
        server.send({"order": "end"})
        self._kill_at[order.slot] = native.monotonic() + _END_SECONDS

    def _assign(self, order: decisions.Assign) -> None:
        self._servers[order.slot].send({"order": "assign", "token": order.token})

    def _drain(self, order: decisions.Drain) -> None:
        self._servers[order.slot].send({"order": "drain"})

    def _grant(self, order: decisions.Grant) -> None:
        _log.info("reserved by %s", order.request.peer)
        order.request.reply({})

    def _refuse(self, order: decisions.Refuse) -> None:
        order.request.fail(BusyResource(order.reason))

    def _tell_ready(self, order: decisions.TellReady) -> None:
        self._tell(order.holder, "scheduler.server_started", {"token": order.token, **order.identity})

    def _tell_died(self, order: decisions.TellDied) -> None:
        told = {"token": order.token, "incarnation": order.identity["incarnation"], "explanation": order.explanation}
        self._tell(order.holder, "scheduler.server_died", told)

    def _tell_draining(self, order: decisions.TellDraining) -> None:
        told = {"token": order.token, "incarnation": order.identity["incarnation"]}
        self._tell(order.holder, "scheduler.server_draining", told)

    def _tell(self, holder: bytes, what: str, told: dict[str, Any]) -> None:
        peer = self._peers.get(holder)
        if peer is not None:
            try:
                self._runtime.post(peer, what, told)
            except BusyResource as error:
                _log.warning("%s is not told: %s", peer, error)

    def _tell_released(self, order: decisions.TellReleased) -> None:
        order.request.reply({})

    def _have_stopped(self, order: decisions.Stopped) -> None:
        self._stopped = True

    # What people and parents ask for.

    def _stop(self, exit_code: int) -> None:
        self._exit_code = exit_code
        for server in self._servers.values() if self._state.is_stopping else ():
            server.kill()
        self._carry_out(self._state.stop())

    def _command(self, line: str) -> None:
        if line == "status":
            self._census, self._census_until = {}, native.monotonic() + _STATUS_SECONDS
            for server in self._servers.values():
                server.send({"order": "status"})
        elif line == "close":
            self._carry_out(self._state.close())
        elif line in ("quit", "exit"):
            self._carry_out(self._state.drain())
        elif line == "terminate":
            self._stop(0)
        elif line:
            print("commands: status, close, quit (or exit), terminate", flush=True)

    def _print_status(self) -> None:
        jobs, self._census = self._census or {}, None
        for slot in self._state.slots:
            server = self._servers.get(slot.number)
            where = "" if slot.identity is None else f" at {slot.identity['host']}:{slot.identity['port']}"
            pid = "" if server is None else f", PID {server.pid}"
            line = f"{self._runtime.name}-{slot.number}{where}{pid}: {slot.state.value}"
            if slot.state is decisions.SlotState.LEASED:
                count = jobs.get(slot.number)
                busy = "busy" if count is None else f"{count} coroutine{'' if count == 1 else 's'}"
                line += f", {busy} for {self._state.in_use_by}"
            print(line, flush=True)


def _show_stacks(number: int, frame: FrameType | None) -> None:
    # Imported by the runtime as well, and not before the servers' interpreters have been started.
    from greencoro.hub.stacks import show_stacks

    show_stacks()


_CARRY_OUT: dict[type, Callable[[Node, Any], None]] = {
    decisions.StartServer: Node._start_server,
    decisions.EndServer: Node._end_server,
    decisions.Assign: Node._assign,
    decisions.Drain: Node._drain,
    decisions.Grant: Node._grant,
    decisions.Refuse: Node._refuse,
    decisions.TellReady: Node._tell_ready,
    decisions.TellDied: Node._tell_died,
    decisions.TellDraining: Node._tell_draining,
    decisions.TellReleased: Node._tell_released,
    decisions.Stopped: Node._have_stopped,
}
