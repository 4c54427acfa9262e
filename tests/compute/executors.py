"""An executor over this process, and calls that wait until a test lets them go."""

import contextlib

from greencoro.hub.completion import Completion
from tests.support.polling import poll_until

gate = Completion()


@contextlib.contextmanager
def opened_gate():
    """`wait` returns when what this gives is called."""
    global gate
    gate = Completion()
    yield lambda: gate.set("opened")
    gate.set("opened")


def square(x):
    return x * x


def wait():
    gate.wait()
    return gate.value


def receive(coro=None):
    return coro.receive()


def busy(executor):
    """A future that runs until the gate is opened."""
    future = executor.submit(wait)
    poll_until(future.running)
    return future
