"""AsynCoro, and the end of the process that it sees to."""

import threading

import pytest

from greencoro.legacy import asyncoro

from .launching import program_fixture, run  # noqa: F401


def result(function, *args):
    return asyncoro.Coro(function, *args).value(20)


def test_there_is_one():
    assert asyncoro.AsynCoro() is asyncoro.AsynCoro("ignored") is asyncoro.AsynCoro.instance()
    assert (asyncoro.AsynCoro().location, asyncoro.AsynCoro().name) == (None, "")


def test_coroutines_know_it_and_themselves_and_other_places_know_nothing():
    def ask(coro=None):
        yield
        raise StopIteration(asyncoro.AsynCoro.scheduler(), asyncoro.AsynCoro.cur_coro(), coro)

    scheduler, current, coro = result(ask)
    assert scheduler is asyncoro.AsynCoro() and current is coro
    assert asyncoro.AsynCoro.scheduler() is None and asyncoro.AsynCoro.cur_coro(scheduler) is None


def test_join_waits_for_all_that_are_no_daemons_and_may_be_done_by_several_threads(capsys):
    def daemon(coro=None):
        coro.set_daemon()
        yield coro.receive()

    def work(coro=None):
        yield coro.sleep(0.05)
        done.append(1)

    done = []
    left = asyncoro.Coro(daemon)
    coro = asyncoro.Coro(work)
    threads = [threading.Thread(target=asyncoro.AsynCoro().join) for _ in range(3)]
    for thread in threads:
        thread.start()
    asyncoro.AsynCoro().join(show_running=True)
    for thread in threads:
        thread.join(20)
    assert done == [1] and left.is_alive() and not any(thread.is_alive() for thread in threads)
    assert f"waiting for {coro}" in capsys.readouterr().out
    left.send(1)
    left.value(10)


@pytest.mark.parametrize("method", ["join", "finish", "terminate"])
def test_a_coroutine_that_would_wait_for_itself_is_told_so(method, capsys):
    def function(coro=None):
        yield
        getattr(asyncoro.AsynCoro(), method)()
        raise StopIteration("goes on")

    assert result(function) == "goes on"
    assert f"{method}() would have a coroutine wait for itself" in capsys.readouterr().out


PRELUDE = """
    import asyncoro, atexit, sys, time

    def daemon(coro=None):
        coro.set_daemon()
        try:
            yield coro.receive()
        finally:
            print("daemon ends")

    def work(coro=None):
        yield coro.sleep(0.05)
        print("work ends")
        yield coro.receive()

    asyncoro.logger.setLevel(asyncoro.logger.ERROR)
"""


def lines(program, text):
    ran = run(program(PRELUDE + text))
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.splitlines()


def test_its_start_is_told_once_at_the_first_coroutine(program):
    ran = run(
        program(
            """
            import asyncoro
            print("before")
            asyncoro.Coro(lambda coro=None: (yield)).value()
            asyncoro.Channel("news")
            asyncoro.AsynCoro()
            """
        )
    )
    before, start = ran.stdout.splitlines()
    assert before == "before"
    assert start.endswith(" asyncoro - version 4.2.1 with epoll I/O notifier") and ran.stderr == ""


def test_at_the_end_the_process_waits_then_calls_functions_by_priority_then_ends_daemons(program):
    assert lines(
        program,
        """
    def late(coro=None):
        yield coro.sleep(0.05)
        print("late ends")

    scheduler = asyncoro.AsynCoro()
    scheduler.atexit(-5, print, "last")
    scheduler.atexit(0, print, "middle", end="!\\n")
    scheduler.atexit(15, lambda: asyncoro.Coro(late))
    scheduler.atexit(10, print, "early")
    atexit.register(print, "python's own")
    asyncoro.Coro(daemon)
    asyncoro.Coro(work).send(1)
    print("main ends")
    """,
    ) == [
        "main ends",
        "work ends",
        "python's own",
        "early",
        "middle!",
        "last",
        "late ends",
        "daemon ends",
    ]


def test_finish_waits_and_stops_for_good(program):
    assert lines(
        program,
        """
    asyncoro.Coro(daemon)
    asyncoro.Coro(work).send(1)
    asyncoro.AsynCoro().finish()
    print("finished")
    try:
        asyncoro.Coro(work)
    except RuntimeError:
        print("none any more")
    """,
    ) == ["work ends", "daemon ends", "finished", "none any more"]


def test_terminate_ends_all_and_stops(program):
    assert lines(
        program,
        """
    asyncoro.Coro(daemon)
    asyncoro.Coro(work)
    time.sleep(0.2)
    asyncoro.AsynCoro().terminate()
    print("terminated")
    """,
    ) == ["work ends", "daemon ends", "terminated"]
