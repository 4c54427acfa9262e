import itertools
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import gevent.socket
import pytest

from greencoro import Coro, WouldBlock, sleep
from greencoro.hub import native, userhub
from tests.support.polling import poll_until

from .conftest import Run


@pytest.fixture(autouse=True)
def hub() -> None:
    Coro(lambda: None).value(10)


def on_hub(function: Callable[..., Any], *args: Any) -> Any:
    return Coro(function, *args).value(20)


def test_any_thread_may_post_and_what_it_posts_runs_in_order_on_the_hub() -> None:
    ran: list[tuple[str, int]] = []
    where: set[int] = set()

    def note(name: str, number: int) -> None:
        where.add(native.get_ident())
        ran.append((name, number))

    def post_many(name: str) -> None:
        for number in range(5000):
            userhub.post(note, name, number)

    threads = [threading.Thread(target=post_many, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    poll_until(lambda: len(ran) == 15_000, what="everything posted ran")
    assert where == {userhub.ident}
    for name in "abc":
        assert [number for who, number in ran if who == name] == list(range(5000))


def test_a_post_that_raises_is_reported_and_the_next_runs(capfd: pytest.CaptureFixture[str]) -> None:
    ran = native.Event()

    def fail() -> None:
        raise ValueError("of the post")

    userhub.post(fail)
    userhub.post(ran.set)
    assert ran.wait(10)
    poll_until(lambda: "of the post" in capfd.readouterr().err)


def test_posts_that_post_again_do_not_keep_the_hub_from_turning() -> None:
    stop = native.Event()

    def again() -> None:
        if not stop.is_set():
            userhub.post(again)

    userhub.post(again)
    try:
        assert on_hub(sleep, 0.01) is None
    finally:
        stop.set()


@pytest.fixture
def ping_pong() -> Iterator[None]:
    """Two coroutines that send each other messages without end, and a third that only gives way."""

    def player(coro: Any) -> None:
        other = coro.receive()
        while other is not None:
            other.send(coro)
            other = coro.receive()

    def gives_way() -> None:
        while playing:
            sleep(0)

    playing = [True]
    players = [Coro(player), Coro(player)]
    third = Coro(gives_way)
    players[0].send(players[1])
    yield
    playing.clear()
    for coro in players:
        coro.terminate()
        poll_until(lambda coro=coro: not coro.is_alive())
    third.value(10)


def lateness(seconds: float) -> float:
    began = time.monotonic()
    sleep(seconds)
    return time.monotonic() - began - seconds


@pytest.mark.usefixtures("ping_pong")
def test_direct_switches_without_end_do_not_hold_up_timers() -> None:
    late = on_hub(lambda: [lateness(0.01) for _ in range(20)])
    # The best of them says what greencoro does, the others what else the machine does.
    assert 0 <= min(late) < 0.03, late


@pytest.mark.usefixtures("ping_pong")
def test_direct_switches_without_end_do_not_hold_up_sockets() -> None:
    a, b = socket.socketpair()

    def echo() -> None:
        with gevent.socket.socket(fileno=b.detach()) as far:
            while data := far.recv(100):
                far.sendall(data)

    trips = []
    with a:
        echoing = Coro(echo)
        a.settimeout(10)
        for _ in range(20):
            began = time.monotonic()
            a.sendall(b"x")
            assert a.recv(100) == b"x"
            trips.append(time.monotonic() - began)
        a.shutdown(socket.SHUT_WR)
        echoing.value(10)
    # The interpreter lock is handed over every 5 ms, and a round trip needs it a few times.
    assert min(trips) < 0.1, trips


@pytest.mark.usefixtures("ping_pong")
def test_direct_switches_without_end_do_not_hold_up_other_threads() -> None:
    trips = []
    for _ in range(20):
        began = time.monotonic()
        assert Coro(lambda: 5).value(10) == 5
        trips.append(time.monotonic() - began)
    # The interpreter lock is handed over every 5 ms, and a round trip needs it a few times.
    assert min(trips) < 0.1, trips


@pytest.mark.usefixtures("ping_pong")
def test_a_hub_that_is_busy_for_ever_hands_the_interpreter_lock_over() -> None:
    trips = []
    for _ in range(50):
        began = time.monotonic()
        native.sleep(0)  # lets the lock go
        trips.append(time.monotonic() - began)
    # 5 ms each. Where turns of the loop are shorter than the switch interval one alone takes seconds.
    assert statistics.median(trips) < 0.5, trips


def test_many_that_compute_a_little_do_not_hold_up_timers() -> None:
    def computes(rounds: list[float]) -> None:
        while computing:
            until = time.monotonic() + 0.0005
            rounds.append(until)
            while time.monotonic() < until:
                pass
            sleep(0)

    computing = [True]
    each: list[list[float]] = [[] for _ in range(200)]
    crowd = [Coro(computes, rounds) for rounds in each]
    try:
        late = on_hub(lambda: [lateness(0.01) for _ in range(8)])
    finally:
        computing.clear()
    for coro in crowd:
        coro.value(20)
    # A round takes 0.1 s, and more where the machine does other things as well; whoever is woken waits for one.
    longest = max(after - before for before, after in itertools.pairwise(each[0]))
    assert min(late) < 2 * longest + 0.05, (late, longest)


def test_the_ready_queue_is_served_in_order() -> None:
    order: list[int] = []

    def note(number: int) -> None:
        for _ in range(3):
            order.append(number)
            sleep(0)

    def start_all() -> None:
        for coro in [Coro(note, number) for number in range(1000)]:
            coro.value()

    on_hub(start_all)
    assert order == [*range(1000)] * 3


@pytest.mark.parametrize("woken_by", ["start", "timer", "gevent timer", "message", "other thread"])
def test_a_sleep_after_a_long_computation_takes_its_full_time(woken_by: str) -> None:
    def compute_then_sleep(coro: Any) -> float:
        if woken_by == "timer":
            sleep(0.01)
        elif woken_by == "gevent timer":
            gevent.sleep(0.01)
        elif woken_by != "start":
            coro.receive()
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            pass
        return lateness(0.05)

    coro = Coro(compute_then_sleep)
    if woken_by == "other thread":
        poll_until(lambda: coro._mailbox._receiver is not None)
        coro.send(1)
    elif woken_by == "message":
        on_hub(coro.send, 1)
    assert -0.002 <= coro.value(10) < 5


def test_a_wait_that_is_over_cannot_be_woken() -> None:
    def waits() -> tuple[bool, float]:
        wait = userhub.Wait()
        in_time = wait.park(0.01)
        wait.wake()
        wait.wake_from_anywhere()
        return in_time, lateness(0.05)

    in_time, late = on_hub(waits)
    assert in_time is False and late > -0.002


def test_waking_twice_is_waking_once() -> None:
    def waits() -> tuple[bool, float]:
        wait = userhub.Wait()
        userhub.call_soon(wait.wake)
        userhub.call_soon(wait.wake)
        return wait.park(10), lateness(0.05)

    in_time, late = on_hub(waits)
    assert in_time is True and late > -0.002


def test_what_is_thrown_into_a_ready_greenlet_takes_its_turn_away() -> None:
    def waits() -> float:
        wait = userhub.Wait()
        me = gevent.getcurrent()

        def wake_and_throw() -> None:
            wait.wake()
            me.throw(ValueError("thrown"))

        userhub.call_soon(wake_and_throw)
        with pytest.raises(ValueError, match="thrown"):
            wait.park()
        return lateness(0.05)

    assert on_hub(waits) > -0.002


def test_a_greenlet_of_gevent_on_the_user_hub_waits_like_a_coroutine() -> None:
    order: list[str] = []

    def first_to_begin() -> None:
        while not order:
            sleep(0.001)
        order.append("first to begin")

    def second_to_begin() -> None:
        sleep(0.01)
        order.append("second to begin")

    on_hub(lambda: gevent.joinall([gevent.spawn(first_to_begin), gevent.spawn(second_to_begin)]))
    assert order == ["second to begin", "first to begin"]


def test_the_hubs_own_greenlet_may_not_wait() -> None:
    refused: list[str] = []
    done = native.Event()

    def callback() -> None:
        try:
            for wait in (lambda: sleep(0.01), userhub.Wait, Coro(lambda: None).value):
                try:
                    wait()
                except WouldBlock as error:
                    refused.append(str(error))
        finally:
            done.set()

    userhub.post(callback)
    assert done.wait(10)
    assert refused == ["a callback of the hub may not wait"] * 3


def test_unready_tells_whether_it_was_there() -> None:
    def try_it() -> tuple[bool, bool]:
        me = gevent.getcurrent()
        userhub.ready(me)
        return userhub.unready(me), userhub.unready(me)

    assert on_hub(try_it) == (True, False)


def test_a_hub_that_runs_cannot_be_adopted() -> None:
    with pytest.raises(RuntimeError, match="runs already"):
        userhub.adopt()


def test_the_main_thread_can_be_the_hub(run: Run) -> None:
    ended = run(
        """
        userhub.adopt()
        assert userhub.on_hub()
        main = native.get_ident()

        # Before it turns the main thread may already wait, cooperatively.
        assert Coro(native.get_ident).value(5) == main
        got = []
        def work(coro=None):
            assert native.get_ident() == main
            got.append(coro.receive(timeout=5))
            sleep(0.01)
            userhub.stop()
        worker = Coro(work)
        threading.Timer(0.05, worker.send, ["from a thread"]).start()
        userhub.run_adopted()
        assert got == ["from a thread"], got
        assert not userhub.is_started()
        print("over")
        """
    )
    assert (ended.status, ended.out) == (0, "over\n"), ended.err


def test_a_signal_reaches_a_coroutine_that_computes_on_an_adopted_hub(run: Run) -> None:
    ended = run(
        """
        class Stop(BaseException): pass
        def handler(number, frame):
            raise Stop
        signal.signal(signal.SIGINT, handler)
        userhub.adopt()
        def computes():
            try:
                ready()
                while True: pass
            except Stop:
                print("reached")
                userhub.stop()
        Coro(computes)
        userhub.run_adopted()
        """,
        interrupts=1,
    )
    assert (ended.status, ended.out) == (0, "reached\n"), ended.err


def test_a_process_does_not_wait_for_coroutines_that_an_adopted_hub_left(run: Run) -> None:
    ended = run(
        """
        userhub.adopt()
        process_exit.prepare()
        parked = Coro(lambda coro: coro.receive())
        Coro(userhub.stop)
        userhub.run_adopted()
        assert parked.is_alive()
        """
    )
    assert ended.status == 0, ended


def test_a_hub_that_was_stopped_refuses_new_coroutines_in_a_sentence(run: Run) -> None:
    ended = run(
        """
        parked = Coro(lambda coro: coro.receive())
        parked.set_daemon()
        sleep(0.05)
        assert userhub.stop(5) is True
        assert userhub.stop(5) is True
        try:
            Coro(print, 1)
        except RuntimeError as error:
            print(error)
        assert len(process_exit.holding()) == 0
        # Nothing breaks for whoever still holds a reference.
        for _ in range(3):
            parked.send(1)
        parked.terminate()
        """
    )
    assert (ended.status, ended.out) == (0, "no coroutine can be created: the process is ending\n"), ended.err
    assert ended.err == ""


def test_a_hub_that_cannot_be_set_up_is_an_error_where_it_is_started(run: Run) -> None:
    ended = run(
        """
        import gevent
        def broken(*args, **kwargs):
            raise OSError("no descriptor is left")
        gevent.get_hub = broken
        try:
            Coro(print, 1)
        except OSError as error:
            print(error)
        """
    )
    assert (ended.status, ended.out) == (0, "no descriptor is left\n"), ended.err


def test_a_forked_process_refuses_coroutines_and_ends(run: Run) -> None:
    ended = run(
        """
        keeps = Coro(lambda coro: coro.receive())
        process_exit.at_exit(1, lambda: print("closer of", os.getpid() == parent, flush=True))
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            try:
                Coro(print, 1)
            except RuntimeError as error:
                print(error, flush=True)
            sys.exit(7)
        print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        keeps.send(1)
        """
    )
    first, *others = ended.out.splitlines()
    assert first.startswith("no coroutine can be created: this process was forked"), ended
    assert others == ["child 7", "closer of True"], ended


def test_two_hubs_in_a_patched_process_start_without_waiting_for_each_other(run: Run) -> None:
    # Whatever gevent imports at first use is imported before the second thread starts: module locks would deadlock.
    ended = run(
        """
        import gevent, gevent.socket
        from gevent.threadpool import ThreadPool
        Coro(lambda: None)
        go = native.Event()
        done = []
        def use():
            # At once in both: the resolver with its thread pool, a pool, a file, codecs.
            while not go.is_set(): pass
            assert gevent.socket.getaddrinfo("localhost", 80)
            assert gevent.get_hub().threadpool.apply(lambda: 5) == 5
            "straße.example".encode("idna")
            gevent.sleep(0.01)
            done.append(native.get_ident())
        second = native.Thread(lambda: gevent.spawn(use).join(), "second-hub")
        second.start()
        coro = Coro(use)
        go.set()
        coro.value(10)
        assert second.join(10)
        assert len(set(done)) == 2, done
        """,
        patched=True,
    )
    assert ended.status == 0, ended.err


def test_a_patched_process_imports_nothing_more_once_the_hub_turns(run: Run) -> None:
    ended = run(
        """
        import gevent, gevent.socket, logging
        Coro(lambda: None).value(5)
        before = set(sys.modules)
        def use(coro=None):
            gevent.socket.getaddrinfo("localhost", 80)
            gevent.get_hub().threadpool.apply(lambda: 5)
            coro.receive(timeout=0.001)
            gevent.spawn(gevent.sleep, 0).join()
            a, b = gevent.socket.socketpair()
            a.sendall(b"x"); b.recv(1); a.close(); b.close()
            with open(os.devnull) as file: file.read()
            try: 1 / 0
            except ZeroDivisionError: logging.getLogger("test").exception("with a traceback")
        Coro(use).value(10)
        native_thread = native.Thread(lambda: gevent.spawn(gevent.sleep, 0.01).join(), "second")
        native_thread.start(); native_thread.join(5)
        Coro(lambda: None).value(5)
        print(sorted(set(sys.modules) - before))
        """,
        patched=True,
    )
    assert ended.status == 0, ended.err
    assert ended.out == "[]\n"


@pytest.mark.timeout(120)
def test_a_hundred_thousand_parked_coroutines_are_small_and_all_end(run: Run) -> None:
    ended = run(
        """
        import gc, psutil
        process = psutil.Process()
        Coro(lambda: None).value(5)
        number = 100_000
        gc.collect()
        before = process.memory_info().rss
        def parked(coro=None):
            return coro.receive()
        coroutines = [Coro(parked) for _ in range(number)]
        Coro(lambda: None).value(60)
        each = (process.memory_info().rss - before) / number
        for n, coro in enumerate(coroutines):
            coro.send(n)
        assert [coro.value(60) for coro in coroutines] == list(range(number))
        print(round(each))
        """,
        timeout=90,
    )
    assert ended.status == 0, ended.err
    print(f"memory of a parked coroutine: {ended.out.strip()} bytes")
    assert 1000 < int(ended.out) < 10_000


def test_a_signal_handler_may_make_a_coroutine_while_the_first_one_is_being_made(run: Run) -> None:
    ended = run("""
        from greencoro.hub import userhub
        preload = userhub.preload
        def interrupted():
            signal.raise_signal(signal.SIGUSR1)
            preload()
        userhub.preload = interrupted
        made = []
        signal.signal(signal.SIGUSR1, lambda number, frame: made.append(Coro(lambda: "by the handler")))
        print(Coro(lambda: "the first").value(10), made[0].value(10))
    """)
    assert (ended.out, ended.err, ended.status) == ("the first by the handler\n", "", 0)
