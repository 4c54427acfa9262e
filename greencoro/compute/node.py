"""The node daemon: the shell that carries out what `node_state` decides.

Its main thread takes one thing after another from an inbox: requests of schedulers, reports of server processes,
signals, commands, times that are due. Nothing of a user's is run or decoded here, and nothing waits for a peer.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import signal
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from greencoro.compute import node_vocabulary as vocabulary
from greencoro.compute import server_words
from greencoro.compute.directories import DaemonDirectory
from greencoro.compute.inbox import Inbox
from greencoro.compute.launching import Launcher
from greencoro.compute.node_options import NodeOptions
from greencoro.compute.node_state import NodeState
from greencoro.compute.node_words import (
    Command,
    NodeFacts,
    Operate,
    Operated,
    Pulse,
    Pulsed,
    Release,
    Replace,
    Reserve,
    ReserveAnswer,
)
from greencoro.compute.server_crew import END_SECONDS, STUCK_SECONDS, ServerCrew
from greencoro.compute.zygote_link import ForkingLauncher
from greencoro.config import Settings
from greencoro.errors import ComputeError, ConfigError, NetworkError
from greencoro.hub import native

if TYPE_CHECKING:
    from greencoro.compute.holders import Holders
    from greencoro.compute.survey import Survey
    from greencoro.distributed.calls import Request
    from greencoro.distributed.runtime import Runtime

__all__ = ["Node"]

_log = logging.getLogger(__name__)


class Node:
    """A node daemon; `run` is its life.

    Args:
        secret_key (bytes | None): The derived key of the secret, from a parent process.

        secret (str | None): The secret as text; without either, it comes from the file that the settings name.

        make_launcher: Makes what the servers come from, which `run` closes.
    """

    def __init__(
        self,
        options: NodeOptions,
        settings: Settings,
        *,
        secret_key: bytes | None = None,
        secret: str | None = None,
        make_launcher: Callable[[], Launcher] = ForkingLauncher,
    ) -> None:
        self._options = options
        self._settings = settings
        self._secret_key = secret_key
        self._secret = secret
        self._make_launcher = make_launcher
        self._inbox = Inbox()
        self._state = NodeState(options)
        self._stopped = False
        self._exit_code = 0
        #: None until the first servers have been started.
        self._runtime: Runtime | None = None

    # For other threads, and signal handlers.

    def stop(self, exit_code: int = 0) -> None:
        """End everything; `run` then returns ``exit_code``. A second call ends the servers by force."""
        self._inbox.put(functools.partial(self._stop, exit_code))

    def terminate(self) -> None:
        """Take no more jobs, give those that run their time, then end; a second call: at once.

        The time is that of the options (``drain_seconds``); `run` returns 0.
        """
        self._inbox.put(self._terminate)

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
            self._directory = DaemonDirectory(self._options.dest_path, for_user=self._options.user is not None)
            undo.callback(self._directory.remove)
            # What the servers are forked from may import while this process does, and looks up its secret.
            launcher = self._make_launcher()
            undo.callback(launcher.close)
            self._crew = ServerCrew(self._options, self._settings, self._directory, launcher, self._inbox, self)
            undo.callback(self._crew.close)
            self._carry_out(self._state.start(native.monotonic(), native.wall_clock()))
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

    def end_on_signals(self) -> None:
        """Have SIGTERM and SIGHUP `terminate` the daemon, SIGINT stop it with exit code 130, SIGUSR1 show stacks.

        SIGHUP is left alone where it is ignored, as by nohup. From the main thread.
        """

        def on_hangup(number: int, frame: FrameType | None) -> None:
            # A terminal that is closed may send it twice, which asks for no hurry.
            signal.signal(number, signal.SIG_IGN)
            self.terminate()

        signal.signal(signal.SIGTERM, lambda number, frame: self.terminate())
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, on_hangup)
        signal.signal(signal.SIGINT, lambda number, frame: self.stop(130))
        signal.signal(signal.SIGUSR1, _show_stacks)

    def _start_runtime(self) -> Runtime:
        # What the start of the servers need not wait for.
        from greencoro.compute.availability import Availability
        from greencoro.compute.holders import Holders
        from greencoro.compute.survey import Survey
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
                role="node",
            )
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            hint = (
                "; `greencoro node status` tells whether a node is there, --port chooses another port" if taken else ""
            )
            raise ConfigError(f"{error.strerror or error}{hint}") from error
        if options.ping_interval is not None:
            runtime.set_ping_interval(options.ping_interval)
        self._survey: Survey = Survey(runtime, self._state, self._crew, Availability(self._directory.path))
        self._crew.configure(runtime)
        self._holders: Holders = Holders(runtime, self._inbox, self)
        return runtime

    @property
    def _running(self) -> Runtime:
        assert self._runtime is not None, "only a daemon that was ready is asked for anything"
        return self._runtime

    def _until_due(self) -> float | None:
        now = native.monotonic()
        all_dues = (
            self._state.next_due_at(),
            self._crew.next_due_at(),
            self._holders.next_due_at(now),
            self._survey.next_due_at(),
        )
        dues = [due for due in all_dues if due is not None]
        return max(0.0, min(dues) - now) if dues else None

    def _look_at_clock(self) -> None:
        now = native.monotonic()
        if self._state.is_stopping:
            self._crew.give_up_after(STUCK_SECONDS)
        self._crew.look(now)
        self._holders.send_waiting()
        self._survey.look(now)
        self._carry_out(self._state.due(now, native.wall_clock()))

    # Requests of holders, and of those who would like to be; see `holders.Servant`.

    def facts(self) -> NodeFacts:
        """What schedulers may know of the node."""
        from greencoro.compute.cpu_count import cpu_count
        from greencoro.compute.platform_name import platform_name

        runtime = self._running
        return NodeFacts(
            address=runtime.location.addr,
            name=runtime.name,
            servers=self._options.servers,
            ready=self._state.ready_count,
            platform=platform_name(),
            cpus=cpu_count(),
            tags=self._options.tags,
            in_use_by=self._state.in_use_by,
            free=self._survey.free(),
            has_listed_ports=any(self._options.server_ports),
        )

    def reserve(self, request: Request, asked: Reserve) -> None:
        """Somebody wants all servers."""
        self._carry_out(self._state.reserve(request, _holder(request), asked, native.monotonic()))

    def pulse(self, request: Request, asked: Pulse) -> None:
        """Somebody holds them still."""
        self._carry_out(self._state.pulse(request, _holder(request), asked, native.monotonic()))

    def release(self, request: Request, asked: Release) -> None:
        """Somebody needs them no more."""
        self._carry_out(self._state.release(request, asked))

    def replace(self, asked: Replace) -> None:
        """Somebody cannot reach one."""
        self._carry_out(self._state.replace(asked))

    def operate(self, request: Request, asked: Operate) -> None:
        """Somebody says what whoever runs the node may say."""
        if asked.command is Command.STATUS:
            self._survey.ask(lambda report: request.reply(report.to_header()))
            return
        if not _is_from_here(request):
            raise ComputeError("a node is released and drained from its own machine only")
        ended = None
        if asked.command is Command.RELEASE:
            ended = self._state.in_use_by
            self._carry_out(self._state.close())
        else:
            self._carry_out(self._state.drain(native.monotonic()))
        request.reply(Operated(ended).to_header())

    def holder_lost(self, holder: vocabulary.Holder, error: NetworkError) -> None:
        """A link by which somebody wanted the servers is lost."""
        _log.info("a connection to %s was lost: %s", holder.link.info, error)
        self._carry_out(self._state.holder_lost(holder, native.monotonic()))

    # What the servers report; see `server_crew.CrewListener`.

    def reported(self, slot: int, run: int, report: server_words.Report) -> None:
        """A server says something."""
        if isinstance(report, server_words.Ready):
            identity = vocabulary.Identity(report.incarnation, report.location, report.name, report.pid)
            self._carry_out(self._state.ready(slot, run, identity))
        elif isinstance(report, server_words.Drained):
            self._carry_out(self._state.drained(slot, run))
        elif isinstance(report, server_words.Busy):
            self._state.busy(slot, run)
        elif isinstance(report, server_words.Idle):
            self._state.idle(slot, run, native.monotonic())
        elif isinstance(report, server_words.Jobs):
            self._survey.counted(slot, report.count)

    def exited(self, slot: int, run: int, explanation: str) -> None:
        """A server is gone, with all it started."""
        expected = self._state.slots[slot - 1].is_ending
        log = _log.debug if expected else _log.warning
        log("server %d %s", slot, explanation)
        self._carry_out(self._state.exited(slot, run, explanation, native.monotonic()))

    # Instructions.

    def _carry_out(self, instructions: list[vocabulary.Instruction]) -> None:
        for instruction in instructions:
            _CARRY_OUT[type(instruction)](self, instruction)

    def _start_server(self, order: vocabulary.StartServer) -> None:
        self._crew.start(order)

    def _end_server(self, order: vocabulary.EndServer) -> None:
        if order.at_once:
            self._crew.kill(order.slot)
        else:
            self._crew.end(order.slot)

    def _assign(self, order: vocabulary.Assign) -> None:
        self._crew.assign(order.slot, order.token)

    def _drain(self, order: vocabulary.Drain) -> None:
        self._crew.send(order.slot, server_words.Drain())

    def _answer(self, order: vocabulary.Answer) -> None:
        if order.word == ReserveAnswer():
            _log.info("reserved by %s", order.request.peer)
        self._holders.answer(order.request, order.word)

    def _answer_pulse(self, order: vocabulary.AnswerPulse) -> None:
        self._holders.answer(order.request, Pulsed(is_held=True, free=self._survey.free()))

    def _tell(self, order: vocabulary.Tell) -> None:
        self._holders.tell(order.holder, order.word)

    def _have_stopped(self, order: vocabulary.Stopped) -> None:
        self._stopped = True

    # What people and parents ask for.

    def _stop(self, exit_code: int) -> None:
        self._exit_code = exit_code
        if self._state.is_stopping:
            self._crew.kill_all()
        self._carry_out(self._state.stop())

    def _terminate(self) -> None:
        if self._state.is_counting_down or self._state.is_stopping:
            self._carry_out(self._state.stop())
            self._crew.kill_all()
        else:
            seconds = max(0.0, self._options.drain_seconds - END_SECONDS)
            self._carry_out(self._state.drain(native.monotonic(), seconds))

    def _command(self, line: str) -> None:
        if line == "status":
            self._survey.ask(lambda report: print(*report.lines(), sep="\n", flush=True))
        elif line == "close":
            self._carry_out(self._state.close())
        elif line in ("quit", "exit"):
            self._carry_out(self._state.drain(native.monotonic()))
        elif line == "terminate":
            self._stop(0)
        elif line:
            print("commands: status, close, quit (or exit), terminate", flush=True)


def _holder(request: Request) -> vocabulary.Holder:
    return vocabulary.Holder(request.peer.incarnation.hex(), request.link)


def _is_from_here(request: Request) -> bool:
    from greencoro.distributed.addresses import is_loopback, own_addresses

    wire = request.link.wire
    if wire is None:
        return False
    address = wire.stream.peer_address
    return is_loopback(address) or address in own_addresses()


def _show_stacks(number: int, frame: FrameType | None) -> None:
    # Imported by the runtime as well, and not before the servers have been ordered.
    from greencoro.hub.stacks import show_stacks

    show_stacks()


_CARRY_OUT: dict[type, Callable[[Node, Any], None]] = {
    vocabulary.StartServer: Node._start_server,
    vocabulary.EndServer: Node._end_server,
    vocabulary.Assign: Node._assign,
    vocabulary.Drain: Node._drain,
    vocabulary.Answer: Node._answer,
    vocabulary.AnswerPulse: Node._answer_pulse,
    vocabulary.Tell: Node._tell,
    vocabulary.Stopped: Node._have_stopped,
}
