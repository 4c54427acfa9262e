"""A coroutine whose function is replaced while it runs, by code that comes as text.

Prints:

    v1 1
    v1 2
    kept version 1: version2
    v1 3
    v2 10
    v2 11
    v2 12
    queued messages were kept
"""

import asyncoro

VERSION2 = """
def version2(factor, coro=None):
    coro.hot_swappable(True)
    while True:
        n = yield coro.receive()
        if n is None:
            break
        print("v2 %s" % (factor + n))
"""


def version1(refuse, coro=None):
    coro.hot_swappable(True)
    while True:
        try:
            n = yield coro.receive()
        except asyncoro.HotSwapException as exc:
            if refuse:
                refuse = False
                print("kept version 1: %s" % exc.args[0].gi_code.co_name)
                continue
            raise
        print("v1 %s" % n)


def compile_version(text, name):
    exec(text)
    return locals()[name]


def changer(server, coro=None):
    for n in (1, 2):
        server.send(n)
        yield coro.sleep(0.02)
    function = compile_version(VERSION2, "version2")
    server.hot_swap(function, 10)
    yield coro.sleep(0.05)
    server.send(3)
    yield coro.sleep(0.05)
    server.hot_swap(function, 10)
    # these wait until the new function asks for them
    for n in (0, 1, 2, None):
        server.send(n)
    yield server.finish()
    print("queued messages were kept")


if __name__ == "__main__":
    server = asyncoro.Coro(version1, True)
    asyncoro.Coro(changer, server).value()
