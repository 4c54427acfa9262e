"""Functions that block, in a pool of threads, while coroutines go on.

Prints:

    ticks went on True
    sum 45
    raised no such file
    with keywords ('a', 'b')
    threads True
"""

import threading
import time

import asyncoro


def blocks(seconds):
    time.sleep(seconds)
    return threading.current_thread()


def fails():
    raise IOError("no such file")


def keywords(first, second=None):
    return (first, second)


def ticker(ticks, coro=None):
    coro.set_daemon()
    while True:
        yield coro.sleep(0.01)
        ticks.append(time.time())


def adder(pool, numbers, coro=None):
    total = yield pool.async_task(sum, numbers)
    raise StopIteration(total)


def waits(pool, coro=None):
    thread = yield pool.async_task(blocks, 0.3)
    raise StopIteration(thread is not threading.current_thread())


def main_proc(pool, coro=None):
    ticks = []
    asyncoro.Coro(ticker, ticks)
    waiting = [asyncoro.Coro(waits, pool) for i in range(2)]
    others = []
    for each in waiting:
        other = yield each.finish()
        others.append(other)
    print("ticks went on %s" % (len(ticks) > 3))
    total = yield asyncoro.Coro(adder, pool, range(10)).finish()
    print("sum %s" % total)
    try:
        yield pool.async_task(fails)
    except IOError as exc:
        print("raised %s" % exc.args[0])
    both = yield pool.async_task(keywords, "a", second="b")
    print("with keywords %s" % (both,))
    print("threads %s" % all(others))


if __name__ == "__main__":
    pool = asyncoro.AsyncThreadPool(2)
    asyncoro.Coro(main_proc, pool).value()
    pool.join()
    pool.terminate()
