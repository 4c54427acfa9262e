"""What a coroutine says of its end."""

from greencoro import Coro
from tests.support.polling import poll_until


def fail() -> None:
    raise KeyError("gone")


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
