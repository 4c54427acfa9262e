"""How many small messages a second go one way between coroutines of two processes?

A coroutine sends small tuples to one in another process as fast as it may, and then waits until that one says that it
has had them all. The receiver checks that none is missing and none is out of order.
"""

from __future__ import annotations

import io
import pickle
import socket
from typing import Any

from benchmarks import pycos_setup, side
from benchmarks.measure import measured
from benchmarks.question import Counts, Question, Sample, Side, Target

SECONDS = 60.0  # longest wait for anything here


def _message(number: int) -> tuple[int, str]:
    return number, "small"


def _greencoro_receiver() -> None:
    from greencoro.distributed.runtime import Runtime
    from greencoro.hub.coroutine import Coro

    def receiver(coro: Any = None) -> None:
        while True:
            sender, messages = coro.receive()
            for expected in range(messages):
                number, _ = coro.receive()
                assert number == expected, (number, expected)
            sender.send(messages)

    runtime = Runtime(node="127.0.0.1")
    Coro(receiver).register("receiver")
    side.announce(str(runtime.location))
    side.wait_to_be_killed()


def greencoro(messages: int) -> Sample:
    from greencoro.distributed.runtime import Runtime
    from greencoro.hub.coroutine import Coro

    def sender(receiver: Any, messages: int, coro: Any = None) -> None:
        receiver.send((coro, messages))
        for number in range(messages):
            receiver.send(_message(number))
        assert coro.receive(SECONDS) == messages

    with side.partner("one_way", "greencoro") as location, Runtime(node="127.0.0.1") as runtime:
        runtime.connect(location)
        receiver = Coro.locate("receiver", timeout=SECONDS)
        Coro(sender, receiver, messages // 10).value()
        with measured(messages) as measurement:
            Coro(sender, receiver, messages).value()
    return measurement.rate()


def _pycos_receiver() -> None:
    network = pycos_setup.start_network("receiver")
    pycos = pycos_setup.quiet()

    def receiver(task: Any = None) -> Any:
        task.set_daemon()
        task.register("receiver")
        while True:
            sender, messages = yield task.receive()
            for expected in range(messages):
                number, _ = yield task.receive()
                assert number == expected, (number, expected)
            sender.send(messages)

    pycos.Task(receiver)
    side.announce(str(network.location.port))
    side.wait_to_be_killed()


def pycos(messages: int) -> Sample:
    with side.partner("one_way", "pycos") as port:
        network = pycos_setup.start_network("sender")
        pycos = pycos_setup.quiet()

        def sender(messages: int, task: Any = None) -> Any:
            location = pycos.Location("127.0.0.1", int(port))
            assert (yield network.peer(location, stream_send=True)) == 0
            receiver = yield pycos.Task.locate("receiver", location, timeout=SECONDS)
            receiver.send((task, messages))
            for number in range(messages):
                receiver.send(_message(number))
            return (yield task.receive(SECONDS))

        assert pycos.Task(sender, messages // 10).value() == messages // 10
        with measured(messages) as measurement:
            assert pycos.Task(sender, messages).value() == messages
        # Before the partner is gone: pycos says goodbye to it, and would wait ten seconds for an answer.
        network.terminate()
    return measurement.rate()


def _socket_receiver() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        side.announce(str(listener.getsockname()[1]))
        connection, _ = listener.accept()
        with connection, connection.makefile("rb", 1 << 18) as stream:
            while True:
                messages = pickle.load(stream)
                for expected in range(messages):
                    number, _ = pickle.load(stream)
                    assert number == expected, (number, expected)
                connection.sendall(b"!")


def batched_pickles(messages: int) -> Sample:
    def send(connection: socket.socket, messages: int) -> None:
        batch = io.BytesIO()
        batch.write(pickle.dumps(messages))
        for number in range(messages):
            batch.write(pickle.dumps(_message(number)))
            if batch.tell() >= 1 << 16:
                connection.sendall(batch.getbuffer())
                batch = io.BytesIO()
        connection.sendall(batch.getbuffer())
        assert connection.recv(1) == b"!"

    with side.partner("one_way", "floor") as port, socket.create_connection(("127.0.0.1", int(port))) as connection:
        send(connection, messages // 10)
        with measured(messages) as measurement:
            send(connection, messages)
    return measurement.rate()


QUESTION = Question(
    name="one_way",
    text="how many small messages a second go one way between coroutines of two processes?",
    unit="messages/s",
    better="more",
    sides=(
        Side(
            "greencoro",
            greencoro,
            Counts(300_000, 100_000, 2000),
            "send, encrypted, with the default settings",
            partner=_greencoro_receiver,
        ),
        Side(
            "pycos",
            pycos,
            Counts(15_000, 5000, 500),
            "send; host 127.0.0.1, no discovery, stream_send (one connection kept open), not encrypted",
            partner=_pycos_receiver,
            package="pycos",
        ),
        Side(
            "floor",
            batched_pickles,
            Counts(500_000, 200_000, 2000),
            "two processes with blocking TCP sockets, a pickle a message, sent 64 KiB at a time; not encrypted",
            partner=_socket_receiver,
        ),
    ),
    targets=(Target("greencoro", "pycos"), Target("greencoro", "floor")),
    unmeasured=("the target of at least 2 x Erlang: no Erlang program is among the sides yet",),
)

if __name__ == "__main__":
    side.main(QUESTION)
