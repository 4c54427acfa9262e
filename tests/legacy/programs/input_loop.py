"""The main thread waits for lines while coroutines work; each line is a task for them.

For the lines "6", "x", "7" and "quit" it prints, beside the ticks:

    6! is 720
    not a number: x
    7! is 5040
    done: 2
"""

import sys

import asyncoro


def ticker(coro=None):
    coro.set_daemon()
    for i in range(3):
        yield coro.sleep(0.02)
        print("tick %d" % i)
        sys.stdout.flush()


def factorials(coro=None):
    done = 0
    while True:
        n = yield coro.receive()
        if n is None:
            break
        result = 1
        for i in range(2, n + 1):
            result *= i
            yield
        done += 1
        print("%s! is %s" % (n, result))
        sys.stdout.flush()
    raise StopIteration(done)


if __name__ == "__main__":
    asyncoro.Coro(ticker)
    computing = asyncoro.Coro(factorials)
    while True:
        try:
            line = input()
        except EOFError:
            break
        if line.strip().lower() in ("quit", "exit"):
            break
        try:
            computing.send(int(line))
        except ValueError:
            print("not a number: %s" % line)
            sys.stdout.flush()
    computing.send(None)
    print("done: %s" % computing.value())
