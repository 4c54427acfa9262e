"""Who hears of a coroutine's end: of its failure, by a notice, by a name that is free again."""

import io
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from greencoro import Coro, MonitorException
from greencoro.hub import execution, names
from greencoro.hub import exit as process_exit
from tests.support.polling import poll_until

from .conftest import Run
from .places import everywhere, parked

# Failing.


def fail() -> None:
    raise ValueError("of the function")


def test_where_no_logging_is_set_up_a_failure_is_told_once_on_standard_error(run: Run) -> None:
    ended = run(
        """
        def fail():
            raise ValueError("of the function")
        coro = Coro(fail)
        for _ in range(2):
            try: coro.value(10)
            except ValueError: pass
        print(repr(coro))
        """
    )
    lines = ended.err.splitlines()
    assert lines[0] == f"greencoro: uncaught exception in coroutine {ended.out.strip()}:"
    assert lines[1] == "Traceback (most recent call last):"
    # greencoro's own frames are no news.
    assert ["program.py" in line for line in lines if line.startswith("  File")] == [True]
    assert lines[-1] == "ValueError: of the function"
    assert ended.err.count("uncaught") == 1


def test_where_logging_is_set_up_a_failure_goes_there_and_only_there(run: Run) -> None:
    ended = run(
        """
        import logging
        logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(name)s %(message)s")
        def fail():
            raise ValueError("of the function")
        try: Coro(fail).value(10)
        except ValueError: pass
        """
    )
    assert ended.err == ""
    lines = ended.out.splitlines()
    assert lines[0].startswith("ERROR greencoro.hub.execution uncaught exception in coroutine fail/")
    assert lines[-1] == "ValueError: of the function"


def test_the_failure_is_kept() -> None:
    coro = Coro(fail)
    with pytest.raises(ValueError, match="of the function"):
        coro.value(10)
    assert coro._failure is not None and isinstance(coro._failure.error, ValueError)
    assert coro._failure.text.endswith("ValueError: of the function")


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, MemoryError])
def test_whatever_is_raised_ends_only_that_coroutine(kind: type[BaseException]) -> None:
    def leave() -> None:
        raise kind

    with pytest.raises(kind):
        Coro(leave).value(10)
    assert Coro(lambda: 5).value(10) == 5


def test_a_failure_that_cannot_be_reported_still_ends_the_coroutine(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    # pytest's own handlers stand at the root.
    monkeypatch.setattr(logging.getLogger("greencoro"), "propagate", False)
    with pytest.raises(ValueError, match="of the function"):
        Coro(fail).value(10)
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(ValueError, match="of the function"):
        Coro(fail).value(10)


def test_a_report_that_fails_still_ends_the_coroutine_and_the_hub_goes_on(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(coro: Any, text: str) -> None:
        raise RuntimeError("of the report")

    monkeypatch.setattr(execution.Execution, "_report", broken)
    for _ in range(5):
        with pytest.raises(ValueError, match="of the function"):
            Coro(fail).value(10)
    assert Coro(lambda: 5).value(10) == 5
    assert "of the report" in capfd.readouterr().err


# Monitoring.


def monitor_of(*observed: Coro, number: int | None = None) -> Coro:
    """A coroutine that monitors these and returns the first messages that come."""

    def watch(coro: Any) -> list[Any]:
        for target in observed:
            coro.monitor(target)
        return [coro.receive() for _ in range(len(observed) if number is None else number)]

    return Coro(watch)


def test_a_monitor_gets_one_notice_of_each_kind_of_end() -> None:
    finished, failed, terminated = Coro(parked), Coro(lambda coro: 1 / coro.receive()), Coro(parked)
    monitor = monitor_of(finished, failed, terminated)
    for coro in (finished, failed, terminated):
        poll_until(lambda coro=coro: coro._observers)
    finished.send("result")
    failed.send(0)
    terminated.terminate()
    notices = {notice.coro: notice for notice in monitor.value(10)}
    assert all(isinstance(notice, MonitorException) for notice in notices.values())

    assert (notices[finished].kind, notices[finished].value, notices[finished].error) == ("finished", "result", None)
    assert notices[finished].args == (finished, (StopIteration, "result"))
    assert notices[failed].kind == "exception" and isinstance(notices[failed].error, ZeroDivisionError)
    assert notices[failed].traceback_text.endswith("ZeroDivisionError: division by zero")
    assert notices[failed].args[1][:2] == (ZeroDivisionError, notices[failed].error)
    assert (notices[terminated].kind, notices[terminated].value) == ("terminated", None)
    assert notices[terminated].args == (terminated, (StopIteration, None))


def test_no_second_notice_comes() -> None:
    coro = Coro(parked)

    def watch(me: Coro, coro: Any = None) -> Any:
        assert coro.monitor(me) == coro.monitor(me) == 0  # asked twice
        assert me.notify(coro) == 0
        me.send("end")
        return coro.receive(timeout=10).kind, coro.receive(timeout=0.1, alarm_value="nothing more")

    assert Coro(watch, coro).value(10) == ("finished", "nothing more")


def test_of_one_that_is_over_no_notice_comes() -> None:
    over = Coro(lambda: None)
    over.value(10)

    def watch(coro: Any) -> Any:
        return coro.monitor(over), over.notify(coro), coro.receive(timeout=0.05, alarm_value="nothing")

    assert Coro(watch).value(10) == (-1, -1, "nothing")


def test_one_that_is_over_can_monitor_nobody() -> None:
    over, target = Coro(lambda: None), Coro(parked)
    over.value(10)
    assert over.monitor(target) == target.notify(over) == -1
    assert not target._observers
    target.send(None)


def test_nobody_monitors_itself() -> None:
    coro = Coro(parked)
    for ask in (coro.monitor, coro.notify):
        with pytest.raises(ValueError, match="cannot monitor itself"):
            ask(coro)
    coro.send("undisturbed")
    assert coro.value(10) == "undisturbed"


@pytest.mark.parametrize("tie", [Coro.monitor, Coro.link])
def test_of_a_thousand_that_watched_a_server_and_ended_few_are_kept(tie: Any) -> None:
    server = Coro(parked)

    def watches(coro: Any) -> int:
        result: int = tie(coro, server)
        return result

    lasting = monitor_of(server)
    poll_until(lambda: server._observers)
    for _ in range(1000):
        assert Coro(watches).value(10) == 0
    assert server._observers is not None and len(server._observers) <= 100
    server.send("end")
    assert [notice.value for notice in lasting.value(10)] == ["end"]


def test_one_that_may_be_started_anew_is_kept_among_those_to_be_told() -> None:
    server = Coro(parked)

    def watches_and_fails(coro: Any) -> None:
        coro.monitor(server)
        coro.receive()
        raise ValueError("of the watcher")

    def keeps_for_a_restart(coro: Any) -> Any:
        coro.monitor(failing)
        failing.send("fail")
        notice = coro.receive()
        coro.receive()
        return notice.coro.hot_swap(parked)

    failing = Coro(watches_and_fails)
    keeper = Coro(keeps_for_a_restart)
    poll_until(lambda: not failing.is_alive())
    for _ in range(200):
        Coro(lambda coro: coro.monitor(server)).value(10)
    keeper.send("restart")
    assert keeper.value(10) == 0
    server.send("end")
    assert failing.value(10).value == "end"


def test_monitor_and_notify_take_coroutines() -> None:
    coro = Coro(parked)
    with pytest.raises(TypeError, match="takes a coroutine, not 5"):
        coro.monitor(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="takes a coroutine, not None"):
        coro.notify(None)  # type: ignore[arg-type]
    coro.send(1)


def test_the_notice_comes_after_everything_its_coroutine_sent() -> None:
    def talker(monitor: Coro, number: int, coro: Any = None) -> None:
        assert coro.notify(monitor) == 0
        for n in range(number):
            monitor.send(n)

    def listen(coro: Any) -> bool:
        for number in range(200):
            Coro(talker, coro, number)
            assert [coro.receive() for _ in range(number)] == list(range(number))
            assert isinstance(coro.receive(), MonitorException)
        return True

    assert Coro(listen).value(20)


def test_a_monitor_that_is_over_disturbs_nobody() -> None:
    target = Coro(parked)
    monitor = monitor_of(target, number=0)
    monitor.value(10)
    target.send("fine")
    assert target.value(10) == "fine"


@pytest.mark.usefixtures("frequent_switches")
def test_monitors_set_by_other_threads_while_the_end_comes_get_exactly_what_was_promised() -> None:
    for _ in range(100):
        target, inbox = Coro(lambda: None), Coro(parked)
        promised = target.notify(inbox)
        target.value(10)
        # What was promised was sent before the end was over, and has come to its receiver by the next turn.
        Coro(lambda: None).value(10)
        assert len(inbox._mailbox) + (0 if inbox.is_alive() else 1) == (1 if promised == 0 else 0)
        inbox.send("end")
        inbox.value(10)


# Names.


def test_a_registered_coroutine_is_found_by_its_name_until_it_ends() -> None:
    coro = Coro(parked)
    assert coro.register("the name") == 0
    assert Coro.locate("the name") is coro
    assert Coro(Coro.locate, "the name").value(10) is coro
    coro.send(1)
    coro.value(10)
    assert Coro.locate("the name", timeout=0) is None


def test_the_functions_name_is_the_default() -> None:
    coro = Coro(parked)
    assert coro.register() == 0
    assert Coro.locate("parked", timeout=0) is coro
    assert coro.unregister() == 0
    assert coro.unregister() == -1
    assert Coro.locate("parked", timeout=0) is None
    coro.send(1)


def test_a_name_that_is_taken_is_refused_and_is_free_after_its_end() -> None:
    first, second = Coro(parked), Coro(parked)
    assert first.register("taken") == first.register("taken") == 0
    assert second.register("taken") == second.unregister("taken") == -1
    first.send(1)
    first.value(10)
    assert second.register("taken") == 0
    assert Coro.locate("taken") is second
    second.send(1)


def test_a_coroutine_may_have_several_names_and_its_end_frees_them_all() -> None:
    coro = Coro(parked)
    for name in "abc":
        assert coro.register(f"several {name}") == 0
    coro.terminate()
    poll_until(lambda: [Coro.locate(f"several {name}", timeout=0) for name in "abc"] == [None] * 3)
    assert not coro.is_alive()


def test_one_that_is_over_gets_no_name() -> None:
    coro = Coro(lambda: None)
    coro.value(10)
    assert coro.register("late") == -1
    assert Coro.locate("late", timeout=0) is None


@everywhere
def test_locate_waits_for_a_name_that_appears_later(place: Callable[..., Any]) -> None:
    coro = Coro(parked)
    name = f"later {place.__name__}"
    timer = threading.Timer(0.05, coro.register, [name])
    timer.start()
    assert place(lambda: Coro.locate(name)) is coro
    timer.join()
    coro.send(1)


@pytest.mark.parametrize("timeout", [0, -1, 0.02])
def test_locate_gives_up_at_its_limit(timeout: float) -> None:
    assert Coro.locate("nobody", timeout=timeout) is None
    assert not names.default._listeners


def test_one_that_ends_while_it_is_registered_gets_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    coro = Coro(parked)
    register = names.default.register

    def end_first(kind: str, name: str, target: Any) -> bool:
        coro.send(1)
        coro.value(10)
        return register(kind, name, target)

    monkeypatch.setattr(names.default, "register", end_first)
    assert coro.register("too late") == -1
    assert Coro.locate("too late", timeout=0) is None


@pytest.mark.usefixtures("frequent_switches")
def test_a_name_registered_while_its_coroutine_ends_does_not_stay() -> None:
    for _ in range(2000):
        coro = Coro(lambda: None)
        while coro.is_alive():
            coro.register("ending")
            coro.unregister("ending")
        coro.register("ending")
    poll_until(lambda: Coro.locate("ending", timeout=0) is None)
    assert not names.default.of


def test_a_first_observer_that_comes_while_the_end_passes_is_promised_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    coro = Coro(parked)
    make, told = execution.Execution._make_observers, []

    def make_late(self: Any) -> Any:
        coro.send(1)
        poll_until(lambda: coro.id not in process_exit.alive)
        return make(self)

    monkeypatch.setattr(execution.Execution, "_make_observers", make_late)
    assert coro.add_observer(told.append) is False
    assert coro.add_observer(told.append) is False
    assert told == [] and not coro._observers


# Who keeps the process from ending.


def test_a_coroutine_holds_the_process_unless_it_is_a_daemon() -> None:
    coro = Coro(parked)
    assert coro in process_exit.holding()
    assert coro.set_daemon() == 0
    assert coro not in process_exit.holding()
    assert coro.set_daemon(False) == 0
    assert coro in process_exit.holding()
    coro.send(1)
    coro.value(10)
    poll_until(lambda: coro not in process_exit.holding())


def test_one_that_ends_while_it_becomes_a_daemon_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    coro = Coro(parked)

    class Racing(set[int]):
        def add(self, coro_id: int) -> None:
            coro.send(1)
            coro.value(10)
            poll_until(lambda: coro.id not in process_exit.alive)
            super().add(coro_id)

    monkeypatch.setattr(process_exit, "daemons", Racing())
    coro.set_daemon()
    assert not process_exit.daemons


def test_a_daemon_that_is_over_is_forgotten() -> None:
    coro = Coro(parked)
    coro.set_daemon()
    assert coro.id in process_exit.daemons
    coro.send(1)
    coro.value(10)
    poll_until(lambda: coro.id not in process_exit.daemons)


def test_daemons_that_came_and_went_meanwhile_do_not_hide_one_that_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    coro = Coro(parked)
    # As between two steps of another thread: one more daemon than there is.
    monkeypatch.setattr(process_exit, "daemons", set(process_exit.daemons) | {0, -1, -2})
    assert process_exit._is_held()
    coro.send(1)
    coro.value(10)


def test_an_observer_may_start_the_failed_coroutine_anew() -> None:
    def fails(coro: Coro) -> None:
        coro.receive()
        raise ValueError("of the function")

    def watches(observed: Coro, coro: Coro) -> str:
        coro.monitor(observed)
        observed.add_observer(lambda ended: ended.hot_swap(lambda coro: coro.receive()))
        observed.set_daemon()
        observed.send(1)
        return coro.receive(10).kind

    coro = Coro(fails)
    watcher = Coro(watches, coro)
    assert watcher.value(10) == "exception"
    poll_until(coro.is_alive)
    assert process_exit.alive[coro.id] is coro and coro in process_exit.holding()
    coro.send("again")
    assert coro.value(10) == "again"


@pytest.mark.usefixtures("frequent_switches")
def test_one_that_is_over_never_holds_the_process() -> None:
    for _ in range(3000):
        coro = Coro(lambda: None)
        while coro.is_alive():
            coro.set_daemon(False)
        coro.set_daemon(False)
    poll_until(lambda: not process_exit.holding())


def test_in_a_patched_process_all_of_it_works(run: Run) -> None:
    ended = run(
        """
        import gevent
        def echo(coro=None):
            who, message = coro.receive()
            time.sleep(0.01)                     # patched: gives way
            who.send(message * 2)
        def ask(server, coro=None):
            server.send((coro, 21))
            return coro.receive(timeout=5)
        ticks = []
        def tick():
            for _ in range(3):
                ticks.append(threading.get_ident()); time.sleep(0.005)
        ticking = Coro(tick)
        assert Coro(ask, Coro(echo)).value() == 42
        ticking.value()
        got = []
        thread = threading.Thread(target=lambda: got.append(Coro(ask, Coro(echo)).value(5)))
        thread.start(); thread.join()
        assert got == [42] and len(ticks) == 3
        # The main thread's own greenlets run while it waits for a coroutine.
        mine = []
        gevent.spawn_later(0.01, mine.append, 1)
        def until_then():
            while not mine:
                sleep(0.001)
        Coro(until_then).value()
        parked = Coro(lambda coro: coro.receive())
        try: parked.value(0.01)
        except DeadlineExceeded: print("deadline")
        parked.terminate()
        try: parked.value(5)
        except CoroTerminated: print("terminated")
        """,
        patched=True,
    )
    assert (ended.status, ended.out, ended.err) == (0, "deadline\nterminated\n", "")


def test_another_thread_that_has_the_result_finds_the_name_free_and_the_notice_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_the_middle, go_on = threading.Event(), threading.Event()
    forget = names.Names.forget

    def slow(self: names.Names, bound: Any) -> None:
        if bound is coro:
            in_the_middle.set()
            go_on.wait(10)
        forget(self, bound)

    def registers(coro: Any = None) -> None:
        coro.register("taken for a while")
        coro.receive()

    monkeypatch.setattr(names.Names, "forget", slow)
    watcher = Coro(lambda coro=None: coro.receive())
    coro = Coro(registers)
    poll_until(lambda: names.default.lookup("coro", "taken for a while"))
    assert coro.notify(watcher) == 0
    coro.send("end")
    assert in_the_middle.wait(10)
    timer = threading.Timer(0.1, go_on.set)
    timer.start()
    coro.value(10)
    assert names.default.lookup("coro", "taken for a while") is None
    assert not process_exit.alive.get(coro.id)
    assert isinstance(watcher.value(10), MonitorException)
    timer.join()
