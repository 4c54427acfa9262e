"""Producers and consumers with a condition, and each of the other things to wait for.

Prints:

    consumed [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    at most 2 at a time
    counted 30
    depth 3
    event True False
    try False
    deadline False
"""

import random

import asyncoro


def producer(queue, cv, numbers, coro=None):
    for n in numbers:
        yield coro.sleep(random.uniform(0, 0.01))
        yield cv.acquire()
        queue.append(n)
        cv.notify()
        yield cv.release()


def consumer(queue, cv, coro=None):
    taken = []
    while True:
        yield cv.acquire()
        while not queue:
            yield cv.wait()
        n = queue.pop(0)
        yield cv.release()
        if n is None:
            break
        taken.append(n)
    raise StopIteration(taken)


def limited(semaphore, counts, coro=None):
    yield semaphore.acquire()
    counts["now"] += 1
    counts["most"] = max(counts["most"], counts["now"])
    yield coro.sleep(0.01)
    counts["now"] -= 1
    yield semaphore.release()


def counts_up(lock, counts, coro=None):
    for i in range(10):
        yield lock.acquire()
        n = counts["n"]
        yield
        counts["n"] = n + 1
        lock.release()


def reenter(lock, depth, coro=None):
    yield lock.acquire()
    below = 0
    if depth > 1:
        below = yield reenter(lock, depth - 1, coro)
    lock.release()
    raise StopIteration(below + 1)


def holds(lock, coro=None):
    yield lock.acquire()
    yield coro.receive()
    lock.release()


def sets(event, coro=None):
    yield coro.sleep(0.02)
    event.set()


def main_proc(coro=None):
    queue, cv = [], asyncoro.Condition()
    consumers = [asyncoro.Coro(consumer, queue, cv) for i in range(3)]
    producers = [asyncoro.Coro(producer, queue, cv, range(i, 12, 4)) for i in range(4)]
    for each in producers:
        yield each.finish()
    for each in consumers:
        yield cv.acquire()
        queue.append(None)
        cv.notify_all()
        yield cv.release()
    taken = []
    for each in consumers:
        part = yield each.finish()
        taken.extend(part)
    print("consumed %s" % sorted(taken))

    semaphore, counts = asyncoro.Semaphore(2), {"now": 0, "most": 0}
    for each in [asyncoro.Coro(limited, semaphore, counts) for i in range(6)]:
        yield each.finish()
    print("at most %s at a time" % counts["most"])

    lock, counts = asyncoro.Lock(), {"n": 0}
    for each in [asyncoro.Coro(counts_up, lock, counts) for i in range(3)]:
        yield each.finish()
    print("counted %s" % counts["n"])

    depth = yield asyncoro.Coro(reenter, asyncoro.RLock(), 3).finish()
    print("depth %s" % depth)

    event = asyncoro.Event()
    asyncoro.Coro(sets, event)
    first = yield event.wait()
    event.clear()
    second = yield event.wait(timeout=0.01)
    print("event %s %s" % (first, second))

    holder = asyncoro.Coro(holds, lock)
    yield coro.sleep(0.01)
    got = yield lock.acquire(blocking=False)
    print("try %s" % got)
    got = yield lock.acquire(timeout=0.01)
    print("deadline %s" % got)
    holder.send("release it")


if __name__ == "__main__":
    asyncoro.Coro(main_proc).value()
