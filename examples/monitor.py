"""A coroutine that hears how others end."""

from greencoro import Coro


def quick():
    return 42


def broken():
    return {}["nowhere"]


def patient(coro=None):
    coro.receive()


def show(notice):
    outcome = notice.value if notice.kind == "finished" else repr(notice.error)
    print(notice.coro.name, notice.kind, outcome)


def watcher(coro=None):
    for function in (quick, broken):
        coro.monitor(Coro(function))
        show(coro.receive())
    waiting = Coro(patient)
    coro.monitor(waiting)
    waiting.terminate()
    show(coro.receive())


# What `broken` raised is also told on standard error, with its traceback, as this program set up no logging.
Coro(watcher).finish()
