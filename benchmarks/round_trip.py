"""How long is a round trip between coroutines of two processes?

A coroutine sends a small tuple with a reference to itself to one in the other process, which sends the number in it
back. The rows "deliver" have the acknowledgement alone: `deliver` returns when the message is in the mailbox. Both
processes are on this machine and talk over loopback; one trip at a time.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Generator
from typing import Any

from benchmarks import pycos_setup, side
from benchmarks.measure import MICROSECONDS, Measurement, measured
from benchmarks.question import Counts, Question, Sample, Side, Target
from benchmarks.spread import percentile

SECONDS = 10.0  # longest wait for anything here

#: (echo, trips) -> the time of each; injected is the coroutine or task itself.
Trips = Callable[..., Any]


def _sample(measurement: Measurement, latencies: list[float]) -> Sample:
    median = percentile(latencies, 50)
    high = percentile(latencies, 99)
    return measurement.sample(median * MICROSECONDS, {"p99 us": high * MICROSECONDS, "p99/p50": high / median})


# greencoro


def _greencoro_echo() -> None:
    from greencoro.distributed.runtime import Runtime
    from greencoro.hub.coroutine import Coro

    def echo(coro: Any = None) -> None:
        while True:
            message = coro.receive()
            if isinstance(message, tuple):
                message[0].send(message[1])

    runtime = Runtime(node="127.0.0.1")
    Coro(echo).register("echo")
    side.announce(str(runtime.location))
    side.wait_to_be_killed()


def _greencoro(trips: int, go: Trips) -> Sample:
    from greencoro.distributed.runtime import Runtime
    from greencoro.hub.coroutine import Coro

    with side.partner("round_trip", "greencoro") as location, Runtime(node="127.0.0.1") as runtime:
        runtime.connect(location)
        echo = Coro.locate("echo", timeout=SECONDS)
        Coro(go, echo, trips // 10).value()
        with measured(trips) as measurement:
            latencies = Coro(go, echo, trips).value()
    return _sample(measurement, latencies)


def greencoro_messages(trips: int) -> Sample:
    def go(echo: Any, trips: int, coro: Any = None) -> list[float]:
        latencies = []
        for number in range(trips):
            begin = time.perf_counter()
            echo.send((coro, number))
            answer = coro.receive(SECONDS)
            latencies.append(time.perf_counter() - begin)
            assert answer == number
        return latencies

    return _greencoro(trips, go)


def greencoro_deliver(trips: int) -> Sample:
    def go(echo: Any, trips: int) -> list[float]:
        latencies = []
        for number in range(trips):
            begin = time.perf_counter()
            taken = echo.deliver(number, SECONDS)
            latencies.append(time.perf_counter() - begin)
            assert taken == 1
        return latencies

    return _greencoro(trips, go)


# pycos


def _pycos_echo() -> None:
    network = pycos_setup.start_network("echo")
    pycos = pycos_setup.quiet()

    def echo(task: Any = None) -> Any:
        task.set_daemon()
        task.register("echo")
        while True:
            message = yield task.receive()
            if isinstance(message, tuple):
                # Its answers go over a connection of their own, kept open, too.
                if message[1] == 0:
                    yield network.peer(message[0].location, stream_send=True)
                message[0].send(message[1])

    pycos.Task(echo)
    side.announce(str(network.location.port))
    side.wait_to_be_killed()


def _pycos(trips: int, go: Trips) -> Sample:
    with side.partner("round_trip", "pycos") as port:
        network = pycos_setup.start_network("client")
        pycos = pycos_setup.quiet()

        def run(trips: int, task: Any = None) -> Any:
            location = pycos.Location("127.0.0.1", int(port))
            assert (yield network.peer(location, stream_send=True)) == 0
            echo = yield pycos.Task.locate("echo", location, timeout=SECONDS)
            return (yield pycos.Task(go, echo, trips).finish())

        pycos.Task(run, trips // 10).value()
        with measured(trips) as measurement:
            latencies = pycos.Task(run, trips).value()
        # Before the partner is gone: pycos says goodbye to it, and would wait ten seconds for an answer.
        network.terminate()
    return _sample(measurement, latencies)


def pycos_messages(trips: int) -> Sample:
    def go(echo: Any, trips: int, task: Any = None) -> Generator[Any, Any, list[float]]:
        latencies = []
        for number in range(trips):
            begin = time.perf_counter()
            echo.send((task, number))
            answer = yield task.receive(SECONDS)
            latencies.append(time.perf_counter() - begin)
            assert answer == number
        return latencies

    return _pycos(trips, go)


def pycos_deliver(trips: int) -> Sample:
    def go(echo: Any, trips: int, task: Any = None) -> Generator[Any, Any, list[float]]:
        latencies = []
        for number in range(trips):
            begin = time.perf_counter()
            taken = yield echo.deliver(number, SECONDS)
            latencies.append(time.perf_counter() - begin)
            assert taken == 1
        return latencies

    return _pycos(trips, go)


# the floor


def _socket_echo() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        side.announce(str(listener.getsockname()[1]))
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := connection.recv(4096):
            connection.sendall(data)


def blocking_sockets(trips: int) -> Sample:
    def go(connection: socket.socket, trips: int) -> list[float]:
        latencies = []
        message = b"m" * 64
        for _ in range(trips):
            begin = time.perf_counter()
            connection.sendall(message)
            answer = connection.recv(4096)
            latencies.append(time.perf_counter() - begin)
            assert answer == message
        return latencies

    with side.partner("round_trip", "floor") as port, socket.create_connection(("127.0.0.1", int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        go(connection, trips // 10)
        with measured(trips) as measurement:
            latencies = go(connection, trips)
    return _sample(measurement, latencies)


_PYCOS_SETUP = "host 127.0.0.1, no discovery, stream_send both ways (one connection kept open each way), not encrypted"

QUESTION = Question(
    name="round_trip",
    text="how long is a round trip between coroutines of two processes?",
    unit="us, median of the trips of a round",
    better="less",
    sides=(
        Side(
            "greencoro",
            greencoro_messages,
            Counts(8000, 2000, 100),
            "a message there and one back, encrypted, with the default settings",
            partner=_greencoro_echo,
        ),
        Side(
            "pycos",
            pycos_messages,
            Counts(3000, 1000, 100),
            f"a message there and one back; {_PYCOS_SETUP}",
            partner=_pycos_echo,
            package="pycos",
        ),
        Side("greencoro deliver", greencoro_deliver, Counts(8000, 2000, 100), "deliver, as above"),
        Side("pycos deliver", pycos_deliver, Counts(5000, 1000, 100), f"deliver; {_PYCOS_SETUP}", package="pycos"),
        Side(
            "floor",
            blocking_sockets,
            Counts(20000, 5000, 100),
            "two processes with blocking TCP sockets and TCP_NODELAY, 64 bytes each way, nothing pickled or encrypted",
            partner=_socket_echo,
        ),
    ),
    targets=(
        Target("greencoro", None, "at most", 8, figure="p99/p50"),
        Target("greencoro deliver", None, "at most", 8, figure="p99/p50"),
        Target("greencoro", "pycos", "at most"),
        Target("greencoro deliver", "pycos deliver", "at most"),
        Target("greencoro", "floor", "at most"),
    ),
    unmeasured=("the target of at most 1.5 x Erlang: no Erlang program is among the sides yet",),
)

if __name__ == "__main__":
    side.main(QUESTION)
