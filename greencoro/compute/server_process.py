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
from typing import Any

from greencoro import log
from greencoro.compute.child import Channel
from greencoro.compute.job_host import JobHost
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
    def __init__(self, channel: Channel, config: dict[str, Any]) -> None:
        self._channel = channel
        self._runtime = Runtime(
            node=config["host"],
            tcp_port=config["port"],
            name=config["name"],
            discover_peers=False,
            announce=False,
            secret_key=bytes.fromhex(config["key"]),
            settings=Settings(**config["settings"]),
        )
        self._host = JobHost(self._runtime, Loader(Path.cwd()), self._tell_idle)

    def run(self) -> None:
        """Serve until told to end."""
        native.Thread(self._obey, "greencoro-channel").start()
        location = self._runtime.location
        self._channel.send(
            {
                "event": "ready",
                "identity": {
                    "host": location.addr,
                    "port": location.port,
                    "incarnation": self._runtime.incarnation.hex(),
                    "name": self._runtime.name,
                },
            }
        )
        userhub.run_adopted()

    def _tell_idle(self) -> None:
        self._channel.send({"event": "drained"})

    def _obey(self) -> None:
        while (message := self._channel.receive()) is not None:
            order = message["order"]
            if order == "assign":
                self._host.assign(message["token"])
            elif order == "status":
                self._channel.send({"event": "status", "jobs": self._host.job_count})
            elif order == "drain":
                userhub.post(self._host.drain)
            elif order == "end":
                userhub.post(self._spawn_end)
        # The daemon is gone: so is everything here, jobs that hold the main thread included.
        os.killpg(0, signal.SIGKILL)

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


def main() -> None:
    """Serve the daemon at the other end of standard input."""
    # From here on the daemon's death is ours; one that died before shows as end of file on the channel.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    channel = Channel.from_standard_input()
    config = channel.receive()
    if config is None:
        return
    os.chdir(config["directory"])
    sys.setswitchinterval(_SWITCH_SECONDS)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    log.enable_console(config["log_level"])
    fresh_main()
    show_stacks_on_signal()
    userhub.adopt()
    watchdog.start(config["settings"]["max_blocked_seconds"])
    _Server(channel, config).run()


if __name__ == "__main__":
    main()
    # Without waiting for what jobs left behind: their threads, and coroutines that would not end.
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)
