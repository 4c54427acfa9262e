"""The end of a program: who is waited for, who is closed, and in which order.

Prints:

    main is over
    worker is over
    priority 10
    priority 5
    daemon is closed
"""

import asyncoro


def worker(coro=None):
    yield coro.sleep(0.2)
    print("worker is over")


def background(coro=None):
    coro.set_daemon()
    try:
        while True:
            yield coro.receive()
    finally:
        print("daemon is closed")


def later(priority):
    print("priority %s" % priority)


if __name__ == "__main__":
    scheduler = asyncoro.AsynCoro()
    scheduler.atexit(5, later, 5)
    scheduler.atexit(10, later, 10)
    asyncoro.Coro(background)
    asyncoro.Coro(worker)
    print("main is over")
