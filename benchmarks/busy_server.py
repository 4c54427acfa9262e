"""How long does it take until a server that computes has a message?

A server runs a job that counts, in Python, and never pauses. One message at a time is sent to something else in the
same process, which has to confirm it: `deliver` in greencoro and pycos, a call or an answer elsewhere. Whoever confirms
needs Python's lock, which the one that counts gives away when it is asked to, a switch interval later.

Between messages some milliseconds pass, more or less at random: whoever answers one right after the other may keep the
lock, and then nothing computes. "server CPU" is how many CPUs' time the server had; near 1, or others were at work.
"CPU us/op" is nearly all that of the job.
"""

from __future__ import annotations

import os
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any

import psutil

from benchmarks import (
    dask_setup,
    erlang_nodes,
    execnet_setup,
    greencoro_setup,
    pycos_setup,
    ray_setup,
    rpyc_setup,
    side,
)
from benchmarks.measure import MICROSECONDS, Measurement, measured
from benchmarks.question import Counts, Question, Sample, Side, Target
from benchmarks.spread import percentile

SECONDS = 10.0  # longest wait for anything here

_MILLISECONDS = 1000.0

#: A server that had less was not computing.
_LEAST_CPU = 0.02


def burn() -> None:
    number = 0
    while True:
        number += 1


def _sample(measurement: Measurement, median: float, high: float, **others: float) -> Sample:
    return measurement.sample(median, {"p99 ms": high, **others})


def _cpu_seconds(pid: int) -> float:
    return sum(psutil.Process(pid).cpu_times()[:2])


def _ask(trips: int, server: int, send_all: Callable[[int], list[float]]) -> Sample:
    """Measure a server that computes already.

    Args:
        server: Its process.

        send_all: Sends so many messages, one after the other, and returns how long each took.
    """
    send_all(trips // 10)
    cpu_before = _cpu_seconds(server)
    with measured(trips) as measurement:
        latencies = send_all(trips)
    cpu = (_cpu_seconds(server) - cpu_before) / measurement.seconds
    assert cpu >= _LEAST_CPU, f"the server computed for {cpu:.2f} of the time only"
    median, high = (percentile(latencies, percent) * _MILLISECONDS for percent in (50, 99))
    return _sample(measurement, median, high, **{"server CPU": cpu})


def _pauses(trips: int) -> Iterator[float]:
    """In seconds; the same in every round; `nodes.escript` has its own."""
    numbers = random.Random(0)
    return (numbers.choice(range(1, 8)) / _MILLISECONDS for _ in range(trips))


def _one_by_one(
    confirm: Callable[[int], Any], sleep: Callable[[float], Any] = time.sleep
) -> Callable[[int], list[float]]:
    """What sends messages, given what sends a number and returns it when it is confirmed."""

    def send_all(trips: int) -> list[float]:
        latencies = []
        for number, pause in enumerate(_pauses(trips)):
            sleep(pause)
            begin = time.perf_counter()
            confirmed = confirm(number)
            latencies.append(time.perf_counter() - begin)
            assert confirmed == number
        return latencies

    return send_all


# greencoro


def take(coro: Any = None) -> None:
    while True:
        coro.receive()


def greencoro(trips: int) -> Sample:
    from greencoro.hub.coroutine import Coro

    def deliver_all(there: Any, trips: int, coro: Any = None) -> list[float]:
        def deliver(number: int) -> int:
            taken = there.deliver(number, SECONDS)
            assert taken == 1
            return number

        return _one_by_one(deliver, coro.sleep)(trips)

    with greencoro_setup.servers(1, [take, burn]) as computation:
        server = computation.run(os.getpid).value()
        there = computation.run(take)
        computation.run(burn)
        return _ask(trips, server, lambda trips: Coro(deliver_all, there, trips).value())


# pycos


def _pycos_server() -> None:
    network = pycos_setup.start_network("server")
    pycos = pycos_setup.quiet()

    def take(task: Any = None) -> Any:
        task.set_daemon()
        task.register("take")
        while True:
            if (yield task.receive()) == "burn":
                pycos.Task(burn_from_now_on)

    def burn_from_now_on(task: Any = None) -> Any:
        yield
        burn()

    pycos.Task(take)
    side.announce(f"{network.location.port} {os.getpid()}")
    side.wait_to_be_killed()


def pycos(trips: int) -> Sample:
    with side.partner("busy_server", "pycos") as where:
        port, server = map(int, where.split())
        network = pycos_setup.start_network("client")
        pycos = pycos_setup.quiet()

        def reach(task: Any = None) -> Any:
            location = pycos.Location("127.0.0.1", port)
            assert (yield network.peer(location, stream_send=True)) == 0
            there = yield pycos.Task.locate("take", location, timeout=SECONDS)
            assert (yield there.deliver("burn", SECONDS)) == 1
            return there

        there = pycos.Task(reach).value()

        def deliver_all(trips: int, task: Any = None) -> Generator[Any, Any, list[float]]:
            latencies = []
            for number, pause in enumerate(_pauses(trips)):
                yield task.sleep(pause)
                begin = time.perf_counter()
                taken = yield there.deliver(number, SECONDS)
                latencies.append(time.perf_counter() - begin)
                assert taken == 1
            return latencies

        try:
            return _ask(trips, server, lambda trips: pycos.Task(deliver_all, trips).value())
        finally:
            # pycos says goodbye to the server, and would wait ten seconds for an answer.
            psutil.Process(server).kill()
            network.terminate()


# the others


def start_burning() -> int:
    threading.Thread(target=burn, daemon=True).start()
    return os.getpid()


def _rpyc_server() -> None:
    rpyc_setup.serve({"start_burning": start_burning, "confirm": lambda number: number})


def rpyc(trips: int) -> Sample:
    with rpyc_setup.partner("busy_server") as remote:
        confirm = remote.confirm  # asked for once: that takes a trip as well
        return _ask(trips, remote.start_burning(), _one_by_one(confirm))


def execnet_server(channel):  # type: ignore[no-untyped-def]  # travels as source, where annotations have no meaning
    import os
    import threading

    def burn():  # type: ignore[no-untyped-def]  # as above
        number = 0
        while True:
            number += 1

    threading.Thread(target=burn, daemon=True).start()
    channel.send(os.getpid())
    for number in channel:
        channel.send(number)


def execnet(trips: int) -> Sample:
    with execnet_setup.partner(execnet_server) as channel:

        def confirm(number: int) -> Any:
            channel.send(number)
            return channel.receive(SECONDS)

        return _ask(trips, channel.receive(SECONDS), _one_by_one(confirm))


class Actor:
    """What Dask and Ray have for something in a process that is there for longer than a job."""

    def where(self) -> int:
        return os.getpid()

    def burn(self) -> None:
        burn()

    def confirm(self, number: int) -> int:
        return number


def dask(trips: int) -> Sample:
    with dask_setup.servers(1) as client:
        actor = client.submit(Actor, actor=True).result(SECONDS)
        (server,) = client.run(start_burning).values()
        try:
            return _ask(trips, server, _one_by_one(lambda number: actor.confirm(number).result(SECONDS)))
        finally:
            psutil.Process(server).kill()  # it would be asked to end, and waited for


def ray(trips: int) -> Sample:
    with ray_setup.servers(1) as ray:
        # Two of its methods at once, each in a thread.
        actor = ray.remote(Actor).options(max_concurrency=2).remote()
        server = ray.get(actor.where.remote())
        actor.burn.remote()
        try:
            return _ask(trips, server, _one_by_one(lambda number: ray.get(actor.confirm.remote(number))))
        finally:
            ray.kill(actor)


def erlang(trips: int) -> Sample:
    with erlang_nodes.script("busy_server", trips) as client:
        client.wait_until_ready()
        with measured(trips) as measurement:
            median = client.take_turn()
        client.wait_until_ready()
        high = client.take_turn()
    return _sample(measurement, median / MICROSECONDS * _MILLISECONDS, high / MICROSECONDS * _MILLISECONDS)


# the floor


def _socket_server(switch_interval: float) -> None:
    sys.setswitchinterval(switch_interval)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        side.announce(f"{listener.getsockname()[1]} {os.getpid()}")
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        start_burning()
        while data := connection.recv(4096):
            connection.sendall(data)


def blocking_sockets(trips: int, name: str) -> Sample:
    with side.partner("busy_server", name) as where:
        port, server = map(int, where.split())
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def confirm(number: int) -> int:
                connection.sendall(number.to_bytes(64))
                return int.from_bytes(connection.recv(4096))

            return _ask(trips, server, _one_by_one(confirm))


def _floor(name: str, switch_interval: float) -> Side:
    return Side(
        name,
        partial(blocking_sockets, name=name),
        _COUNTS,
        "two processes with blocking TCP sockets, one with a second thread that counts and a switch interval of "
        f"{switch_interval * _MILLISECONDS:g} ms",
        partner=partial(_socket_server, switch_interval),
    )


_COUNTS = Counts(1000, 200, 50)

_THREAD = "a second thread counts"

QUESTION = Question(
    name="busy_server",
    text="how long does it take until a server that computes has a message?",
    unit="ms, median of the messages of a round",
    better="less",
    sides=(
        Side(
            "greencoro",
            greencoro,
            _COUNTS,
            "LocalCluster(servers=1), deliver to one job while another counts, encrypted",
        ),
        Side(
            "pycos",
            pycos,
            _COUNTS,
            "deliver to one task while another counts (peers, not dispycos); host 127.0.0.1, no discovery, "
            "stream_send, not encrypted",
            partner=_pycos_server,
            package="pycos",
        ),
        Side(
            "rpyc",
            rpyc,
            _COUNTS,
            f"a call and its result, {_THREAD}; {rpyc_setup.SETUP}",
            partner=_rpyc_server,
            package="rpyc",
        ),
        Side(
            "execnet",
            execnet,
            _COUNTS,
            f"a message there and one back, {_THREAD}; {execnet_setup.SETUP}",
            package="execnet",
        ),
        Side(
            "Dask",
            dask,
            _COUNTS,
            f"a method of an actor, {_THREAD}; {dask_setup.SETUP}",
            package=dask_setup.PACKAGE,
        ),
        Side(
            "Ray",
            ray,
            _COUNTS,
            f"a method of an actor with threads while another counts; {ray_setup.SETUP}",
            package=ray_setup.PACKAGE,
        ),
        Side(
            "Erlang",
            erlang,
            _COUNTS,
            f"a message there and one back, another process counts; {erlang_nodes.SETUP}; times are taken in Erlang",
            program=erlang_nodes.PROGRAM,
        ),
        _floor("floor", 0.0005),
        _floor("floor 5 ms", 0.005),
    ),
    targets=(
        Target("greencoro", None, "at most", 2),
        Target("greencoro", None, "at most", 25, figure="p99 ms"),
        Target("greencoro", "pycos", "at most"),
        Target("greencoro", "rpyc", "at most"),
        Target("greencoro", "execnet", "at most"),
        Target("greencoro", "Dask", "at most"),
        Target("greencoro", "Ray", "at most"),
        Target("greencoro", "Erlang", "at most"),
        Target("greencoro", "floor", "at most"),
    ),
    rounds=Counts(full=3, quick=1, tiny=1),
    timeout_seconds=90.0,
)

if __name__ == "__main__":
    side.main(QUESTION)
