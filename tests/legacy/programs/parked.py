"""Coroutines that all wait for a message; run with their number.

For a million of them it says how many bytes the process takes more, and then prints:

    1000000 were sent a message
"""

import os
import sys

import asyncoro


def memory():
    with open("/proc/self/statm") as fd:
        return int(fd.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def waits(begun, coro=None):
    begun[0] += 1
    n = yield coro.receive()
    raise StopIteration(n)


def main_proc(count, coro=None):
    before, begun = memory(), [0]
    coros = [asyncoro.Coro(waits, begun) for i in range(count)]
    while begun[0] < count:
        yield
    print(memory() - before)
    for each in coros:
        each.send(1)
    total = 0
    for each in coros:
        total += yield each.finish()
    print("%d were sent a message" % total)


if __name__ == "__main__":
    asyncoro.Coro(main_proc, int(sys.argv[1])).value()
