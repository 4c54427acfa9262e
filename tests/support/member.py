"""A program with a runtime that does what a test tells it, a line of JSON at a time, and writes its history.

`members` is the other end. A coroutine is called "node/name", here as in the history.
"""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import greenlet
import psutil

from greencoro.config import Settings
from greencoro.distributed.location import Location
from greencoro.distributed.peer_status import PeerStatus
from greencoro.distributed.runtime import Runtime
from greencoro.errors import BrokenResource, DeadlineExceeded, MonitorException, PeerLost
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import sleep
from tests.support.member_withdrawals import Withdrawals
from tests.support.process_history import HistoryFile

KEY = b"k" * 32
_LOCATE_SECONDS = 30.0
# A moment: where the other one is not found again yet, the next message will look again.
_LOCATE_ANEW_SECONDS = 0.2
_FOREVER = 600.0


def payload(n: int, size: int) -> bytes:
    """What message ``n`` carries: its receiver knows it as well."""
    return (n.to_bytes(4, "big") * (size // 4 + 1))[:size]


class Member:
    """See the module; the public methods are what a test can ask for."""

    def __init__(self, node: str, address: str, history: str, settings: dict[str, Any], **parameters: Any) -> None:
        self._history = HistoryFile(Path(history))
        self._withdrawals = Withdrawals()
        options = {"discover_peers": False} | parameters
        self.runtime = Runtime(address, name=node, secret_key=KEY, settings=Settings(**settings), **options)
        self._node = node
        self._coros: dict[str, Coro] = {}
        #: What was found is not looked for again while it is not lost: its process may have been stopped since.
        self._there: dict[str, Any] = {}
        self._may_go = Completion()
        self._may_read = Completion()
        self._enough = False
        self.received: dict[str, int] = {}
        self.downs: dict[str, int] = {}
        self.runtime.peer_status(Coro(self._hear_of_peers))

    def _hear_of_peers(self, coro: Any = None) -> None:
        while True:
            told: PeerStatus = coro.receive()
            status = "online" if told.status == PeerStatus.Online else "offline"
            # In a test no two processes have one name.
            self._history.record(
                self._node,
                "peer",
                peer=told.name,
                inc=told.name,
                status=status,
                dropped=told.dropped,
                reason=told.reason,
            )

    def _start(self, who: str, function: Callable[..., Any], *args: Any) -> None:
        self._coros[who] = Coro(function, who, *args)

    def _find(self, who: str, location: str) -> Any:
        if who not in self._there or not self._there[who].is_alive():
            found = Coro.locate(who, Location.parse(location), _LOCATE_SECONDS)
            if found is None:
                raise LookupError(f"{who} is not at {location}")
            self._there[who] = found
        return self._there[who]

    # What a test asks for.

    def peer(self, location: str) -> int:
        return self.runtime.peer(location)

    def peers(self) -> list[str]:
        return sorted(info.name for info in self.runtime.peer_infos())

    def value(self, who: str, timeout: float) -> Any:
        """The result of a coroutine."""
        return self._coros[who].value(timeout)

    def rss(self, trimmed: bool = False) -> int:
        """Bytes in use; with ``trimmed`` without those that are free and kept by the allocator for later."""
        if trimmed:
            ctypes.CDLL(None).malloc_trim(0)
        return int(psutil.Process().memory_info().rss)

    def usage(self) -> dict[str, int]:
        """What this process has of memory (see `rss`), descriptors, threads and greenlets."""
        gc.collect()
        process = psutil.Process()
        greenlets = [each for each in gc.get_objects() if isinstance(each, greenlet.greenlet) and not each.dead]
        return {
            "memory": self.rss(trimmed=True),
            "descriptors": process.num_fds(),
            "threads": process.num_threads(),
            "greenlets": len(greenlets),
        }

    def look_for(self, count: int, at_once: int) -> int:
        """Look for so many names that nobody has, in so many coroutines; how many were found."""

        def look(first: int) -> int:
            names = [f"nobody {number}" for number in range(first, count, at_once)]
            return sum(Coro.locate(name, None, 0.001) is not None for name in names)

        return sum(coro.value(_FOREVER) for coro in [Coro(look, first) for first in range(at_once)])

    def cut(self) -> int:
        """Break the connections, as a reset would; how many."""
        links = self.runtime.peer_table.online()
        for link in links:
            wire = link.wire
            if wire is not None:
                self.runtime.reactor.post(wire.on_end, ConnectionResetError(104, "Connection reset by peer"))
        return len(links)

    def lose(self) -> int:
        """Give the peers up as if they had been silent; how many."""
        table = self.runtime.peer_table
        links = table.online()
        for link in links:
            self.runtime.reactor.post(table.lose, link, PeerLost("nothing was heard"), True)
        return len(links)

    def reset(self) -> int:
        """Have the kernel reset the connections, whoever reads from them; how many."""
        wires = [link.wire for link in self.runtime.peer_table.online()]
        return sum(wire is not None and _reset(wire.stream) for wire in wires)

    def unanswered(self) -> float:
        """For how many seconds no peer has answered."""
        wires = [link.wire for link in self.runtime.peer_table.online()]
        answered = [wire.connection._liveness._answered for wire in wires if wire is not None]
        return time.monotonic() - max(answered)

    def hub_served(self) -> int:
        """How many connections the user hub serves."""
        return self.runtime.reactor.hub_served

    def blocked(self) -> bool:
        """Does a stream take no more?"""
        wires = [link.wire for link in self.runtime.peer_table.online()]
        return any(wire is not None and wire.stream.blocked for wire in wires)

    def count(self, who: str) -> int:
        """How many messages a receiver has read, or how many notices a monitor."""
        return self.received.get(who, 0) + self.downs.get(who, 0)

    def go(self) -> None:
        """Let those begin that wait for this: readers that were to be late, targets."""
        self._may_go.set()
        self._may_read.set()

    def enough(self) -> None:
        """Let senders end, whatever they were to send yet."""
        self._enough = True

    def receiver(self, who: str, late: bool = False) -> None:
        """Start a coroutine that reads what it is sent, for ever."""
        self._start(who, self._receive_all, late)

    def sender(self, who: str, to: dict[str, str], **how: Any) -> None:
        """Find receivers, {who: location}, and start a coroutine that sends them numbered messages."""
        self._start(who, self._send_all, {name: self._find(name, location) for name, location in to.items()}, how)

    def bulk_sender(self, who: str, to: str, location: str, count: int, size: int, late: bool = False) -> None:
        """Find a receiver and start a coroutine that sends so many messages; its value is how many were accepted."""
        self._start(who, self._send_bulk, to, self._find(to, location), count, size, late)

    def is_registered(self, who: str) -> bool:
        return Coro.locate(who, self.runtime.location, 0) is not None

    def is_over(self, who: str) -> bool:
        return not self._coros[who].is_alive()

    def flooder(self, who: str, to: str, location: str, seconds: float) -> None:
        """Start a coroutine that sends as fast as it can, and reads what it is sent in between."""
        self._start(who, self._flood, to, location, seconds)

    def echo(self, who: str) -> None:
        self._start(who, self._echo)

    def answerer(self, who: str) -> None:
        """Start a coroutine that answers each call with what it is asked."""
        self._start(who, self._answer)

    def caller(self, who: str, to: str, location: str, count: int) -> None:
        """Start a coroutine that calls an answerer so many times; its value is how many it answered."""
        self._start(who, self._call, to, self._find(to, location), count)

    def computer(self, who: str, count: int, seconds: float) -> None:
        """Start a coroutine that so many times computes for so long, and rests four times as long."""
        self._start(who, self._compute, count, seconds)

    def ping(self, to: str, location: str, count: int) -> list[float]:
        """Round trips to an echo, in seconds."""
        times: list[float] = Coro(self._ping, self._find(to, location), count).value(120)
        return times

    def delivers(self, who: str, to: str, location: str, count: int, timeout: float, largest: int = 0) -> None:
        """Start a coroutine that has so many others deliver one message each at once; its value are the results.

        Every second message is of ``largest`` bytes, the others are empty.
        """
        self._start(who, self._deliver_at_once, to, self._find(to, location), count, timeout, largest)

    def impatient(self, who: str, to: str, location: str, count: int, size: int, seconds: float) -> None:
        """Start a coroutine that delivers so many messages and waits for each no longer than some time up to this."""
        self._start(who, self._deliver_impatiently, to, self._find(to, location), count, size, seconds)

    def use(self, who: str, to: str, location: str, n: int, anew: bool = False) -> list[int]:
        """Send message ``n`` and deliver the next, by the reference there is or by one obtained anew; the results."""
        if anew:
            self._there.pop(to, None)
        # Also one that is lost: what came of that is asked for.
        target = self._there[to] if to in self._there else self._find(to, location)
        results: list[int] = Coro(self._use, who, to, target, n).value(30)
        return results

    def send_file(self, who: str, location: str, file: str, timeout: float) -> None:
        """Start a coroutine that sends a file, whatever is there; its value is the result."""
        self._start(who, self._send_file, location, file, timeout)

    def targets(self, names: list[str], reasons: list[str], seconds: float, seed: int = 1) -> None:
        """Start coroutines that end within ``seconds`` of `go`, each as its reason says."""
        dice = random.Random(seed)
        for who, reason in zip(names, reasons, strict=True):
            self._start(who, self._be_target, reason, dice.random() * seconds)

    def monitor(self, who: str, to: dict[str, str]) -> None:
        """Start a coroutine that monitors those, and records what comes."""
        self._start(who, self._watch, to)

    def terminator(self, who: str, to: dict[str, str], seconds: float) -> None:
        """Start a coroutine that terminates those of other processes, one after the other."""
        self._start(who, self._terminate_all, [self._find(name, location) for name, location in to.items()], seconds)

    def locate(self, name: str, timeout: float) -> str | None:
        """The incarnation of the process of a coroutine that is registered at any peer."""
        found = Coro.locate(name, None, timeout)
        return None if found is None else str(found._reference.incarnation.hex())

    # The coroutines.

    def _receive_all(self, who: str, late: bool, coro: Any = None) -> None:
        coro.register(who)
        if late:
            self._may_read.wait(_FOREVER)
        while True:
            self._read(who, coro.receive())

    def _read(self, who: str, message: Any) -> None:
        sender, n, data = message
        intact = data == payload(n, len(data))
        self._history.record(who, "recv" if intact else "altered", **{"from": sender}, n=n)
        self.received[who] = self.received.get(who, 0) + 1

    def _send_all(self, who: str, there: dict[str, Any], how: dict[str, Any]) -> dict[str, int]:
        """Returns the number of the last message to each, which has arrived."""
        # Of its own: what another sender is told does not reach this one.
        there, dice = dict(there), random.Random(who)
        largest, delivers, pause = how.get("largest", 1000), how.get("delivers", 0.0), how.get("pause", 0.0)
        sent = 0
        while sent < how["count"] and not self._enough:
            for name in there:
                # Mostly small ones.
                size = int(largest ** (dice.random() ** 6)) - 1
                ev = "deliver" if dice.random() < delivers else "send"
                self._send(who, ev, there, name, sent, size)
            sent += 1
            if pause:
                sleep(pause)
        return {name: self._send_last(who, there, name, sent) for name in there}

    def _send(self, who: str, ev: str, there: dict[str, Any], name: str, n: int, size: int) -> int:
        message, target = (who, n, payload(n, size)), there[name]
        if ev == "deliver":
            result = self._deliver(who, name, target, message, 5.0)
        else:
            result = int(self._history.send(who, ev, name, n, lambda: target.send(message)))
        if result == (0 if ev == "deliver" else -1):
            # What happens to peers is to be heard of meanwhile.
            sleep(0.02)
            there[name] = self._anew(name, target)
        return result

    @staticmethod
    def _anew(name: str, target: Any) -> Any:
        """After a loss only a reference that is obtained anew works."""
        if target.is_alive():
            return target
        return Coro.locate(name, target.location, _LOCATE_ANEW_SECONDS) or target

    def _deliver(self, who: str, to: str, target: Any, message: tuple[str, int, bytes], timeout: float) -> int:
        n = message[1]
        result = int(self._history.send(who, "deliver", to, n, lambda: target.deliver(message, timeout)))
        if self._withdrawals.was_last():
            self._history.record(who, "withdrawn", to=to, n=n)
        return result

    def _send_last(self, who: str, there: dict[str, Any], name: str, n: int) -> int:
        """Try until one has arrived, and so all before it that will."""
        while self._send(who, "deliver", there, name, n, 0) != 1:
            sleep(0.05)
            n += 1
        return n

    def _send_bulk(self, who: str, to: str, target: Any, count: int, size: int, late: bool) -> int:
        if late:
            self._may_go.wait(_FOREVER)

        def send(n: int) -> int:
            message = (who, n, payload(n, size))
            return int(self._history.send(who, "send", to, n, lambda: target.send(message)))

        return sum(send(n) == 0 for n in range(count))

    def _flood(self, who: str, to: str, location: str, seconds: float, coro: Any = None) -> int:
        coro.register(who)
        there = {to: self._find(to, location)}
        until = time.monotonic() + seconds
        n = 0
        while time.monotonic() < until:
            # The other one does not read either while it sends.
            if self._send(who, "send", there, to, n, 1000) == -1 or n % 500 == 0:
                self._drain(who, coro)
            n += 1
        self._drain(who, coro)
        # The other one reads on as well: it is not to be the one who ends first.
        while self._send(who, "deliver", there, to, n, 0) != 1:
            self._drain(who, coro)
            n += 1
        while (message := coro.receive(2.0)) is not None:
            self._read(who, message)
        return n

    def _drain(self, who: str, coro: Any) -> None:
        while (message := coro.receive(0)) is not None:
            self._read(who, message)

    @staticmethod
    def _echo(who: str, coro: Any = None) -> None:
        coro.register(who)
        while True:
            sender, value = coro.receive()
            sender.send(value)

    @staticmethod
    def _answer(who: str, coro: Any = None) -> None:
        coro.register(who)
        while True:
            request = coro.receive()
            request.reply(request.message)

    def _call(self, who: str, to: str, target: Any, count: int) -> int:
        answered = 0
        for number in range(count):
            try:
                if target.call((who, number), 2.0) != (who, number):
                    raise AssertionError(f"{who} got the answer to another call than {number}")
                answered += 1
            except (DeadlineExceeded, BrokenResource, PeerLost):
                sleep(0.02)
                target = self._anew(to, target)
        return answered

    @staticmethod
    def _compute(who: str, count: int, seconds: float) -> None:
        for _ in range(count):
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                pass
            sleep(4 * seconds)

    @staticmethod
    def _ping(there: Any, count: int, coro: Any = None) -> list[float]:
        times = []
        for number in range(count):
            began = time.monotonic()
            there.send((coro, number))
            if coro.receive(30) != number:
                raise AssertionError(f"no answer to ping {number}")
            times.append(time.monotonic() - began)
        return times

    def _deliver_at_once(self, who: str, to: str, target: Any, count: int, timeout: float, largest: int) -> list[int]:

        def deliver(n: int) -> int:
            sender = f"{who}-{n}"
            return self._deliver(sender, to, target, (sender, n, payload(n, largest * (n % 2))), timeout)

        coros = [Coro(deliver, n) for n in range(count)]
        return [coro.value(timeout + 60) for coro in coros]

    def _deliver_impatiently(
        self, who: str, to: str, target: Any, count: int, size: int, seconds: float
    ) -> dict[str, int]:
        """Returns the number of the last message, which has arrived."""
        dice, there = random.Random(who), {to: target}
        for n in range(count):
            message = who, n, payload(n, size)
            if self._deliver(who, to, there[to], message, dice.uniform(0, seconds)) == 0:
                there[to] = self._anew(to, there[to])
        return {to: self._send_last(who, there, to, count)}

    def _use(self, who: str, to: str, target: Any, n: int) -> list[int]:
        sent = int(self._history.send(who, "send", to, n, lambda: target.send((who, n, b""))))
        return [sent, self._deliver(who, to, target, (who, n + 1, b""), 10.0)]

    def _send_file(self, who: str, location: str, file: str, timeout: float) -> int:
        result = self.runtime.send_file(location, file, overwrite=True, timeout=timeout)
        if not isinstance(result, int):
            raise AssertionError(f"told to overwrite, and told of what is there: {result}")
        return result

    def _be_target(self, who: str, reason: str, seconds: float, coro: Any = None) -> Any:
        coro.register(who)
        try:
            self._may_go.wait(_FOREVER)
            sleep(seconds)
            if reason == "terminated":
                Coro(coro.terminate)
            if reason in ("terminated", "terminated from afar"):
                sleep(_FOREVER)
        except BaseException:
            self._history.record(who, "over", reason="terminated")
            raise
        self._history.record(who, "over", reason="exception" if reason == "exception" else "finished")
        if reason == "exception":
            raise KeyError(who)
        return (lambda: who) if reason == "cannot travel" else who

    def _terminate_all(self, who: str, targets: list[Any], seconds: float) -> list[int]:
        self._may_go.wait(_FOREVER)
        results = []
        for target in targets:
            sleep(seconds / len(targets))
            results.append(target.terminate())
        return results

    def _watch(self, who: str, to: dict[str, str], coro: Any = None) -> None:
        there = {self._find(name, location): name for name, location in to.items()}
        for target, name in there.items():
            self._history.record(who, "monitor", target=name, res=coro.monitor(target))
        # Only now: whoever looks for it finds it watching.
        coro.register(who)
        while True:
            message = coro.receive()
            if isinstance(message, MonitorException):
                self._history.record(who, "down", target=there[message.coro], reason=message.kind)
                self.downs[who] = self.downs.get(who, 0) + 1
            else:
                self._read(who, message)


def _reset(stream: Any) -> bool:
    sock = getattr(stream, "_sock", None)
    # To connect to no family at all breaks a connection; the file descriptor stays open.
    return sock is not None and ctypes.CDLL(None).connect(sock.fileno(), bytes(16), 16) == 0


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    member = Member(**json.loads(sys.argv[1]))
    print(json.dumps([str(member.runtime.location), member.runtime.incarnation.hex()]), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"ok": getattr(member, request["do"])(**request["with"])}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    # The test is over, or was killed: nobody is left to end the coroutines that go on for ever.
    os._exit(0)


if __name__ == "__main__":
    main()
