"""Coroutines that end as they are told, and those who watch them."""

from greencoro.hub.execution import sleep


def end_when_told(coro=None):
    """Ends as its first message says."""
    how = coro.receive()
    if how == "raise":
        raise KeyError("no such thing")
    if how == "wait":
        sleep(60)
    return how


def watch(there, coro=None):
    """The result of monitoring, and the notice."""
    return coro.monitor(there), coro.receive(20)


def open_watches(runtime):
    """The numbers of the watches of whose coroutines it has not heard yet."""
    return [number for link in list(runtime.peer_table.links.values()) for number in link.notices._pending]
