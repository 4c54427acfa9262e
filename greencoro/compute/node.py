"""The node daemon: the shell that carries out what `node_state` decides.

Its main thread takes one thing after another from an inbox: requests of schedulers, reports of server processes,
signals, commands, times that are due. Nothing of a user's is run or decoded here.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from greencoro.compute import node_vocabulary as vocabulary
from greencoro.compute import server_words
from greencoro.compute.child import settings_as_json
from greencoro.compute.directories import DaemonDirectory
from greencoro.compute.guard import Guard
from greencoro.compute.inbox import Inbox
from greencoro.compute.launching import LaunchOrder, Spawner
from greencoro.compute.node_options import NodeOptions
from greencoro.compute.node_state import NodeState
from greencoro.compute.node_words import NodeFacts, Release, Replace, Reserve, ReserveAnswer
from greencoro.compute.server import ServerProcess
from greencoro.config import Settings
from greencoro.errors import ConfigError, NetworkError
from greencoro.hub import native

if TYPE_CHECKING:
    from greencoro.compute.holders import Holders
    from greencoro.distributed.calls import Request
    from greencoro.distributed.link import Link
    from greencoro.distributed.runtime import Runtime

__all__ = ["Node"]

_log = logging.getLogger(__name__)

#: What a server is given to end by itself; what its jobs hold it up with ends there.
_END_SECONDS = 1.0
_STATUS_SECONDS = 0.5


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
        self._state = NodeState(options.servers)
        self._servers: dict[int, ServerProcess] = {}
        self._kill_at: dict[int, float] = {}
        self._census: dict[int, int] | None = None
        self._census_until = 0.0
        self._stopped = False
        self._exit_code = 0
        #: None until the first servers have been started.
        self._runtime: Runtime | None = None

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
            self._launcher = Spawner(Guard())
            undo.callback(self._launcher.close)
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

    def _start_runtime(self) -> Runtime:
        # What the servers' interpreters need not wait for.
        from greencoro.compute.holders import Holders
        from greencoro.distributed.runtime import Runtime

        options = self._options
        try:
            runtime = self._runtime = Runtime(
                node=options.host,
                udp_port=options.udp_port,
                tcp_port=options.port,
                ext_ip_addr=options.ext_ip_addr,
                name=options.name,
                discover_peers=options.discover_peers,
                peers=options.peers,
                secret=self._secret,
                secret_key=self._secret_key,
                certfile=options.certfile,
                keyfile=options.keyfile,
                max_file_size=options.max_file_size,
                settings=self._settings,
            )
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            hint = "; another node may run there, --port chooses another port" if taken else ""
            raise ConfigError(f"{error.strerror or error}{hint}") from error
        for server in self._servers.values():
            self._configure(server, runtime)
        self._holders: Holders = Holders(runtime, self._inbox, self)
        return runtime

    @property
    def _running(self) -> Runtime:
        assert self._runtime is not None, "only a daemon that was ready is asked for anything"
        return self._runtime

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

    # Requests of holders, and of those who would like to be; see `holders.Servant`.

    def facts(self) -> NodeFacts:
        """What schedulers may know of the node."""
        import platform

        runtime = self._running
        return NodeFacts(
            address=runtime.location.addr,
            name=runtime.name,
            servers=self._options.servers,
            ready=self._state.ready_count,
            platform=platform.platform(),
            cpus=len(os.sched_getaffinity(0)),
            tags=self._options.tags,
            in_use_by=self._state.in_use_by,
        )

    def reserve(self, request: Request, asked: Reserve) -> None:
        """Somebody wants all servers."""
        self._carry_out(self._state.reserve(request, request.link, asked))

    def release(self, request: Request, asked: Release) -> None:
        """Somebody needs them no more."""
        self._carry_out(self._state.release(request, asked))

    def replace(self, asked: Replace) -> None:
        """Somebody cannot reach one."""
        self._carry_out(self._state.replace(asked))

    def holder_lost(self, holder: Link, error: NetworkError) -> None:
        """A link by which somebody wanted the servers is lost."""
        instructions = self._state.holder_lost(holder)
        if instructions:
            _log.info("scheduler %s was lost: %s", holder.info, error)
        self._carry_out(instructions)

    # What the servers report.

    def _on_report(self, slot: int, run: int, report: server_words.Report) -> None:
        if isinstance(report, server_words.Ready):
            pid = self._servers[slot].pid
            identity = vocabulary.Identity(report.incarnation, report.location, report.name, pid)
            self._carry_out(self._state.ready(slot, run, identity))
        elif isinstance(report, server_words.Drained):
            self._carry_out(self._state.drained(slot, run))
        elif self._census is not None:
            self._census[slot] = report.count

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

    def _carry_out(self, instructions: list[vocabulary.Instruction]) -> None:
        for instruction in instructions:
            _CARRY_OUT[type(instruction)](self, instruction)

    def _start_server(self, order: vocabulary.StartServer) -> None:
        def later(method: Callable[..., None]) -> Callable[[Any], None]:
            return lambda news: self._inbox.put(functools.partial(method, order.slot, order.run, news))

        directory = self._directory.path / f"server-{order.slot}" / str(order.run)
        launch = LaunchOrder(order.slot, order.run)
        exited = later(self._on_exit)
        try:
            server = ServerProcess(launch, directory, self._launcher, later(self._on_report), exited)
        except OSError as error:
            # As a process that ended at once: it is tried again, after longer and longer pauses.
            exited(f"could not be started: {error}")
            return
        self._servers[order.slot] = server
        if self._runtime is not None:
            self._configure(server, self._runtime)

    def _configure(self, server: ServerProcess, runtime: Runtime) -> None:
        options = self._options
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
            )
        )

    def _end_server(self, order: vocabulary.EndServer) -> None:
        server = self._servers.get(order.slot)
        if server is None:
            return  # it could not be started, which is being told
        if order.at_once:
            server.kill()
            return
        server.send(server_words.End())
        self._kill_at[order.slot] = native.monotonic() + _END_SECONDS

    def _assign(self, order: vocabulary.Assign) -> None:
        self._servers[order.slot].send(server_words.Assign(order.token))

    def _drain(self, order: vocabulary.Drain) -> None:
        self._servers[order.slot].send(server_words.Drain())

    def _answer(self, order: vocabulary.Answer) -> None:
        if order.word == ReserveAnswer():
            _log.info("reserved by %s", order.request.peer)
        self._holders.answer(order.request, order.word)

    def _tell(self, order: vocabulary.Tell) -> None:
        self._holders.tell(order.holder, order.word)

    def _have_stopped(self, order: vocabulary.Stopped) -> None:
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
                server.send(server_words.CountJobs())
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
            where = "" if slot.identity is None else f" at {slot.identity.location}"
            pid = "" if server is None else f", PID {server.pid}"
            line = f"{self._running.name}-{slot.number}{where}{pid}: {slot.state.value}"
            if slot.is_leased:
                count = jobs.get(slot.number)
                busy = "busy" if count is None else f"{count} coroutine{'' if count == 1 else 's'}"
                line += f", {busy} for {self._state.in_use_by}"
            print(line, flush=True)


def _show_stacks(number: int, frame: FrameType | None) -> None:
    # Imported by the runtime as well, and not before the servers' interpreters have been started.
    from greencoro.hub.stacks import show_stacks

    show_stacks()


_CARRY_OUT: dict[type, Callable[[Node, Any], None]] = {
    vocabulary.StartServer: Node._start_server,
    vocabulary.EndServer: Node._end_server,
    vocabulary.Assign: Node._assign,
    vocabulary.Drain: Node._drain,
    vocabulary.Answer: Node._answer,
    vocabulary.Tell: Node._tell,
    vocabulary.Stopped: Node._have_stopped,
}
