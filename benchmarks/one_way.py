"""How many small messages a second go one way between coroutines of two processes?

A coroutine sends small tuples to one in another process as fast as it may, and then waits until that one says that it
has had them all. The receiver checks that none is missing and none is out of order. rpyc has no messages: there a
function is called many times, and the results are taken later.
"""

from __future__ import annotations

import io
import pickle
import socket
from functools import partial
from typing import Any

from benchmarks import erlang_nodes, execnet_setup, greencoro_setup, pycos_setup, rpyc_setup, side
from benchmarks.measure import measured
from benchmarks.question import Counts, Question, Sample, Side, Target

SECONDS = 60.0  # longest wait for anything here

#: Calls of rpyc under way at once. Without a limit both sides might come to wait for the other to read.
RPYC_CALLS = 1000


def _message(number: int) -> tuple[int, str]:
    return number, "small"


# greencoro


def _greencoro_receiver(tls: bool = False) -> None:
    def receiver(coro: Any = None) -> None:
        while True:
            sender, messages = coro.receive()
            for expected in range(messages):
                number, _ = coro.receive()
                assert number == expected, (number, expected)
            sender.send(messages)

    greencoro_setup.serve("receiver", receiver, tls)


def _greencoro(messages: int, name: str, tls: bool = False) -> Sample:
    from greencoro.hub.coroutine import Coro

    def sender(receiver: Any, messages: int, coro: Any = None) -> None:
        receiver.send((coro, messages))
        for number in range(messages):
            receiver.send(_message(number))
        assert coro.receive(SECONDS) == messages

    with greencoro_setup.partner("one_way", name, tls):
        receiver = Coro.locate("receiver", timeout=SECONDS)
        Coro(sender, receiver, messages // 10).value()
        with measured(messages) as measurement:
            Coro(sender, receiver, messages).value()
    return measurement.rate()


def greencoro(messages: int) -> Sample:
    return _greencoro(messages, "greencoro")


def greencoro_tls(messages: int) -> Sample:
    return _greencoro(messages, greencoro_setup.TLS, tls=True)


# pycos


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


# the others


def _rpyc_receiver() -> None:
    come = 0

    def put(number: int, _text: str) -> None:
        nonlocal come
        expected, come = come, come + 1
        assert number == expected, (number, expected)

    def restart() -> int:
        nonlocal come
        messages, come = come, 0
        return messages

    rpyc_setup.serve({"put": put, "restart": restart})


def rpyc(messages: int) -> Sample:
    def send(messages: int) -> None:
        calls = (_message(number) for number in range(messages))
        assert all(result is None for result in rpyc_setup.call_ahead(put, calls, RPYC_CALLS))
        assert restart() == messages

    with rpyc_setup.partner("one_way") as remote:
        put, restart = remote.put, remote.restart
        send(messages // 10)
        with measured(messages) as measurement:
            send(messages)
    return measurement.rate()


def execnet_receiver(channel):  # type: ignore[no-untyped-def]  # travels as source, where annotations have no meaning
    for messages in channel:
        for expected in range(messages):
            number, _ = channel.receive()
            assert number == expected, (number, expected)
        channel.send(messages)


def execnet(messages: int) -> Sample:
    with execnet_setup.partner(execnet_receiver) as channel:

        def send(messages: int) -> None:
            channel.send(messages)
            for number in range(messages):
                channel.send(_message(number))
            assert channel.receive(SECONDS) == messages

        send(messages // 10)
        with measured(messages) as measurement:
            send(messages)
    return measurement.rate()


def erlang(messages: int) -> Sample:
    return erlang_nodes.measure("one_way", messages).rate()


# the floor


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
            greencoro_setup.TLS,
            greencoro_tls,
            Counts(300_000, 100_000, 2000),
            greencoro_setup.TLS_SETUP,
            partner=partial(_greencoro_receiver, tls=True),
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
            "rpyc",
            rpyc,
            Counts(20_000, 5000, 500),
            f"async_ calls, {RPYC_CALLS} under way at once; {rpyc_setup.SETUP}",
            partner=_rpyc_receiver,
            package="rpyc",
        ),
        Side("execnet", execnet, Counts(300_000, 100_000, 2000), f"send; {execnet_setup.SETUP}", package="execnet"),
        Side(
            "Erlang",
            erlang,
            Counts(500_000, 200_000, 2000),
            f"!; {erlang_nodes.SETUP}",
            program=erlang_nodes.PROGRAM,
        ),
        Side(
            "floor",
            batched_pickles,
            Counts(500_000, 200_000, 2000),
            "two processes with blocking TCP sockets, a pickle a message, sent 64 KiB at a time; not encrypted",
            partner=_socket_receiver,
        ),
    ),
    targets=(
        Target("greencoro", "Erlang", "at least", 2.0),
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
