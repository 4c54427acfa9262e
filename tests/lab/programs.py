"""Programs that compute on a cluster, run in hosts of a lab."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.lab.netlab import Lab
from tests.support.examples import ROOT

#: The beginning of a client: jobs at all servers of a computation send it messages and files, and get some of it; and
#: each speaks to the next one.
TALK = """
import sys
from pathlib import Path
from greencoro import Computation, ComputeError, Coro, Scheduler, runtime

def job(client, coro=None):
    client.send(coro)
    number, following = coro.receive(30)
    if following:
        following[0].send((number + 1, following[1:]))
    Path(f"answer-{number}").write_text("to the client")
    return number, runtime().send_file(client.location, f"answer-{number}", overwrite=True)

def talk(computation, coro=None):
    jobs = computation.run_servers(job, coro)
    sent = [runtime().send_file(job.location, sys.argv[0]) for job in jobs]
    first, *following = [coro.receive(30) for _ in jobs]
    first.send((7, following))
    return sorted(job.value(30) for job in jobs), sent

def use(computation, count):
    computation.wait_for_servers(count, 50)
    print(*sorted(map(str, computation.servers())))
    print(Coro(talk, computation).value(60), flush=True)
"""


def talked(servers: Sequence[str]) -> list[str]:
    """What a client prints that has used these servers."""
    return [" ".join(servers), str(([(7 + number, 0) for number in range(len(servers))], [0] * len(servers)))]


class Hosts:
    """Runs programs in hosts of a lab, all of them with one secret."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self._lab = lab
        self._directory = directory
        #: What all of them wrote to standard error.
        self.errors = directory / "errors"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GREENCORO_")}
        self._environment = kept | {
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "GREENCORO_SECRET_FILE": str(directory / "secret"),
        }

    def start(self, host: str, *arguments: str) -> subprocess.Popen[str]:
        # The lock of a service is the machine's, and the hosts of all labs are on one.
        temporary = self._directory / f"tmp-{host}"
        temporary.mkdir(mode=0o700, exist_ok=True)
        with self.errors.open("ab") as errors:
            return self._lab.popen(
                host,
                [sys.executable, *arguments],
                env=self._environment | {"TMPDIR": str(temporary)},
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def node(self, host: str, *given: str) -> str:
        """Start a node daemon; its first line."""
        process = self.start(host, "-m", "greencoro", "node", *given)
        assert process.stdout is not None
        return process.stdout.readline()
