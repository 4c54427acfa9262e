"""What a coroutine says of its end."""

import dataclasses
from typing import Any

import pytest

from greencoro import AsyncThreadPool, Coro, CoroTerminated
from greencoro.hub import exit as process_exit
from tests.support.polling import poll_until

from .places import parked


def fail() -> None:
    raise KeyError("gone")


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """One that nothing can be assigned to."""

    number: int


def fail_frozen() -> None:
    raise Frozen(1)


def generate_frozen() -> Any:
    yield 0
    yield generate_frozen_below()


def generate_frozen_below() -> Any:
    yield 0
    raise Frozen(1)


def fail_frozen_in_a_pool() -> None:
    with AsyncThreadPool(1) as pool:
        pool.async_task(fail_frozen)


@pytest.mark.parametrize("function", [fail_frozen, generate_frozen, fail_frozen_in_a_pool])
def test_an_exception_that_refuses_every_assignment_ends_a_coroutine_as_any_other(function: Any) -> None:
    coro = Coro(function)
    with pytest.raises(Frozen) as caught:
        coro.value(10)
    assert caught.value == Frozen(1)
    assert not coro.is_alive()


def ended() -> tuple[Coro, Coro, Coro]:
    coros = Coro(lambda: 5), Coro(fail), Coro(lambda coro: coro.receive())
    coros[2].terminate()
    poll_until(lambda: not any(coro.is_alive() for coro in coros), what="all are over")
    return coros


def test_the_notice_says_how_it_ended() -> None:
    finished, failed, terminated = (coro.notice() for coro in ended())
    assert (finished.kind, finished.value, finished.error, finished.traceback_text) == ("finished", 5, None, "")
    assert (failed.kind, failed.value, repr(failed.error)) == ("exception", None, "KeyError('gone')")
    assert failed.traceback_text.endswith("KeyError: 'gone'")
    assert (terminated.kind, terminated.value, terminated.error, terminated.traceback_text) == (
        "terminated",
        None,
        None,
        "",
    )


def test_the_notice_unpacks_as_old_programs_do() -> None:
    finished, failed, terminated = ended()
    coro, (kind, value) = finished.notice().args
    assert (coro, kind, value) == (finished, StopIteration, 5)
    coro, (kind, value) = failed.notice().args
    assert (coro, kind, repr(value)) == (failed, KeyError, "KeyError('gone')")
    coro, (kind, value) = terminated.notice().args
    assert (coro, kind, value) == (terminated, StopIteration, None)


def test_the_notice_of_a_terminated_generator_has_its_last_value_where_old_programs_look() -> None:
    def generator(coro: Any) -> Any:
        yield "last"
        yield coro.receive()

    coro = Coro(generator)
    poll_until(lambda: coro._routine is not None and coro._mailbox._receiver is not None)
    coro.terminate()
    with pytest.raises(CoroTerminated):
        coro.value(10)
    notice = coro.notice()
    assert notice.args == (coro, (StopIteration, "last"))
    assert (notice.kind, notice.value, notice.error) == ("terminated", None, None)


def test_a_subclass_whose_objects_have_no_hash_runs_and_leaves_nothing_behind() -> None:
    class Unhashable(Coro):
        def __eq__(self, other: object) -> bool:
            return NotImplemented

    def monitors(coro: Any) -> tuple[int, int, str]:
        return coro.monitor(unhashable), coro.link(unhashable), unhashable.send("end") or coro.receive().kind

    unhashable = Unhashable(parked)
    unhashable.set_daemon()
    assert unhashable.register("unhashable") == 0 and Coro.locate("unhashable", timeout=0) is unhashable
    assert Coro(monitors).value(10) == (0, 0, "finished")
    assert unhashable.value(10) == "end"
    poll_until(lambda: unhashable.id not in process_exit.alive and unhashable.id not in process_exit.daemons)


@pytest.mark.parametrize("flag", ["x", 1, None])
def test_set_daemon_takes_a_bool_and_nothing_else(flag: Any) -> None:
    coro = Coro(parked)
    with pytest.raises(TypeError, match=r"set_daemon\(\) takes True or False, not "):
        coro.set_daemon(flag)
    assert coro.id not in process_exit.daemons
    coro.send(None)
