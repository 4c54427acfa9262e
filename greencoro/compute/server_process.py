"""What a server process does, from when its keeper has forked it until its end.

Through a channel from the node daemon (`child`) comes first the configuration, then orders; end of file means that the
daemon is gone. The user hub turns in the main thread, the reactor in its own; a third thread reads the channel, so that
orders arrive and the daemon's end is noticed while a coroutine computes.
"""

import atexit
import contextlib
import faulthandler
import logging
import mmap
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from greencoro import log
from greencoro.compute import job_processes, last_words, lineage, server_words
from greencoro.compute.child import Channel
from greencoro.compute.client_end import ClientEnd
from greencoro.compute.confinement import apply, find_user, hand_over
from greencoro.compute.directories import last_words_file
from greencoro.compute.group_signals import have_forked_end_as_usual
from greencoro.compute.idleness import Idleness
from greencoro.compute.installed import check_installed
from greencoro.compute.job_host import CARRIERS, JobHost
from greencoro.compute.job_listener import Key
from greencoro.compute.job_words import SetUp
from greencoro.compute.last_words import LastWords
from greencoro.compute.launching import LISTENER
from greencoro.compute.limits import Limits
from greencoro.compute.loader import Loader, fresh_main
from greencoro.compute.output import SOON_SECONDS, Output, label_of
from greencoro.compute.siblings import SiblingNames
from greencoro.config import Settings
from greencoro.distributed.calls import Request
from greencoro.distributed.runtime import Runtime
from greencoro.hub import execution, native, preemption, userhub, watchdog
from greencoro.hub import exit as process_exit
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import sleep
from greencoro.hub.process_settings import use_settings
from greencoro.hub.stacks import show_stacks_on_signal

__all__ = ["main"]

_log = logging.getLogger(__name__)

#: Threads waiting for the interpreter lock ask for it after this long: the reactor's answer while a coroutine computes.
_SWITCH_SECONDS = 0.0005
#: What jobs are given for their ``finally`` blocks at the end.
_GRACE_SECONDS = 0.5


class _Server:
    def __init__(self, channel: Channel, config: server_words.Configure, settings: Settings, words: LastWords) -> None:
        self._channel = channel
        place: dict[str, Any] = {"node": config.host, "tcp_port": config.port}
        if config.has_listener:
            place = {"listen_on": [LISTENER], "accepting": False}
        self._runtime = Runtime(
            **place,
            ext_ip_addr=config.ext_ip_addr,
            name=config.name,
            udp_port=config.udp_port,
            discover_peers=config.discover_peers,
            peers=config.peers,
            role="server",
            closed=True,
            announce=False,
            secret_key=bytes.fromhex(config.key),
            certfile=config.certfile,
            keyfile=config.keyfile,
            # Where jobs find them by their names.
            dest_path=config.directory,
            max_file_size=config.max_file_size,
            settings=settings,
        )
        self._has_listener = config.has_listener
        if config.has_listener:
            native.close(LISTENER)  # the runtime has it, and what jobs start shall not
        self._client = ClientEnd(self._runtime)
        self._siblings = SiblingNames(self._runtime, self._client)
        self._forwards = config.forward_output
        self._output = Output(self._client.print, self._soon, words)
        self._words = words
        self._idleness = Idleness(self._say_whether_busy)
        # With the streams that have just been put there.
        log.enable_console(config.log_level)
        loader = Loader(Path.cwd())
        job_processes.prepare(loader, Path.cwd())
        self._host = JobHost(self._runtime, loader, self)
        preemption.install(self._on_stubborn, carriers=CARRIERS)
        execution.plug_in_hard(preemption.insist)

    def run(self) -> None:
        """Serve until told to end."""
        native.Thread(self._obey, "greencoro-channel").start()
        runtime = self._runtime
        self._report(server_words.Ready(runtime.incarnation.hex(), runtime.location, runtime.name, os.getpid()))
        userhub.run_adopted()

    def _report(self, word: server_words.Report) -> None:
        self._channel.send(server_words.to_line(word))

    # What the daemon wants; a thread of its own.

    def _obey(self) -> None:
        while (line := self._channel.receive()) is not None:
            order = server_words.read_order(line)
            if isinstance(order, server_words.Assign):
                self._host.assign(order.token)
                if self._has_listener:
                    self._runtime.accept(True)
            elif isinstance(order, server_words.CountJobs):
                self._report(server_words.Jobs(self._host.job_count))
            elif isinstance(order, server_words.Drain):
                self._host.drain()
            else:
                self._host.end(self._spawn_end)
        # The daemon is gone: so is everything here, jobs that hold the main thread included.
        os.killpg(0, signal.SIGKILL)

    # What the jobs do; on the user hub, see `job_listener.JobListener`.

    def set_up(self, request: Request) -> None:
        """The client is there."""
        asked = SetUp.from_header(request.header)
        self._client.begin(request.peer, asked)
        self._output.is_on = self._forwards and asked.output
        check_installed(asked.requirements, f"at {self._runtime.name}")

    def began(self, key: Key, name: str, coro: Coro) -> None:
        """A job begins."""
        self._words.began(label_of(coro))

    def over(self, key: Key, name: str, coro: Coro) -> None:
        """A job that began is over."""
        label = label_of(coro)
        self._words.over(label)
        self._output.over(label)

    def busy(self) -> None:
        """There are jobs again."""
        self._idleness.busy()

    def idle(self) -> None:
        """No job is left."""
        self._idleness.idle()

    def _say_whether_busy(self, is_busy: bool) -> None:
        self._report(server_words.Busy() if is_busy else server_words.Idle())

    def drained(self) -> None:
        """No job is left, and no more are taken."""
        self._report(server_words.Drained())

    # What is to be told of the jobs; any thread.

    def _soon(self, function: Callable[[], None]) -> None:
        reactor = self._runtime.reactor
        reactor.post(reactor.call_later, SOON_SECONDS, function)

    def _on_stubborn(self, stubborn: preemption.Stubborn) -> None:
        if stubborn.is_insisted:
            self._report(server_words.EndMe(f"{label_of(stubborn.coro)} was to end, and does not: {stubborn.reason}"))
        else:
            _log.warning("%s", stubborn)

    # The end.

    def _spawn_end(self) -> None:
        Coro(self._end).set_daemon()

    def _end(self) -> None:
        """Give every coroutine a moment to clean up, tell the peers, then let `run` return."""
        me = Coro.current()
        for coro in list(process_exit.alive.values()):
            if coro is not me:
                coro.terminate()
        deadline = native.monotonic() + _GRACE_SECONDS
        while self._host.job_count and native.monotonic() < deadline:
            sleep(0.005)
        self._output.close()
        self._runtime.finish()
        userhub.stop()


def main(channel: Channel, parent: int) -> NoReturn:
    """Serve the daemon at the other end of the channel, in the only thread of a patched process; then end this one.

    Args:
        parent (int): The process that has started this one, and whose end is this one's, too.
    """
    lineage.end_with_parent(parent)
    have_forked_end_as_usual()
    line = channel.receive()
    if line is not None:
        config = server_words.read_configuration(line)
        # Before the process is somebody else, whose file that is not.
        with last_words_file(Path(config.directory)).open("r+b") as file:
            words = LastWords(mmap.mmap(file.fileno(), last_words.SIZE))
        _confine(config, parent)
        _serve(channel, config, words)
    # Without waiting for what jobs left behind: their threads, and coroutines that would not end.
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


def _confine(config: server_words.Configure, parent: int) -> None:
    user = None if config.user is None else find_user(config.user)
    if user is not None:
        hand_over(Path(config.directory), user)
        os.environ.update(HOME=user.home, USER=user.name, LOGNAME=user.name)
    apply(Limits.parse(config.limits), user)
    if user is not None:
        lineage.end_with_parent(parent)  # which changing the user has undone


def _serve(channel: Channel, config: server_words.Configure, words: LastWords) -> None:
    os.chdir(config.directory)
    sys.setswitchinterval(_SWITCH_SECONDS)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    # Of the thread alone that is at fault: that of the hub, in which jobs run.
    faulthandler.enable(all_threads=False)
    fresh_main()
    show_stacks_on_signal()
    settings = Settings(**config.settings)
    use_settings(settings)
    userhub.adopt()
    watchdog.start(settings.max_blocked_seconds)
    _Server(channel, config, settings, words).run()
