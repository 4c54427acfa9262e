"""How many megabytes a second go to a coroutine of another process, in arrays of 8 MiB?

NumPy arrays, or what comes nearest: bytes and a view of them as an array. A coroutine sends them one after the other,
numbered, and then waits until the other one says that it has had them all. The receiver checks the number and the size
of each, and its first item. 1 MB is 1,000,000 bytes.
"""

from __future__ import annotations

import socket
from functools import partial
from typing import Any

from benchmarks import erlang_nodes, execnet_setup, greencoro_setup, pycos_setup, rpyc_setup, side
from benchmarks.measure import Measurement, measured
from benchmarks.question import Counts, Question, Sample, Side, Target

SECONDS = 60.0  # longest wait for anything here

ARRAY_BYTES = 8 << 20

_BYTES_IN_MB = 1e6


def _array() -> Any:
    """Numbers that no compression makes less."""
    import numpy

    return numpy.random.default_rng(0).random(ARRAY_BYTES // 8)


def _check(array: Any, first: float) -> None:
    assert (array.nbytes, float(array[0])) == (ARRAY_BYTES, first)


def _warm_up(arrays: int) -> int:
    return max(1, arrays // 10)


def _sample(measurement: Measurement) -> Sample:
    return measurement.sample(measurement.operations * ARRAY_BYTES / _BYTES_IN_MB / measurement.seconds, {})


# greencoro


def _greencoro_receiver(tls: bool = False) -> None:
    def receiver(coro: Any = None) -> None:
        while True:
            sender, arrays, first = coro.receive()
            for expected in range(arrays):
                number, array = coro.receive()
                assert number == expected, (number, expected)
                _check(array, first)
            sender.send(arrays)

    greencoro_setup.serve("receiver", receiver, tls)


def _greencoro(arrays: int, name: str, tls: bool = False) -> Sample:
    from greencoro.hub.coroutine import Coro

    array = _array()

    def sender(receiver: Any, arrays: int, coro: Any = None) -> None:
        receiver.send((coro, arrays, float(array[0])))
        for number in range(arrays):
            assert receiver.send((number, array)) == 0
        assert coro.receive(SECONDS) == arrays

    with greencoro_setup.partner("bulk", name, tls):
        receiver = Coro.locate("receiver", timeout=SECONDS)
        Coro(sender, receiver, _warm_up(arrays)).value()
        with measured(arrays) as measurement:
            Coro(sender, receiver, arrays).value()
    return _sample(measurement)


def greencoro(arrays: int) -> Sample:
    return _greencoro(arrays, "greencoro")


def greencoro_tls(arrays: int) -> Sample:
    return _greencoro(arrays, greencoro_setup.TLS, tls=True)


# pycos


def _pycos_receiver() -> None:
    network = pycos_setup.start_network("receiver")
    pycos = pycos_setup.quiet()

    def receiver(task: Any = None) -> Any:
        task.set_daemon()
        task.register("receiver")
        while True:
            sender, arrays, first = yield task.receive()
            for expected in range(arrays):
                number, array = yield task.receive()
                assert number == expected, (number, expected)
                _check(array, first)
            sender.send(arrays)

    pycos.Task(receiver)
    side.announce(str(network.location.port))
    side.wait_to_be_killed()


def pycos(arrays: int) -> Sample:
    array = _array()
    with side.partner("bulk", "pycos") as port:
        network = pycos_setup.start_network("sender")
        pycos = pycos_setup.quiet()

        def sender(arrays: int, task: Any = None) -> Any:
            location = pycos.Location("127.0.0.1", int(port))
            assert (yield network.peer(location, stream_send=True)) == 0
            receiver = yield pycos.Task.locate("receiver", location, timeout=SECONDS)
            receiver.send((task, arrays, float(array[0])))
            for number in range(arrays):
                # Not send: it would pickle all arrays before the first one leaves.
                assert (yield receiver.deliver((number, array), SECONDS)) == 1
            return (yield task.receive(SECONDS))

        assert pycos.Task(sender, _warm_up(arrays)).value() == _warm_up(arrays)
        with measured(arrays) as measurement:
            assert pycos.Task(sender, arrays).value() == arrays
        # Before the partner is gone: pycos says goodbye to it, and would wait ten seconds for an answer.
        network.terminate()
    return _sample(measurement)


# the others


def _rpyc_receiver() -> None:
    import numpy

    def put(number: int, content: bytes, first: float) -> int:
        _check(numpy.frombuffer(content), first)
        return number

    rpyc_setup.serve({"put": put})


def rpyc(arrays: int) -> Sample:
    array = _array()
    first = float(array[0])

    def send(arrays: int) -> None:
        for number in range(arrays):
            assert put(number, array.tobytes(), first) == number

    with rpyc_setup.partner("bulk") as remote:
        put = remote.put
        send(_warm_up(arrays))
        with measured(arrays) as measurement:
            send(arrays)
    return _sample(measurement)


def execnet_receiver(channel):  # type: ignore[no-untyped-def]  # travels as source, where annotations have no meaning
    import numpy

    for arrays, size, first in channel:
        for expected in range(arrays):
            number, content = channel.receive()
            array = numpy.frombuffer(content)
            assert (number, array.nbytes, float(array[0])) == (expected, size, first)
        channel.send(arrays)


def execnet(arrays: int) -> Sample:
    array = _array()
    with execnet_setup.partner(execnet_receiver) as channel:

        def send(arrays: int) -> None:
            channel.send((arrays, ARRAY_BYTES, float(array[0])))
            for number in range(arrays):
                channel.send((number, array.tobytes()))
            assert channel.receive(SECONDS) == arrays

        send(_warm_up(arrays))
        with measured(arrays) as measurement:
            send(arrays)
    return _sample(measurement)


def erlang(arrays: int) -> Sample:
    return _sample(erlang_nodes.measure("bulk", arrays))


# the floor


def _socket_receiver() -> None:
    content = bytearray(ARRAY_BYTES)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        side.announce(str(listener.getsockname()[1]))
        connection, _ = listener.accept()
        while connection.recv_into(content, ARRAY_BYTES, socket.MSG_WAITALL) == ARRAY_BYTES:
            connection.sendall(b"!")


def blocking_sockets(arrays: int) -> Sample:
    array = _array()

    def send(connection: socket.socket, arrays: int) -> None:
        for _ in range(arrays):
            connection.sendall(array)
        assert len(connection.recv(arrays, socket.MSG_WAITALL)) == arrays

    with side.partner("bulk", "floor") as port, socket.create_connection(("127.0.0.1", int(port))) as connection:
        send(connection, _warm_up(arrays))
        with measured(arrays) as measurement:
            send(connection, arrays)
    return _sample(measurement)


QUESTION = Question(
    name="bulk",
    text="how many megabytes a second go to a coroutine of another process, in arrays of 8 MiB?",
    unit="MB/s",
    better="more",
    sides=(
        Side(
            "greencoro",
            greencoro,
            Counts(150, 40, 2),
            "send of NumPy arrays, encrypted, with the default settings",
            partner=_greencoro_receiver,
        ),
        Side(
            greencoro_setup.TLS,
            greencoro_tls,
            Counts(100, 25, 2),
            greencoro_setup.TLS_SETUP,
            partner=partial(_greencoro_receiver, tls=True),
        ),
        Side(
            "pycos",
            pycos,
            Counts(100, 25, 2),
            "deliver of NumPy arrays (send would pickle all of them first); host 127.0.0.1, no discovery, stream_send "
            "(one connection kept open), not encrypted",
            partner=_pycos_receiver,
            package="pycos",
        ),
        Side(
            "rpyc",
            rpyc,
            Counts(100, 25, 2),
            f"calls with bytes, made from an array and seen as one; {rpyc_setup.SETUP}",
            partner=_rpyc_receiver,
            package="rpyc",
        ),
        Side(
            "execnet",
            execnet,
            Counts(100, 25, 2),
            f"send of bytes, made from an array and seen as one; {execnet_setup.SETUP}",
            package="execnet",
        ),
        Side(
            "Erlang",
            erlang,
            Counts(150, 40, 2),
            f"! of binaries; {erlang_nodes.SETUP}",
            program=erlang_nodes.PROGRAM,
        ),
        Side(
            "floor",
            blocking_sockets,
            Counts(200, 50, 2),
            "two processes with blocking TCP sockets, into one buffer; nothing pickled or encrypted",
            partner=_socket_receiver,
        ),
    ),
    targets=(
        Target("greencoro", "Erlang", "at least", 1.0),
        Target(greencoro_setup.TLS, "Erlang"),
        Target(greencoro_setup.TLS, "greencoro"),
        Target("greencoro", "execnet"),
        Target("greencoro", "rpyc"),
        Target("greencoro", "pycos"),
        Target("greencoro", "floor"),
    ),
)

if __name__ == "__main__":
    side.main(QUESTION)
