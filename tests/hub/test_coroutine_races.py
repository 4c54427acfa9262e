"""What a coroutine's handle says while the coroutine ends on its hub, in the thread that asks."""

import pytest

from greencoro import Coro, Location


class MailboxOfOneWhoEnds:
    """Takes a message just as its coroutine ends."""

    def __init__(self, coro):
        self._coro = coro
        self._mailbox = coro._mailbox

    def put(self, message):
        self._coro.terminate()
        self._coro._wait_for_end(5)
        self._mailbox.put(message)

    def __getattr__(self, name):
        return getattr(self._mailbox, name)


def wait_for_ever(coro=None):
    coro.receive()


def test_M6_deliver_does_not_confirm_what_came_as_the_coroutine_ended():
    coro = Coro(wait_for_ever)
    coro._mailbox = MailboxOfOneWhoEnds(coro)
    assert coro.deliver("too late") == 0
    assert not coro.is_alive()


def test_locate_at_a_location_needs_a_runtime():
    with pytest.raises(RuntimeError, match="make a Runtime first"):
        Coro.locate("anything", Location("127.0.0.1", 51350), timeout=0)
