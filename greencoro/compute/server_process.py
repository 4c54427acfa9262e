"""The program inside a server process: ``python -m greencoro.compute.server_process``, started by a node daemon.

Its standard input is the daemon's channel (`child`): first comes the configuration, then orders; end of file means that
the daemon is gone. The user hub turns in the main thread, the reactor in its own; a third thread reads the channel, so
that orders arrive and the daemon's end is noticed while a coroutine computes.
"""

if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()

import atexit
import contextlib
import ctypes
import logging
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from greencoro import log
from greencoro.compute import server_words
from greencoro.compute.child import Channel
from greencoro.compute.job_host import JobHost, Key
from greencoro.compute.loader import Loader, fresh_main
from greencoro.config import Settings
from greencoro.distributed.runtime import Runtime
from greencoro.hub import exit as process_exit
from greencoro.hub import native, userhub, watchdog
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import sleep
from greencoro.hub.stacks import show_stacks_on_signal

__all__ = ["main"]

_log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
#: Threads waiting for the interpreter lock ask for it after this long: the reactor's answer while a coroutine computes.
_SWITCH_SECONDS = 0.0005
#: What jobs are given for their ``finally`` blocks at the end.
_GRACE_SECONDS = 0.5


class _Server:
    def __init__(self, channel: Channel, config: server_words.Configure) -> None:
        self._channel = channel
        self._runtime = Runtime(
            node=config.host,
            tcp_port=config.port,
            ext_ip_addr=config.ext_ip_addr,
            name=config.name,
            discover_peers=False,
            announce=False,
            secret_key=bytes.fromhex(config.key),
            certfile=config.certfile,
            keyfile=config.keyfile,
            max_file_size=config.max_file_size,
            settings=Settings(**config.settings),
        )
        self._host = JobHost(self._runtime, Loader(Path.cwd()), self)

    def run(self) -> None:
        """Serve until told to end."""
        native.Thread(self._obey, "greencoro-channel").start()
        runtime = self._runtime
        self._report(server_words.Ready(runtime.incarnation.hex(), runtime.location, runtime.name))
        userhub.run_adopted()

    def _report(self, word: server_words.Report) -> None:
        self._channel.send(server_words.to_line(word))

    # What the daemon wants; a thread of its own.

    def _obey(self) -> None:
        while (line := self._channel.receive()) is not None:
            order = server_words.read_order(line)
            if isinstance(order, server_words.Assign):
                self._host.assign(order.token)
            elif isinstance(order, server_words.CountJobs):
                self._report(server_words.Jobs(self._host.job_count))
            elif isinstance(order, server_words.Drain):
                self._host.drain()
            else:
                userhub.post(self._spawn_end)
        # The daemon is gone: so is everything here, jobs that hold the main thread included.
        os.killpg(0, signal.SIGKILL)

    # What the jobs do; on the user hub, see `job_host.JobListener`.

    def began(self, key: Key, name: str, coro: Coro) -> None:
        """A job begins."""
        _log.debug("job %s of %s begins", name, key[0].hex())

    def over(self, key: Key, name: str, coro: Coro) -> None:
        """A job that began is over."""
        _log.debug("job %s of %s is over", name, key[0].hex())

    def busy(self) -> None:
        """There are jobs again."""
        _log.debug("busy")

    def idle(self) -> None:
        """No job is left."""
        _log.debug("idle")

    def drained(self) -> None:
        """No job is left, and no more are taken."""
        self._report(server_words.Drained())

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
        self._runtime.finish()
        userhub.stop()


def main(channel: Channel) -> NoReturn:
    """Serve the daemon at the other end of the channel, in the main thread of a patched process; then end this one."""
    # From here on the daemon's death is ours; one that died before shows as end of file on the channel.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    line = channel.receive()
    if line is not None:
        _serve(channel, server_words.read_configuration(line))
    # Without waiting for what jobs left behind: their threads, and coroutines that would not end.
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)


def _serve(channel: Channel, config: server_words.Configure) -> None:
    os.chdir(config.directory)
    sys.setswitchinterval(_SWITCH_SECONDS)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    log.enable_console(config.log_level)
    fresh_main()
    show_stacks_on_signal()
    userhub.adopt()
    watchdog.start(config.settings["max_blocked_seconds"])
    _Server(channel, config).run()


if __name__ == "__main__":
    main(Channel.from_standard_input())
