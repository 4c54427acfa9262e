import pytest

from greencoro import DeadlineExceeded, Terminated, sleep
from greencoro.hub import native
from greencoro.hub.sync import Event
from greencoro.hub.together import Together

from .places import everywhere


@everywhere
def test_functions_run_beside_each_other(place) -> None:  # type: ignore[no-untyped-def]
    def use() -> list[str]:
        log: list[str] = []
        asked, answered = Event(), Event()

        def ask() -> None:
            log.append("question")
            asked.set()
            answered.wait()
            log.append("heard")

        def answer() -> None:
            asked.wait()
            log.append("answer")
            answered.set()

        with Together({"ask": ask, "answer": answer}) as together:
            together.wait_for("answer", None)
            together.wait_for("ask", native.monotonic() + 10)
        return log

    assert place(use) == ["question", "answer", "heard"]


@everywhere
def test_what_is_not_through_is_terminated_and_gone_when_the_block_is_left(place) -> None:  # type: ignore[no-untyped-def]
    def use() -> list[str]:
        log: list[str] = []
        began = Event()

        def task() -> None:
            try:
                began.set()
                Event().wait()
            except Terminated:
                sleep(0)  # it may take its time to clean up
                log.append("cleaned up")
                raise

        with pytest.raises(KeyError), Together({"task": task}):
            began.wait()
            raise KeyError
        return log

    assert place(use) == ["cleaned up"]


def _fail() -> None:
    raise ValueError("of the task")


def test_what_one_raised_is_raised_where_it_is_waited_for_and_not_elsewhere() -> None:
    with Together({"good": lambda: None, "bad": _fail}) as together:
        together.wait_for("good", None)
        together.raise_error("good")
        for _ in range(2):
            with pytest.raises(ValueError, match="of the task"):
                together.wait_for("bad", None)
        with pytest.raises(ValueError, match="of the task"):
            together.raise_error("bad")


def test_a_wait_ends_in_time_and_the_function_goes_on() -> None:
    go, went = Event(), Event()

    def task() -> None:
        go.wait()
        went.set()

    with Together({"task": task}) as together:
        for deadline in (native.monotonic(), native.monotonic() + 0.01):
            with pytest.raises(DeadlineExceeded, match="task was not through in time"):
                together.wait_for("task", deadline)
        together.raise_error("task")  # it has raised nothing yet
        go.set()
        together.wait_for("task", native.monotonic() + 10)
        assert went.is_set()


def test_for_a_name_that_nobody_has_nobody_waits() -> None:
    with Together({}) as together:
        together.wait_for("nobody", None)
        together.raise_error("nobody")
