"""Programs that a test runs as processes of their own."""

import os
import re
import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil

from tests.support.polling import poll_until

ROOT = Path(__file__).parent.parent.parent
_SERVER = re.compile("greencoro-[0-9]+")
#: Before the arguments of a program that is to be run as by nohup.
UNDER_NOHUP = (
    "-c",
    "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])",
)


class Program:
    """A running Python program, whose output is read line by line."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.process = process
        self.pid = process.pid
        self.family: set[psutil.Process] = {psutil.Process(process.pid)}
        #: What a node daemon says first.
        self.announcement = ""
        self._buffer = b""

    def line(self, seconds: float = 40.0) -> str:
        """The next line of its output."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            ready = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]
            data = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not data:
                raise AssertionError(f"no line: it wrote {self._buffer!r}, exit {self.process.poll()}, {self.errors()}")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        self.look_at_family()
        return line.decode()

    def look_at_family(self) -> set[psutil.Process]:
        """Remember its processes, children's children included, and return those that run."""
        for member in list(self.family):
            try:
                self.family.update(member.children(recursive=True))
            except psutil.NoSuchProcess:
                continue
        return {member for member in self.family if runs(member)}

    def servers(self) -> list[psutil.Process]:
        """Those of its processes that are servers, by number."""
        return sorted((m for m in self.look_at_family() if _SERVER.fullmatch(name_of(m))), key=name_of)

    def wait(self, seconds: float = 40.0) -> int:
        return self.process.wait(seconds)

    def rest(self) -> str:
        """What it wrote and nobody read, once it is over."""
        return (self._buffer + self.process.stdout.read()).decode()

    def errors(self) -> str:
        return Path(self.process.errors).read_text()

    def all_gone_within(self, seconds: float) -> float:
        """Wait until every process of it is gone; how long that took."""
        began = time.monotonic()
        poll_until(
            lambda: not [member for member in self.family if runs(member)],
            seconds,
            f"the end of {[member for member in self.family if runs(member)]}",
        )
        return time.monotonic() - began


class Programs:
    """Starts programs, and ends what is left of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._started: list[Program] = []

    def start(
        self, *arguments: str, stdin=subprocess.DEVNULL, directory: Path | None = None, **environment: str
    ) -> Program:
        """Run Python with the arguments, in a session of its own; there, or in the directory of all."""
        errors = self.directory / f"errors-{len(self._started)}"
        with errors.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=directory or self.directory,
                env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | environment,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
            )
        process.errors = errors
        program = Program(process)
        self._started.append(program)
        return program

    def script(self, text: str, name: str = "client.py", stdin=subprocess.DEVNULL, **environment: str) -> Program:
        """Run a script; what is indented in common does not count."""
        path = self.directory / name
        path.write_text(textwrap.dedent(text))
        return self.start(str(path), stdin=stdin, **environment)

    def node(self, *arguments: str, stdin=subprocess.DEVNULL, **environment: str) -> tuple[Program, str]:
        """Run a node daemon on loopback, and return it with its location."""
        command = ["-m", "greencoro", "node", "-i", "127.0.0.1", "--port", "0"]
        program = self.start(*command, *arguments, stdin=stdin, **environment)
        program.announcement = program.line()
        return program, program.announcement.split(" at ")[1].split(": ")[0]

    def await_file(self, path: Path, seconds: float = 40.0) -> None:
        """Wait until one of the programs, or a job of theirs, has made the file.

        Raises:
            AssertionError: None has; with what each wrote, and where it stood if ``PYTHONFAULTHANDLER`` is set there.
        """
        try:
            poll_until(path.exists, seconds, f"{path.name} is there")
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *map(_last_words, reversed(self._started))])) from None

    def end(self) -> None:
        for program in self._started:
            for member in program.look_at_family():
                try:
                    member.kill()
                except psutil.NoSuchProcess:
                    continue
            program.process.wait()
            program.process.stdout.close()


def _last_words(program: Program) -> str:
    for server in program.servers():
        server.send_signal(signal.SIGUSR1)
    time.sleep(1)  # they write to where it writes
    program.process.send_signal(signal.SIGABRT)
    program.wait(10)
    return f"{program.process.args}: exit {program.process.returncode}\n{program.rest()}\n{program.errors()}"


def runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def name_of(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""  # it has just ended


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
