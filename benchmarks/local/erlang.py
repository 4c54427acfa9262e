"""How the program in Erlang is run and told what to do.

It works in turns: it says ``ready``, does the next part of its work when it is sent a line, and says ``done`` with a
number. So what is measured is measured here, with the same clocks as for all others; a turn's line there and back takes
well under a millisecond.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Measurement, measured

#: What must be on the path; in Debian's package erlang-base.
PROGRAM = "escript"

#: A virtual machine that is ended in its midst leaves no dump in the directory where it was started.
ENVIRONMENT = {"ERL_CRASH_DUMP_SECONDS": "0"}

SETUP = "Erlang/OTP as Debian ships it, with its default settings: as many schedulers as there are CPUs"

_SCRIPT = Path(__file__).with_name("peers.escript")


class Script:
    """The running program.

    Attributes:
        pid: Of its virtual machine.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    def wait_until_ready(self) -> None:
        """Wait for it to be ready for its next turn."""
        self._expect("ready")

    def take_turn(self) -> float:
        """Have it do its next part; returns the number that it says at the end."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._expect("done"))

    def _expect(self, word: str) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        said, _, rest = line.strip().partition(" ")
        if said != word:
            raise RuntimeError(f"the program in Erlang should have said {word!r}, and said {line!r}")
        return rest


@contextlib.contextmanager
def script(question: str, operations: int) -> Iterator[Script]:
    """Run the program within the ``with`` statement."""
    command = [PROGRAM, str(_SCRIPT), question, str(operations)]
    env = os.environ | ENVIRONMENT
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            yield Script(process)
        finally:
            process.kill()


def measure(question: str, operations: int) -> Measurement:
    """Have the program answer a question of one turn; returns what that took."""
    with script(question, operations) as running:
        running.wait_until_ready()
        with measured(operations) as measurement:
            running.take_turn()
    return measurement
