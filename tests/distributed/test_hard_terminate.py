"""terminate(hard=True): it travels, and whoever has a way to end what does not let itself be ended is handed it."""

import pytest

from greencoro.errors import CoroTerminated
from greencoro.hub import execution
from greencoro.hub.coroutine import Coro
from tests.distributed.conftest import reference
from tests.support.polling import poll_until


def wait(coro=None):
    """Waits for one message."""
    return coro.receive()


@pytest.fixture
def handed():
    """The coroutines that a way to end them was handed; it refuses each but the first."""
    came = []

    def end(coro):
        came.append(coro)
        return 0 if len(came) == 1 else -1

    execution.plug_in_hard(end)
    yield came
    execution.plug_in_hard(None)


@pytest.mark.parametrize("hard", [False, True])
def test_M8_where_nobody_has_such_a_way_hard_is_as_ever(runtime_pair, hard):
    coro = runtime_pair.other.spawn(wait)
    assert reference(runtime_pair.one, coro).terminate(hard) == 0
    with pytest.raises(CoroTerminated):
        coro.value(10)
    mine = Coro(wait)
    assert mine.terminate(hard=hard) == 0
    with pytest.raises(CoroTerminated):
        mine.value(10)
    assert mine.terminate(hard=hard) == -1


def test_hard_is_handed_to_who_has_a_way_and_its_answer_travels_back(runtime_pair, handed):
    coro = runtime_pair.other.spawn(wait)
    there = reference(runtime_pair.one, coro)
    assert there.terminate(hard=True) == 0
    assert there.terminate(hard=True) == -1
    assert handed == [coro, coro]
    coro.send("alive")
    assert coro.value(10) == "alive", "what becomes of it is the way's affair"
    assert there.terminate(hard=True) == -1
    assert len(handed) == 2, "it is over"


def test_without_hard_nobody_is_handed_anything(runtime_pair, handed):
    coro = runtime_pair.other.spawn(wait)
    assert reference(runtime_pair.one, coro).terminate() == 0
    with pytest.raises(CoroTerminated):
        coro.value(10)
    assert handed == []


def test_hard_travels_where_the_caller_may_not_wait_as_well(runtime_pair, handed):
    from greencoro.hub import userhub

    coro = runtime_pair.other.spawn(wait)
    there = reference(runtime_pair.one, coro)
    said = []
    userhub.post(lambda: said.append(there.terminate(hard=True)))
    poll_until(lambda: handed == [coro])
    assert said == [0]
    coro.send(None)
    coro.value(10)


def test_a_coroutine_of_this_process_is_handed_over_likewise(handed):
    mine = Coro(wait)
    assert mine.terminate(hard=True) == 0
    assert handed == [mine]
    mine.send(None)
    mine.value(10)


def test_what_such_a_way_raises_ends_no_more_than_the_link(runtime_pair):
    """A bug in it is told, not passed over."""
    coro = runtime_pair.other.spawn(wait)

    def broken(coro):
        raise RuntimeError("a way that leads nowhere")

    execution.plug_in_hard(broken)
    try:
        assert reference(runtime_pair.one, coro).terminate(hard=True) == -1
    finally:
        execution.plug_in_hard(None)
    coro.send("alive")
    assert coro.value(10) == "alive"
