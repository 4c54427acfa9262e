"""How long is a round trip between coroutines of two processes?

A coroutine sends a small tuple with a reference to itself to one in the other process, which sends the number in it
back. The rows "deliver" have the acknowledgement alone: `deliver` returns when the message is in the mailbox. Both
processes are on this machine and talk over loopback; one trip at a time. rpyc calls a function that returns the number.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from benchmarks import erlang_nodes, execnet_setup, greencoro_setup, pycos_setup, rpyc_setup, side
from benchmarks.measure import MICROSECONDS, Measurement, measured
from benchmarks.question import Counts, Question, Sample, Side, Target
from benchmarks.spread import percentile

SECONDS = 10.0  # longest wait for anything here

#: (echo, trips) -> the time of each; injected is the coroutine or task itself.
Trips = Callable[..., Any]


def _sample(measurement: Measurement, latencies: list[float]) -> Sample:
    return _sample_of(measurement, percentile(latencies, 50) * MICROSECONDS, percentile(latencies, 99) * MICROSECONDS)


def _sample_of(measurement: Measurement, median: float, high: float) -> Sample:
    return measurement.sample(median, {"p99 us": high, "p99/p50": high / median})


def _go_with(trip: Callable[[int], Any], trips: int) -> list[float]:
    latencies = []
    for number in range(trips):
        begin = time.perf_counter()
        answer = trip(number)
        latencies.append(time.perf_counter() - begin)
        assert answer == number
    return latencies


# greencoro


def _greencoro_echo(tls: bool = False) -> None:
    def echo(coro: Any = None) -> None:
        while True:
            message = coro.receive()
            if isinstance(message, tuple):
                message[0].send(message[1])

    greencoro_setup.serve("echo", echo, tls)


def _greencoro(trips: int, go: Trips, name: str = "greencoro", tls: bool = False) -> Sample:
    from greencoro.hub.coroutine import Coro

    with greencoro_setup.partner("round_trip", name, tls):
        echo = Coro.locate("echo", timeout=SECONDS)
        Coro(go, echo, trips // 10).value()
        with measured(trips) as measurement:
            latencies = Coro(go, echo, trips).value()
    return _sample(measurement, latencies)


def _greencoro_messages(echo: Any, trips: int, coro: Any = None) -> list[float]:
    def trip(number: int) -> Any:
        echo.send((coro, number))
        return coro.receive(SECONDS)

    return _go_with(trip, trips)


def greencoro_messages(trips: int) -> Sample:
    return _greencoro(trips, _greencoro_messages)


def greencoro_tls(trips: int) -> Sample:
    return _greencoro(trips, _greencoro_messages, greencoro_setup.TLS, tls=True)


def greencoro_deliver(trips: int) -> Sample:
    def go(echo: Any, trips: int) -> list[float]:
        def trip(number: int) -> int:
            taken = echo.deliver(number, SECONDS)
            assert taken == 1
            return number

        return _go_with(trip, trips)

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


# the others


def _rpyc_echo() -> None:
    rpyc_setup.serve({"echo": lambda number: number})


def rpyc(trips: int) -> Sample:
    with rpyc_setup.partner("round_trip") as remote:
        echo = remote.echo  # asked for once: that takes a trip as well
        _go_with(echo, trips // 10)
        with measured(trips) as measurement:
            latencies = _go_with(echo, trips)
    return _sample(measurement, latencies)


def execnet_echo(channel):  # type: ignore[no-untyped-def]  # travels as source, where annotations have no meaning
    for number in channel:
        channel.send(number)


def execnet(trips: int) -> Sample:
    with execnet_setup.partner(execnet_echo) as channel:

        def trip(number: int) -> Any:
            channel.send(number)
            return channel.receive(SECONDS)

        _go_with(trip, trips // 10)
        with measured(trips) as measurement:
            latencies = _go_with(trip, trips)
    return _sample(measurement, latencies)


def erlang(trips: int) -> Sample:
    with erlang_nodes.script("round_trip", trips) as client:
        client.wait_until_ready()
        with measured(trips) as measurement:
            median = client.take_turn()
        client.wait_until_ready()
        return _sample_of(measurement, median, client.take_turn())


# the floor


def _socket_echo() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        side.announce(str(listener.getsockname()[1]))
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := connection.recv(4096):
            connection.sendall(data)


def blocking_sockets(trips: int) -> Sample:
    with side.partner("round_trip", "floor") as port, socket.create_connection(("127.0.0.1", int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def trip(number: int) -> int:
            connection.sendall(number.to_bytes(64))
            return int.from_bytes(connection.recv(4096))

        _go_with(trip, trips // 10)
        with measured(trips) as measurement:
            latencies = _go_with(trip, trips)
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
            greencoro_setup.TLS,
            greencoro_tls,
            Counts(8000, 2000, 100),
            greencoro_setup.TLS_SETUP,
            partner=partial(_greencoro_echo, tls=True),
        ),
        Side(
            "pycos",
            pycos_messages,
            Counts(3000, 1000, 100),
            f"a message there and one back; {_PYCOS_SETUP}",
            partner=_pycos_echo,
            package="pycos",
        ),
        Side(
            "rpyc",
            rpyc,
            Counts(8000, 2000, 100),
            f"a call and its result; {rpyc_setup.SETUP}",
            partner=_rpyc_echo,
            package="rpyc",
        ),
        Side(
            "execnet",
            execnet,
            Counts(8000, 2000, 100),
            f"a message there and one back; {execnet_setup.SETUP}",
            package="execnet",
        ),
        Side(
            "Erlang",
            erlang,
            Counts(8000, 2000, 100),
            f"a message there and one back; {erlang_nodes.SETUP}; the times are taken in Erlang",
            program=erlang_nodes.PROGRAM,
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
        Target("greencoro", "Erlang", "at most", 1.5),
        Target(greencoro_setup.TLS, "Erlang", "at most"),
        Target(greencoro_setup.TLS, "greencoro", "at most"),
        Target("greencoro", "rpyc", "at most"),
        Target("greencoro", "execnet", "at most"),
        Target("greencoro", "pycos", "at most"),
        Target("greencoro deliver", "pycos deliver", "at most"),
        Target("greencoro", "floor", "at most"),
    ),
)

if __name__ == "__main__":
    side.main(QUESTION)
