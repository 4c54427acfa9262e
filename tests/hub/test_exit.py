"""The end of the process: programs of their own, looked at from outside."""

import dataclasses
import re
import signal
import sys

import pytest

from greencoro.hub import exit as process_exit

from .conftest import Ended, Run

INTERRUPTED = -signal.SIGINT

# 3.12.0 and 3.12.1 start no thread any more once the main thread is through.
needs_late_threads = pytest.mark.skipif(
    (3, 12) <= sys.version_info[:3] < (3, 12, 2), reason="this Python starts no thread while it ends"
)
both = pytest.mark.parametrize("patched", [False, True], ids=["unpatched", "patched"])


def check_interrupted(ended: Ended, out: str) -> None:
    assert (ended.status, ended.out, ended.err) == (INTERRUPTED, out, ""), ended
    assert ended.seconds < 10, ended


def check_cut_off(ended: Ended, names: str) -> None:
    sentence = f"greencoro: the program ends, and cuts off what did not end within 1 s of being told to: {names}\n"
    assert re.fullmatch(sentence, ended.err), ended


# The end of the script.


def test_to_wait_for_coroutines_may_have_a_limit_and_says_whether_they_are_over(run: Run) -> None:
    ended = run(
        """
        waiting = Coro(lambda coro: coro.receive())
        print(process_exit.wait_for_coroutines(0.01), process_exit.wait_for_coroutines(0), waiting.is_alive())
        waiting.send("end")
        print(process_exit.wait_for_coroutines(10), process_exit.wait_for_coroutines(), waiting.is_alive())
        """
    )
    assert (ended.status, ended.out) == (0, "False False True\nTrue True False\n"), ended


@both
def test_the_end_waits_for_coroutines_but_not_for_daemons_whose_finally_blocks_run(run: Run, patched: bool) -> None:
    ended = run(
        """
        process_exit.GRACE_SECONDS = 10  # slow machines need longer
        def works():
            while not process_exit._waiting:
                sleep(0.01)
            print("worked")
            Coro(late)
        def late():
            sleep(0.05)
            print("late worked")
        def serves(coro=None):
            try:
                coro.receive()
            finally:
                sleep(0.01)
                print("daemon cleaned up")
        Coro(serves).set_daemon()
        Coro(works)
        print("script over")
        """,
        patched=patched,
    )
    assert ended.out == "script over\nworked\nlate worked\ndaemon cleaned up\n", ended.err
    assert (ended.status, ended.err) == (0, "")
    assert ended.seconds < 10


@pytest.mark.parametrize(
    ("last_line", "status", "err"),
    [
        ("sys.exit(3)", 3, ""),
        ("sys.exit('sentence')", 1, "sentence\n"),
        ("raise ValueError('of main')", 1, "ValueError: of main\n"),
    ],
)
def test_the_status_is_the_main_threads_and_the_coroutines_still_end(
    run: Run, last_line: str, status: int, err: str
) -> None:
    ended = run(
        f"""
        def works():
            sleep(0.05)
            print("worked")
        Coro(works)
        {last_line}
        """
    )
    assert (ended.status, ended.out) == (status, "worked\n")
    assert ended.err.endswith(err)
    assert ended.err.startswith("Traceback") == ("raise" in last_line)


def test_a_coroutine_that_fails_does_not_change_the_status(run: Run) -> None:
    ended = run("Coro(lambda: 1 / 0)")
    assert ended.status == 0
    assert ended.err.startswith("greencoro: uncaught exception in coroutine") and ended.err.endswith(
        "ZeroDivisionError: division by zero\n"
    )


@pytest.mark.parametrize("status", ["", "3", "'sentence'"])
def test_sys_exit_in_a_coroutine_ends_that_coroutine_only_and_is_told(run: Run, status: str) -> None:
    ended = run(f"Coro(lambda: sys.exit({status}))\nsleep(0.05)\nprint('script goes on')")
    assert (ended.status, ended.out) == (0, "script goes on\n")
    assert ended.err.count("uncaught exception in coroutine") == 1 and "SystemExit" in ended.err.splitlines()[-1]


def test_what_value_raises_ends_the_script_as_if_it_were_its_own(run: Run) -> None:
    assert run("Coro(lambda: sys.exit(3)).value()").status == 3
    assert run("Coro(lambda: 1 / 0).value()").status == 1


def test_a_finally_block_that_takes_longer_than_the_grace_is_cut_off_and_named(run: Run) -> None:
    ended = run(
        """
        process_exit.GRACE_SECONDS = 1.5
        def serves(coro=None):
            try: coro.receive()
            finally: sleep(60)
        def ends(coro=None):
            try: coro.receive()
            finally: sleep(0.01)
        for _ in range(6): Coro(serves).set_daemon()
        Coro(ends).set_daemon()
        Coro(lambda: None).value()  # by now they wait
        """
    )
    assert ended.err.startswith("greencoro: the program ends, and cuts off what did not end within 1.5 s of being told")
    assert ended.err.endswith(" in serves() and 1 more\n") and ended.err.count("sleeps at ") == 5
    assert "ends/7" not in ended.err


@needs_late_threads
# Not "patched, left open": gevent's queues, on which the pool is built then, do not work across threads.
@pytest.mark.parametrize(
    ("patched", "closing"),
    [(False, ""), (False, "pool.shutdown()"), (True, "pool.shutdown()")],
    ids=["left open", "closed", "patched, closed"],
)
def test_thread_pools_and_threads_work_during_the_wait(run: Run, patched: bool, closing: str) -> None:
    ended = run(
        f"""
        Coro(lambda: None).value()
        from concurrent.futures import ThreadPoolExecutor
        def works():
            sleep(0.1)
            pool = ThreadPoolExecutor(2)
            print(list(pool.map(abs, [-1, -2])))
            {closing}
            thread = threading.Thread(target=print, args=["from a thread"])
            thread.start(); thread.join()
        Coro(works)
        """,
        patched=patched,
    )
    assert (ended.status, ended.out, ended.err) == (0, "[1, 2]\nfrom a thread\n", "")


@needs_late_threads
def test_a_thread_that_outlives_the_main_thread_may_go_on_creating_coroutines(run: Run) -> None:
    ended = run(
        """
        def work():
            time.sleep(0.2)
            print(Coro(lambda: "first").value(5))
            def late():
                sleep(0.1)
                print("second")
            Coro(late)
        threading.Thread(target=work).start()
        """
    )
    assert (ended.status, ended.out, ended.err) == (0, "first\nsecond\n", "")


def test_exit_functions_registered_later_still_use_coroutines_and_earlier_ones_are_refused_them(run: Run) -> None:
    ended = run(
        """
        import atexit
        def earlier():
            try: Coro(print, "never")
            except RuntimeError as error: print("earlier:", error)
        atexit.register(earlier)
        Coro(lambda: None).value()
        atexit.register(lambda: Coro(print, "later").value(5))
        """
    )
    assert ended.out == "later\nearlier: no coroutine can be created: the process is ending\n", ended.err
    assert (ended.status, ended.err) == (0, "")


def test_a_program_without_coroutines_ends_as_ever(run: Run) -> None:
    ended = run("process_exit.prepare()\nprint('over')")
    assert (ended.status, ended.out, ended.err) == (0, "over\n", "")


def test_a_daemon_that_computes_without_end_delays_the_end_by_the_grace_only(run: Run) -> None:
    ended = run(
        """
        def computes():
            while True: pass
        coro = Coro(computes)
        coro.set_daemon()
        time.sleep(0.1)
        print("over")
        sys.exit(4)
        """
    )
    assert (ended.status, ended.out) == (4, "over\n")
    check_cut_off(ended, r"computes/1 runs at .*program\.py:\d+ in computes\(\)")
    assert ended.seconds < 15


def test_a_daemon_that_refuses_to_end_is_left_behind(run: Run) -> None:
    ended = run(
        """
        def stays(coro=None):
            while True:
                try: coro.receive()
                except Terminated: print("no")
        coro = Coro(stays)
        coro.set_daemon()
        while coro._mailbox._receiver is None: sleep(0.001)
        """
    )
    assert (ended.status, ended.out) == (0, "no\n")
    check_cut_off(ended, r"stays/1 waits in receive\(\) at .*program\.py:\d+ in stays\(\)")
    assert ended.seconds < 15


def test_ten_thousand_parked_daemons_end_with_the_process(run: Run) -> None:
    ended = run(
        """
        import atexit
        process_exit.GRACE_SECONDS = 15  # slow machines need longer
        ended = []
        atexit.register(lambda: print(len(ended)))
        def parked(coro=None):
            try: coro.receive()
            finally: ended.append(1)
        for _ in range(10_000): Coro(parked).set_daemon()
        Coro(lambda: None).value()
        """
    )
    assert (ended.status, ended.out, ended.err) == (0, "10000\n", "")


def test_where_a_person_looks_on_the_wait_says_what_it_waits_for(run: Run) -> None:
    ended = run(
        """
        process_exit._SAY_AFTER_SECONDS = 0.05
        sys.stderr.isatty = lambda: True
        said, say = [], process_exit._say_what_is_waited_for
        process_exit._say_what_is_waited_for = lambda: said.append(say())
        def slow():
            while not said: sleep(0.01)
        for _ in range(7): Coro(slow)
        """
    )
    assert ended.err.startswith("greencoro: waiting for slow/")
    assert ended.err.endswith("and 2 more to finish (Ctrl-C ends them)\n")


# Closers.


def test_closers_run_once_by_priority_after_the_coroutines_and_may_send_and_wait(run: Run) -> None:
    ended = run(
        """
        def server(coro=None):
            while True:
                print("served", coro.receive())
        served = Coro(server)
        served.set_daemon()
        def closer(name):
            def close():
                served.send(name)
                Coro(sleep, 0.01).value(5)
                print("closed", name)
            return close
        def fails():
            process_exit.at_exit(99, closer("registered late"))
            raise ValueError("of the closer")
        dropped = closer("cancelled")
        process_exit.at_exit(1, closer("low"))
        process_exit.at_exit(10, closer("high"))
        process_exit.at_exit(20, dropped)
        process_exit.at_exit(5, fails)
        process_exit.cancel_at_exit(dropped)
        process_exit.cancel_at_exit(dropped)
        def works():
            sleep(0.05)
            print("worked")
        Coro(works)
        """
    )
    assert ended.out.splitlines() == [
        "worked",
        *("served high", "closed high"),
        *("served registered late", "closed registered late"),
        *("served low", "closed low"),
    ], ended
    assert ended.status == 0


def test_coroutines_that_a_closer_leaves_are_waited_for(run: Run) -> None:
    ended = run(
        """
        def farewell():
            sleep(0.05)
            print("farewell")
        process_exit.at_exit(1, lambda: Coro(farewell))
        Coro(lambda: None).value()
        """
    )
    assert (ended.status, ended.out, ended.err) == (0, "farewell\n", "")


def test_those_that_a_closer_above_0_leaves_are_over_before_the_network_is_closed(run: Run) -> None:
    ended = run(
        """
        def farewell(whose):
            sleep(0.05)
            print("farewell", whose)
        process_exit.at_exit(0, lambda: (print("network"), Coro(farewell, "late")))
        process_exit.at_exit(0.5, lambda: Coro(farewell, "half"))
        Coro(lambda: None).value()
        """
    )
    assert (ended.status, ended.out.splitlines(), ended.err) == (0, ["farewell half", "network", "farewell late"], "")


# Ctrl-C. What stands here is where the main thread is when it comes.

MAIN_THREAD = {
    "in the wait at the end": "threading.Thread(target=tell_of_the_wait).start()",
    "in time.sleep()": "ready(); time.sleep(60)",
    "in sleep()": "ready(); sleep(60)",
    "in value()": "ready(); waiting.value()",
    "in value() with a limit": "ready(); waiting.value(60)",
    "computing": "ready()\nwhile True: pass",
}

PROGRAM = """
import atexit
process_exit.GRACE_SECONDS, process_exit._INTERRUPTED_SECONDS = 15, 18  # slow machines need longer
atexit.register(lambda: print("exit function"))
def tell_of_the_wait():
    while not process_exit._waiting:
        time.sleep(0.001)
    ready()
def waits(coro=None):
    try:
        coro.receive()
    finally:
        print("cleaned up")
waiting = Coro(waits)
process_exit.at_exit(1, lambda: print("closed"))
while waiting._mailbox._receiver is None:
    sleep(0.001)
print("not flushed yet")
"""


@both
@pytest.mark.parametrize("where", MAIN_THREAD.values(), ids=MAIN_THREAD.keys())
def test_ctrl_c_ends_the_program_in_order_and_in_silence(run: Run, where: str, patched: bool) -> None:
    ended = run(PROGRAM + where, patched=patched, interrupts=1)
    check_interrupted(ended, "not flushed yet\ncleaned up\nclosed\nexit function\n")


@both
def test_ctrl_c_where_the_main_thread_has_a_hub_of_its_own(run: Run, patched: bool) -> None:
    program = "import gevent; gevent.sleep(0.01)\n" + PROGRAM + "ready(); waiting.value()"
    ended = run(program, patched=patched, interrupts=1)
    check_interrupted(ended, "not flushed yet\ncleaned up\nclosed\nexit function\n")


def test_ctrl_c_while_a_coroutine_computes_without_end(run: Run) -> None:
    ended = run(
        PROGRAM
        + "process_exit.GRACE_SECONDS = 1.0\n"
        + "def computes():\n    tell_of_the_wait()\n    while True: pass\nCoro(computes)",
        interrupts=1,
    )
    # The one that computes lets no other clean up; what the main thread has to do is done.
    check_cut_off(ended, r"waits/1 .*, computes/2 runs at .*program\.py:\d+ in computes\(\)")
    check_interrupted(dataclasses.replace(ended, err=""), "not flushed yet\nclosed\nexit function\n")


def test_ctrl_c_does_not_wait_for_a_closer_that_hangs(run: Run) -> None:
    assert process_exit._INTERRUPTED_SECONDS < 2
    as_users_have_it = f"process_exit._INTERRUPTED_SECONDS = {process_exit._INTERRUPTED_SECONDS}\n"
    hangs = "process_exit.at_exit(0, lambda: native.Event().wait())\nready(); time.sleep(60)"
    ended = run(PROGRAM + as_users_have_it + hangs, interrupts=1)
    assert (ended.status, ended.err) == (INTERRUPTED, "")
    assert ended.seconds < 10, ended


def test_ctrl_c_twice_kills_at_once(run: Run) -> None:
    # The closer would use up all the time there is, so the second comes there.
    ended = run(
        """
        process_exit._INTERRUPTED_SECONDS = 60
        process_exit.at_exit(0, lambda: (os.kill(os.getpid(), signal.SIGINT), time.sleep(60)))
        Coro(lambda: None).value()
        ready()
        time.sleep(60)
        """,
        interrupts=1,
    )
    assert ended.status == INTERRUPTED
    assert ended.seconds < 10, ended


def test_ctrl_c_that_the_program_catches_ends_nothing(run: Run) -> None:
    ended = run(
        """
        waiting = Coro(lambda coro: coro.receive())
        try:
            ready()
            waiting.value()
        except KeyboardInterrupt:
            print("caught")
        waiting.send("went on")
        print(waiting.value(5))
        """,
        interrupts=1,
    )
    assert (ended.status, ended.out, ended.err) == (0, "caught\nwent on\n", "")


def test_ctrl_c_is_seen_where_the_program_set_an_excepthook_of_its_own(run: Run) -> None:
    ended = run(
        PROGRAM + "sys.excepthook = lambda kind, error, trace: print('hook', kind.__name__)\nready(); time.sleep(60)",
        interrupts=1,
    )
    check_interrupted(ended, "not flushed yet\nhook KeyboardInterrupt\ncleaned up\nclosed\nexit function\n")


def test_other_exceptions_reach_the_excepthook_that_was_there(run: Run) -> None:
    ended = run(
        """
        sys.excepthook = lambda kind, error, trace: print("hook", error)
        Coro(lambda: None).value()
        raise ValueError("of main")
        """
    )
    assert (ended.status, ended.out, ended.err) == (1, "hook of main\n", "")


def test_ctrl_c_while_the_closers_run_at_the_end(run: Run) -> None:
    ended = run(
        """
        def slow():
            ready()
            time.sleep(60)
        process_exit.at_exit(2, slow)
        process_exit.at_exit(1, lambda: print("closed"))
        Coro(lambda: None).value()
        """,
        interrupts=1,
    )
    check_interrupted(ended, "closed\n")


def test_ctrl_c_with_a_closed_output_still_ends_by_the_signal(run: Run) -> None:
    ended = run(
        """
        Coro(lambda: None).value()
        ready()
        sys.stdout.close(); sys.stderr.close()
        time.sleep(60)
        """,
        interrupts=1,
    )
    assert ended.status == INTERRUPTED, ended
