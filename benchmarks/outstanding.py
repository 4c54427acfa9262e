"""How many requests a second are answered by a coroutine of another process, with 100 of them outstanding?

100 coroutines have one request under way each, and check its answer before the next. The rows "deliver" have the
acknowledgement alone: `deliver` returns when the message is in the mailbox. rpyc and execnet, which have no coroutines,
keep 100 under way from one thread.
"""

from __future__ import annotations

import io
import pickle
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks import erlang_nodes, execnet_setup, greencoro_setup, pycos_setup, rpyc_setup, side
from benchmarks.measure import measured
from benchmarks.question import Counts, Question, Sample, Side, Target

SECONDS = 30.0  # longest wait for anything here

OUTSTANDING = 100

# greencoro


def _greencoro_echo(tls: bool = False) -> None:
    def echo(coro: Any = None) -> None:
        while True:
            message = coro.receive()
            if isinstance(message, tuple):
                message[0].send(message[1])

    greencoro_setup.serve("echo", echo, tls)


def _deliver(echo: Any, requests: int) -> None:
    for number in range(requests):
        assert echo.deliver(number, SECONDS) == 1


def _send_and_receive(echo: Any, requests: int, coro: Any = None) -> None:
    for number in range(requests):
        echo.send((coro, number))
        assert coro.receive(SECONDS) == number


def _greencoro(requests: int, go: Callable[..., None], name: str = "greencoro", tls: bool = False) -> Sample:
    from greencoro.hub.coroutine import Coro

    def run(each: int) -> None:
        for coro in [Coro(go, echo, each) for _ in range(OUTSTANDING)]:
            coro.value()

    with greencoro_setup.partner("outstanding", name, tls):
        echo = Coro.locate("echo", timeout=SECONDS)
        run(max(1, requests // OUTSTANDING // 10))
        with measured(requests) as measurement:
            run(requests // OUTSTANDING)
    return measurement.rate()


def greencoro(requests: int) -> Sample:
    return _greencoro(requests, _send_and_receive)


def greencoro_tls(requests: int) -> Sample:
    return _greencoro(requests, _send_and_receive, greencoro_setup.TLS, tls=True)


def greencoro_deliver(requests: int) -> Sample:
    return _greencoro(requests, _deliver)


# pycos


def _pycos_receiver() -> None:
    network = pycos_setup.start_network("receiver")
    pycos = pycos_setup.quiet()

    def receiver(task: Any = None) -> Any:
        task.set_daemon()
        task.register("receiver")
        while True:
            yield task.receive()

    pycos.Task(receiver)
    side.announce(str(network.location.port))
    side.wait_to_be_killed()


def pycos_deliver(requests: int) -> Sample:
    with side.partner("outstanding", "pycos deliver") as port:
        network = pycos_setup.start_network("client")
        pycos = pycos_setup.quiet()

        def deliver(receiver: Any, requests: int, task: Any = None) -> Any:
            for number in range(requests):
                taken = yield receiver.deliver(number, SECONDS)
                assert taken == 1
            return requests

        def run(each: int, task: Any = None) -> Any:
            location = pycos.Location("127.0.0.1", int(port))
            assert (yield network.peer(location, stream_send=True)) == 0
            receiver = yield pycos.Task.locate("receiver", location, timeout=SECONDS)
            for started in [pycos.Task(deliver, receiver, each) for _ in range(OUTSTANDING)]:
                assert (yield started.finish()) == each

        pycos.Task(run, max(1, requests // OUTSTANDING // 10)).value()
        with measured(requests) as measurement:
            pycos.Task(run, requests // OUTSTANDING).value()
        # Before the partner is gone: pycos says goodbye to it, and would wait ten seconds for an answer.
        network.terminate()
    return measurement.rate()


# the others


def _rpyc_echo() -> None:
    rpyc_setup.serve({"echo": lambda number: number})


def rpyc(requests: int) -> Sample:
    def run(requests: int) -> None:
        calls = ((number,) for number in range(requests))
        assert list(rpyc_setup.call_ahead(echo, calls, OUTSTANDING)) == list(range(requests))

    with rpyc_setup.partner("outstanding") as remote:
        echo = remote.echo
        run(requests // 10)
        with measured(requests) as measurement:
            run(requests)
    return measurement.rate()


def execnet_echo(channel):  # type: ignore[no-untyped-def]  # travels as source, where annotations have no meaning
    for number in channel:
        channel.send(number)


def execnet(requests: int) -> Sample:
    with execnet_setup.partner(execnet_echo) as channel:

        def run(requests: int) -> None:
            for number in range(requests + OUTSTANDING):
                if number >= OUTSTANDING:
                    assert channel.receive(SECONDS) == number - OUTSTANDING
                if number < requests:
                    channel.send(number)

        run(max(OUTSTANDING, requests // 10))
        with measured(requests) as measurement:
            run(requests)
    return measurement.rate()


def erlang(requests: int) -> Sample:
    return erlang_nodes.measure("outstanding", requests).rate()


# the floor


def _socket_echo() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        side.announce(str(listener.getsockname()[1]))
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            while True:
                connection.sendall(b"".join([pickle.dumps(pickle.load(stream)) for _ in range(OUTSTANDING)]))


def batched_pickles(requests: int) -> Sample:
    def run(connection: socket.socket, stream: io.BufferedReader, requests: int) -> None:
        for first in range(0, requests, OUTSTANDING):
            numbers = range(first, first + OUTSTANDING)
            connection.sendall(b"".join([pickle.dumps(number) for number in numbers]))
            for number in numbers:
                assert pickle.load(stream) == number

    with (
        side.partner("outstanding", "floor") as port,
        socket.create_connection(("127.0.0.1", int(port))) as connection,
        connection.makefile("rb") as stream,
    ):
        run(connection, stream, requests // 10)
        with measured(requests) as measurement:
            run(connection, stream, requests)
    return measurement.rate()


_PYCOS_SETUP = "host 127.0.0.1, no discovery, stream_send (one connection kept open), not encrypted"

QUESTION = Question(
    name="outstanding",
    text=f"how many requests a second are answered, with {OUTSTANDING} of them outstanding?",
    unit="requests/s",
    better="more",
    sides=(
        Side(
            "greencoro",
            greencoro,
            Counts(60_000, 20_000, 200),
            f"a message there and one back, from {OUTSTANDING} coroutines, encrypted, with the default settings",
            partner=_greencoro_echo,
        ),
        Side(
            greencoro_setup.TLS,
            greencoro_tls,
            Counts(60_000, 20_000, 200),
            greencoro_setup.TLS_SETUP,
            partner=partial(_greencoro_echo, tls=True),
        ),
        Side(
            "rpyc",
            rpyc,
            Counts(20_000, 5000, 200),
            f"async_ calls and their results; {rpyc_setup.SETUP}",
            partner=_rpyc_echo,
            package="rpyc",
        ),
        Side(
            "execnet",
            execnet,
            Counts(60_000, 20_000, 200),
            f"a message there and one back; {execnet_setup.SETUP}",
            package="execnet",
        ),
        Side(
            "Erlang",
            erlang,
            Counts(200_000, 60_000, 200),
            f"a message there and one back, from {OUTSTANDING} processes; {erlang_nodes.SETUP}",
            program=erlang_nodes.PROGRAM,
        ),
        Side(
            "greencoro deliver",
            greencoro_deliver,
            Counts(60_000, 20_000, 200),
            f"deliver, from {OUTSTANDING} coroutines, encrypted, with the default settings",
        ),
        Side(
            "pycos deliver",
            pycos_deliver,
            Counts(10_000, 3000, 200),
            f"deliver, from {OUTSTANDING} tasks; {_PYCOS_SETUP}",
            partner=_pycos_receiver,
            package="pycos",
        ),
        Side(
            "floor",
            batched_pickles,
            Counts(200_000, 60_000, 200),
            f"two processes with blocking TCP sockets, a pickle a request, {OUTSTANDING} at a time; not encrypted",
            partner=_socket_echo,
        ),
    ),
    targets=(
        Target("greencoro", "Erlang", "at least", 1.0),
        Target("greencoro deliver", "Erlang", "at least", 1.0),
        Target(greencoro_setup.TLS, "Erlang"),
        Target(greencoro_setup.TLS, "greencoro"),
        Target("greencoro", "execnet"),
        Target("greencoro", "rpyc"),
        Target("greencoro deliver", "pycos deliver"),
        Target("greencoro", "floor"),
    ),
)

if __name__ == "__main__":
    side.main(QUESTION)
