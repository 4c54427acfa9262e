"""Processes that do what a test tells them (`member`), and the history that they write."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from tests.support.history import Event
from tests.support.polling import poll_until
from tests.support.process_history import HistoryFile, read_histories, violations_between
from tests.support.stopping import stop

__all__ = ["TICK", "MemberProcess", "Members"]

ROOT = Path(__file__).parent.parent.parent
#: A process that stands still for less than four of these, because the machine does something else, is not lost.
TICK = 0.5


class Hosts(Protocol):
    """Where members may run besides this machine: a lab."""

    def enter(self, host: str, argv: Sequence[str]) -> list[str]: ...

    def ip(self, host: str) -> str: ...


class MemberProcess:
    """One process; `call` has it do something."""

    def __init__(self, node: str, process: subprocess.Popen[bytes], errors: Path, history: Path) -> None:
        self.node = node
        self.process = process
        self.history = history
        self._errors = errors
        self._buffer = b""
        self.location, self.incarnation = self._line(60)

    def ask(self, do: str, **arguments: Any) -> None:
        """Begin to have it do something; `answer` is to follow."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, "with": arguments}).encode() + b"\n")
        self.process.stdin.flush()

    def call(self, do: str, within: float = 60, **arguments: Any) -> Any:
        """Have it do something, and what came of it; see `member.Member`."""
        self.ask(do, **arguments)
        return self.answer(within)

    def answer(self, seconds: float) -> Any:
        """What came of what was asked last."""
        answer = self._line(seconds)
        if "error" in answer:
            raise AssertionError(f"{self.node}: {answer['error']}\n{self.errors()}")
        return answer["ok"]

    def _line(self, seconds: float) -> Any:
        assert self.process.stdout is not None
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            left = max(0.0, deadline - time.monotonic())
            ready = select.select([self.process.stdout], [], [], left)[0]
            data = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not data:
                raise AssertionError(f"no answer of {self.node} (exit {self.process.poll()}):\n{self.errors()}")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def errors(self) -> str:
        """What it wrote to standard error."""
        return self._errors.read_text()

    def stop(self) -> None:
        """SIGSTOP: alive to the kernel, dead to peers."""
        stop(self.process.pid)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)


class Members:
    """Starts members, checks their history, and ends them.

    Args:
        directory: For their histories and what they write to standard error.

        lab: Where members run that are given a host.
    """

    def __init__(self, directory: Path, lab: Hosts | None = None) -> None:
        self._directory = directory
        self._lab = lab
        self._made: list[MemberProcess] = []
        self._killed = HistoryFile(directory / "killed.jsonl")

    def start(
        self,
        node: str,
        host: str | None = None,
        peers: Sequence[MemberProcess] = (),
        parameters: dict[str, Any] | None = None,
        **settings: Any,
    ) -> MemberProcess:
        """A process with a runtime named ``node`` that keeps dialling ``peers``; ``parameters`` are its others."""
        number = len(self._made)
        history, errors = self._directory / f"{number}.jsonl", self._directory / f"{number}.errors"
        config = {
            "node": node,
            "address": "127.0.0.1" if host is None or self._lab is None else self._lab.ip(host),
            "history": str(history),
            "settings": {"tick_seconds": TICK} | settings,
            "peers": [peer.location for peer in peers],
            **(parameters or {}),
        }
        command = [sys.executable, "-m", "tests.support.member", json.dumps(config)]
        with errors.open("wb") as stderr:
            process = subprocess.Popen(
                command if host is None or self._lab is None else self._lab.enter(host, command),
                bufsize=0,
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
            )
        try:
            member = MemberProcess(node, process, errors, history)
        except BaseException:
            _end(process)
            raise
        self._made.append(member)
        return member

    def kill(self, member: MemberProcess) -> float:
        """SIGKILL; when."""
        self._killed.record(member.node, "killed")
        now = time.monotonic()
        member.process.kill()
        member.process.wait()
        return now

    def await_peers(self, member: MemberProcess, *others: MemberProcess, seconds: float = 30) -> None:
        names = sorted(other.node for other in others)
        poll_until(lambda: member.call("peers") == names, seconds, f"the peers of {member.node} are {names}")

    def history(self) -> list[Event]:
        """The events of all of them until now."""
        return read_histories(
            [self._directory / "killed.jsonl", *(m.history for m in self._made if m.history.exists())]
        )

    def offline_at(self, who: MemberProcess, peer: MemberProcess, after: float = 0.0) -> float | None:
        """When ``who`` was told that ``peer`` is lost, in seconds after ``after``."""
        for event in self.history():
            key = event["ev"], event["who"], event.get("peer"), event.get("status")
            if key == ("peer", who.node, peer.node, "offline") and event["t"] >= after:
                return float(event["t"] - after)
        return None

    def told(self, who: MemberProcess, peer: MemberProcess) -> list[str]:
        """What ``who`` was told of ``peer`` so far: "online", "offline", ..."""
        events = [event for event in self.history() if event["ev"] == "peer"]
        return [event["status"] for event in events if (event["who"], event["peer"]) == (who.node, peer.node)]

    def losses(self) -> list[str]:
        """Who was lost to whom, and why."""
        told = [event for event in self.history() if event["ev"] == "peer" and event["status"] == "offline"]
        return [f"{event['who']} lost {event['peer']}: {event['reason']}" for event in told]

    def await_last(self, receiver: MemberProcess, sent: dict[str, dict[str, int]], seconds: float = 60) -> None:
        """Wait until what senders, {who: what `_send_all` returned}, sent last was read in this process."""
        due = {(to, who, n) for who, last in sent.items() for to, n in last.items()}

        def missing() -> set[tuple[str, str, int]]:
            lines = read_histories([receiver.history])
            return due - {(event["who"], event["from"], event["n"]) for event in lines if event["ev"] == "recv"}

        poll_until(lambda: not missing(), seconds, "the last messages are read", interval=0.1)

    def check(self) -> list[Event]:
        """Fail where the history breaks a promise; the history."""
        events = self.history()
        broken = violations_between(events)
        assert not broken, f"{len(broken)}:\n" + "\n".join(broken[:20])
        return events

    def end(self) -> None:
        for member in self._made:
            _end(member.process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
