"""Coroutines with arguments, sub-calls and results.

Prints:

    squares [0, 1, 4, 9, 16]
    two values (3, 'three')
    last yield 42
    nothing None
    by keyword ada 3
    as a thread (1, 2)
    caught lookup failed
    depth 50
    method 7
"""

import asyncoro


def square(n, coro=None):
    yield coro.sleep(0.01)
    raise StopIteration(n * n)


def two_values():
    yield
    raise StopIteration(3, "three")


def last_yield():
    yield 1
    yield 42


def no_value(coro=None):
    yield coro.sleep(0.01)


def greet(greeting, name="nobody", times=1, coro=None):
    yield coro.suspend(0.01)
    raise StopIteration("%s %s %d" % (greeting, name, times))


def pair(a, b):
    yield
    raise StopIteration((a, b))


def lookup(key, coro=None):
    yield
    raise KeyError("lookup")


def careful(coro=None):
    try:
        yield lookup("x")
    except KeyError as exc:
        raise StopIteration("%s failed" % exc.args[0])
    raise StopIteration("no exception")


def nest(depth):
    if depth == 0:
        raise StopIteration(0)
    below = yield nest(depth - 1)
    raise StopIteration(below + 1)


class Counter(object):
    def __init__(self, start):
        self.count = start

    def run(self, steps, coro=None):
        for i in range(steps):
            self.count += 1
            yield coro.sleep(0.001)
        raise StopIteration(self.count)


if __name__ == "__main__":
    coros = [asyncoro.Coro(square, i) for i in range(5)]
    print("squares %s" % [coro.value() for coro in coros])
    print("two values %s" % (asyncoro.Coro(two_values).value(),))
    print("last yield %s" % asyncoro.Coro(last_yield).value())
    print("nothing %s" % asyncoro.Coro(no_value).value())
    print(asyncoro.Coro(greet, "by keyword", times=3, name="ada").value())
    print("as a thread %s" % (asyncoro.Coro(target=pair, args=(1,), kwargs={"b": 2}).value(),))
    print("caught %s" % asyncoro.Coro(careful).value())
    print("depth %s" % asyncoro.Coro(nest, 50).value())
    print("method %s" % asyncoro.Coro(Counter(4).run, 3).value())
