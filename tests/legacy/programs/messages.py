"""Messages between coroutines, with time limits and alarms, suspend and resume.

Prints:

    sum 4950
    alarm too late
    delivered 1
    woken with news
    slept through None
    to one that is over -1
    named found
"""

import asyncoro


def adder(count, coro=None):
    total = 0
    while count > 0:
        total += yield coro.receive()
        count -= 1
    raise StopIteration(total)


def feeder(target, numbers, coro=None):
    for number in numbers:
        target.send(number)
        yield


def impatient(coro=None):
    msg = yield coro.receive(timeout=0.05, alarm_value="too late")
    raise StopIteration(msg)


def sleeper(coro=None):
    update = yield coro.suspend()
    raise StopIteration(update)


def waker(target, coro=None):
    yield coro.sleep(0.05)
    target.resume("news")


def drowsy(coro=None):
    update = yield coro.sleep(0.05)
    raise StopIteration(update)


def deliverer(target, coro=None):
    n = yield target.deliver(5, timeout=1)
    raise StopIteration(n)


def named(coro=None):
    coro.register("a service")
    yield coro.receive()
    coro.unregister("a service")


def finder(coro=None):
    service = yield asyncoro.Coro.locate("a service", timeout=5)
    service.send("done")
    yield service.finish()
    raise StopIteration("found")


if __name__ == "__main__":
    total = asyncoro.Coro(adder, 100)
    for begin in (0, 50):
        asyncoro.Coro(feeder, total, range(begin, begin + 50))
    print("sum %s" % total.value())
    print("alarm %s" % asyncoro.Coro(impatient).value())
    one = asyncoro.Coro(adder, 1)
    print("delivered %s" % asyncoro.Coro(deliverer, one).value())
    one.value()
    sleeping = asyncoro.Coro(sleeper)
    asyncoro.Coro(waker, sleeping)
    print("woken with %s" % sleeping.value())
    print("slept through %s" % asyncoro.Coro(drowsy).value())
    print("to one that is over %s" % one.send(1))
    asyncoro.Coro(named)
    print("named %s" % asyncoro.Coro(finder).value())
