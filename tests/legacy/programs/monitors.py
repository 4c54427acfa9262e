"""Exit statuses of coroutines as messages to others; exceptions that are thrown into them.

Prints:

    finished: 6
    failed: ZeroDivisionError
    terminated: StopIteration None
    thrown: handled stop it
    notified: StopIteration 10
    one that is over: -1
"""

import asyncoro


def divide(a, b, coro=None):
    yield coro.sleep(0.01)
    raise StopIteration(a // b)


def waits(coro=None):
    yield coro.receive()


def handles(coro=None):
    try:
        yield coro.receive()
    except RuntimeError as exc:
        raise StopIteration("handled %s" % exc.args[0])


def monitor(coro=None):
    for a, b in ((12, 2), (1, 0)):
        worker = asyncoro.Coro(divide, a, b)
        yield coro.monitor(worker)
        exc = yield coro.receive()
        if not isinstance(exc, asyncoro.MonitorException):
            raise StopIteration("a message of another kind: %s" % exc)
        if exc.args[0] != worker:
            raise StopIteration("of another coroutine: %s" % exc)
        if exc.args[1][0] == StopIteration:
            print("finished: %s" % exc.args[1][1])
        else:
            print("failed: %s" % exc.args[1][0].__name__)
    worker = asyncoro.Coro(waits)
    yield coro.monitor(worker)
    worker.terminate()
    exc = yield coro.receive()
    print("terminated: %s %s" % (exc.args[1][0].__name__, exc.args[1][1]))
    worker = asyncoro.Coro(handles)
    yield coro.monitor(worker)
    yield coro.sleep(0.05)
    worker.throw(RuntimeError("stop it"))
    exc = yield coro.receive()
    print("thrown: %s" % exc.args[1][1])
    worker = asyncoro.Coro(divide, 20, 2)
    worker.notify(coro)
    exc = yield coro.receive()
    print("notified: %s %s" % (exc.args[1][0].__name__, exc.args[1][1]))
    status = yield coro.monitor(worker)
    print("one that is over: %s" % status)


if __name__ == "__main__":
    # the failure is expected
    asyncoro.logger.setLevel(asyncoro.logger.ERROR)
    asyncoro.Coro(monitor).value()
