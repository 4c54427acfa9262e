"""A server whose function is replaced while it runs, and that keeps its messages."""

from greencoro import Coro, HotSwapException


def english(coro=None):
    coro.hot_swappable(True)
    while True:
        try:
            who, name = coro.receive()
        except HotSwapException as swap:
            # Catching it and going on would refuse.
            print("english makes room for", swap.args[0].__name__)
            raise
        who.send(f"Hello {name}")


def french(coro=None):
    while True:
        who, name = coro.receive()
        who.send(f"Bonjour {name}")


def guest(greeter, coro=None):
    greeter.send((coro, "Ada"))
    print(coro.receive(timeout=5))
    greeter.hot_swap(french)
    greeter.send((coro, "Ada"))
    print(coro.receive(timeout=5))


greeter = Coro(english)
greeter.set_daemon()
Coro(guest, greeter).finish()
