"""The batch scheduler: a scheduler for clients in other processes, one after another."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import signal
from collections.abc import Mapping
from types import FrameType
from typing import Any

from greencoro.compute import client_words as words
from greencoro.compute.client_book import ClientBook
from greencoro.compute.inbox import Inbox
from greencoro.compute.node_words import Free
from greencoro.compute.ordered_posts import OrderedPosts
from greencoro.compute.remote_scheduler import SCHEDULER_NAME
from greencoro.compute.scheduler import Scheduler
from greencoro.compute.shown import counted
from greencoro.distributed.location import Location
from greencoro.distributed.runtime import DEFAULT_PORT, Runtime
from greencoro.errors import ConfigError
from greencoro.hub import native, userhub
from greencoro.hub.completion import Completion
from greencoro.hub.execution import sleep
from greencoro.hub.stacks import show_stacks_on_signal
from greencoro.log import escape

__all__ = ["SchedulerDaemon"]

_log = logging.getLogger(__name__)

#: How often it is looked whether clients are silent, in seconds: at least, at most.
_LOOK_SECONDS = 5.0
_SHORTEST_LOOK_SECONDS = 0.05
#: Before somebody who was named and did not answer is asked again.
_ASK_AGAIN_SECONDS = 10.0
#: What the last words to clients may take, once the computations have ended.
_LAST_WORDS_SECONDS = 2.0
#: Characters of what others call themselves.
_SHOWN = 100
_HOW_IT_ENDS = "the scheduler was ended"

_REQUESTS: tuple[type[words.Request], ...] = (
    words.Verdict,
    words.SetUpDone,
    words.SetUpFailed,
    words.Unreachable,
    words.Close,
)


class SchedulerDaemon:
    """Serves clients with a `Scheduler` of its own process; what it keeps of them is in the book.

    Args:
        zombie_period (float): Seconds without a job after which a node ends a computation's servers, whatever the
            computation asks for; 0: never.

        nodes (tuple[Location, ...]): In networks elsewhere; each is asked for all nodes of its network.

        runtime_options: Parameters of `Runtime`.

    Raises:
        ConfigError, OSError: The runtime cannot be started so.
    """

    def __init__(self, zombie_period: float, nodes: tuple[Location, ...], **runtime_options: Any) -> None:
        self._zombie_period = zombie_period
        self._inbox = Inbox()
        self._exit_code: int | None = None
        self._book = ClientBook()
        self._ways: dict[int, OrderedPosts] = {}
        self._over = Completion()
        self.runtime = Runtime(role="scheduler", announce=False, **runtime_options)
        try:
            udp_port = runtime_options.get("udp_port") or DEFAULT_PORT
            self._scheduler = Scheduler(nodes=[Location(node.addr, node.port or udp_port) for node in nodes])
            self._serve()
            self._become_known()
            for node in nodes:
                if not node.port:
                    self.runtime.spawn(self._ask_around, node, udp_port).set_daemon()
        except BaseException:
            self.runtime.finish()
            raise

    def _serve(self) -> None:
        handle = self.runtime.handle
        handle(words.Ask.operation, self._submit)
        handle(words.Withdraw.operation, self._withdraw)
        for word in _REQUESTS:
            handle(word.operation, functools.partial(self._ask, word))
        handle(words.Pulse.operation, self._pulse)
        handle(words.AskWhy.operation, self._why)
        handle(words.AskStatus.operation, self._tell_status)
        self.runtime.watch_peers(self._on_peer)
        self.runtime.spawn(self._look_at_clocks).set_daemon()

    def _become_known(self) -> None:
        known = self.runtime.spawn(self._over.wait)
        known.set_daemon()
        if known.register(SCHEDULER_NAME) != 0:
            raise ConfigError("this process has a scheduler already")

    def _ask_around(self, node: Location, udp_port: int) -> None:
        """Have all nodes in the network of one know of this scheduler, once somebody there answers."""
        while self.runtime.peer(node, udp_port, broadcast=True) != 0:
            if self._over.wait(_ASK_AGAIN_SECONDS):
                return

    # The life of the program; the main thread.

    def run(self) -> int:
        """Serve until `stop`; the exit code."""
        while self._exit_code is None:
            action = self._inbox.take(None)
            if action is not None:
                action()
        self._end()
        return self._exit_code

    def stop(self, exit_code: int) -> None:
        """Close all computations and end; a second call ends at once. From any thread, or a signal handler."""
        if self._exit_code is not None:
            # Nodes see that this process is gone, and end what runs for it.
            os._exit(exit_code)
        self._inbox.put(functools.partial(self._set_exit_code, exit_code))

    def _set_exit_code(self, exit_code: int) -> None:
        self._exit_code = exit_code

    def _end(self) -> None:
        userhub.post(lambda: self._close(self._book.discard(self._book.numbers, _HOW_IT_ENDS)))
        self._scheduler.close()
        deadline = native.monotonic() + _LAST_WORDS_SECONDS
        while not all(way.is_idle for way in list(self._ways.values())) and native.monotonic() < deadline:
            sleep(0.01)
        self._over.set()
        self.runtime.finish()

    def end_on_signals(self) -> None:
        """Have SIGTERM and SIGHUP end the scheduler with exit code 0, SIGINT with 130, SIGUSR1 show stacks.

        SIGHUP is left alone where it is ignored, as by nohup. From the main thread.
        """

        def on_signal(number: int, frame: FrameType | None) -> None:
            if number == signal.SIGHUP:
                # A terminal that is closed may send it twice, which asks for no hurry.
                signal.signal(number, signal.SIG_IGN)
            self.stop(130 if number == signal.SIGINT else 0)

        signal.signal(signal.SIGTERM, on_signal)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, on_signal)
        signal.signal(signal.SIGINT, on_signal)
        show_stacks_on_signal()

    # What clients ask for; on the user hub, as all that follows.

    def _submit(self, request: Any) -> None:
        ask = words.Ask.from_header(request.header)
        peer, client = request.peer, request.peer.incarnation.hex()
        self._book.check(client, ask.token)
        ask = dataclasses.replace(ask, zombie_period=self._zombie_period)
        number = self._scheduler.submit(ask, self._tell)
        # Nothing is told before: that is on its way through the user hub.
        self._book.submitted(number, client, str(peer.location), ask, native.monotonic())
        failed = functools.partial(self._client_lost, client)
        self._ways[number] = OrderedPosts(self.runtime, peer, failed)
        if self.runtime.last_heard(peer) is None:
            failed("it has gone")  # before anything was known of it
        _log.info("computation %d is queued for %s", number, peer)
        request.reply(words.Submitted(number).to_header())

    def _withdraw(self, request: Any) -> None:
        token = words.Withdraw.from_header(request.header).token
        number = self._book.withdrawn(request.peer.incarnation.hex(), token)
        if number is not None:
            self._close([number])

    def _authorized(self, word: type[words.Request], request: Any) -> words.Request:
        asked = word.from_header(request.header)
        token = words.Credential.from_header(request.header).token
        self._book.check_token(asked.computation, request.peer.incarnation.hex(), token)
        return asked

    def _ask(self, word: type[words.Request], request: Any) -> None:
        asked = self._authorized(word, request)
        self._book.asked(asked)
        self._scheduler.tell(asked)

    def _pulse(self, request: Any) -> None:
        asked = self._authorized(words.Pulse, request)
        self._book.pulse(asked.computation, native.monotonic())
        heard = words.Heard(asked.computation)
        header = {**heard.to_header(), **words.Credential(self._book.token(asked.computation)).to_header()}
        # Where there is no room it is not silent: something is on the way to it.
        self.runtime.post_nowait(request.peer, heard.operation, header)

    def _why(self, request: Any) -> None:
        self._authorized(words.AskWhy, request)
        request.reply(words.Because(self._scheduler.why_no_server()).to_header())

    # What clients are told.

    def _tell(self, notice: words.Notice) -> None:
        number = notice.computation
        token = self._book.token(number)
        told = self._book.tell(notice, native.monotonic())
        header = {**told.to_header(), **words.Credential(token).to_header()}
        self._ways[number].put(told.operation, header)
        if isinstance(told, words.Ended):
            _log.info("computation %d is over%s", number, f": {told.reason}" if told.reason else "")
            del self._ways[number]

    def _close(self, numbers: list[int]) -> None:
        for number in numbers:
            self._scheduler.tell(words.Close(number))

    # What becomes of clients.

    def _on_peer(self, event: Any) -> None:
        if not event.online:
            self._client_lost(event.peer.incarnation.hex(), event.reason)

    def _client_lost(self, client: str, reason: str) -> None:
        self._close(self._book.lost(client, reason))

    def _look_at_clocks(self) -> None:
        pause = _LOOK_SECONDS
        while not self._over.wait(pause):
            self._close(self._book.silent(native.monotonic()))
            pulse = self._book.shortest_pulse()
            pause = _LOOK_SECONDS if pulse is None else min(_LOOK_SECONDS, max(_SHORTEST_LOOK_SECONDS, pulse / 2))

    # For people.

    def report(self) -> dict[str, Any]:
        """What the scheduler is at, as JSON; without what only its clients may know."""
        return {
            "location": str(self.runtime.location),
            "computations_in_all": len(self._book.numbers),
            "computations": self._book.rows(native.monotonic()),
            "nodes": self._scheduler.status()["nodes"],
        }

    def _tell_status(self, request: Any) -> None:
        words.AskStatus.from_header(request.header)
        request.reply(words.SchedulerStatus(self.report()).to_header())

    def command(self, line: str) -> None:
        """Do what somebody typed; any thread."""
        self._inbox.put(functools.partial(self._command, line.strip().lower()))

    def _command(self, line: str) -> None:
        if line == "status":
            report = Completion()
            userhub.post(lambda: report.set(self.report()))
            report.wait()
            print("\n".join(status_lines(report.value)), flush=True)
        elif line in ("quit", "exit"):
            self._exit_code = 0
        elif line:
            print("commands: status, quit (or exit)", flush=True)


def status_lines(report: Mapping[str, Any]) -> list[str]:
    """A report for people."""
    lines = []
    for row in report["computations"]:
        what = f"{escape(row['name'], _SHOWN)} at {row['client']}, computation {row['computation']}"
        if row["position"] is None:
            servers = counted(row["servers"], "server")
            lines.append(f"{row['state']}: {what}, for {row['running_seconds']:.0f} s, {servers}")
        else:
            lines.append(f"{row['position'] + 1}. in the queue: {what}, waits {row['waiting_seconds']:.0f} s")
    more = report["computations_in_all"] - len(report["computations"])
    if more:
        lines.append(f"and {counted(more, 'computation')} more")
    for node in report["nodes"]:
        name, address = escape(node["name"], _SHOWN), escape(node["address"], _SHOWN)
        problem = f" ({escape(node['problem'], _SHOWN)})" if node["problem"] else ""
        servers = counted(len(node["servers"]), "server")
        free = "" if node["free"] is None else f"; {Free.from_header(node['free']).line()}"
        lines.append(f"node {name} at {address}: {node['state']}{problem}, {servers}{free}")
    return lines or ["no computations, no nodes"]
