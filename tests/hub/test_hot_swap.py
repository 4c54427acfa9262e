"""Hot swap, of plain functions and of generators in both ways of waiting, and starting a failed coroutine anew."""

from __future__ import annotations

from types import GeneratorType
from typing import Any

import pytest

from greencoro import Coro, CoroTerminated, DeadlineExceeded, HotSwapException, sleep
from greencoro.hub import exit as process_exit
from greencoro.hub import native
from tests.support.polling import poll_until

from .generator_modes import on_hub, parking_fixture, waits  # noqa: F401

pytestmark = pytest.mark.usefixtures("parking")


def plain_server(answer: str, coro: Any = None) -> Any:
    coro.hot_swappable(True)
    while True:
        message = coro.receive()
        if message is None:
            return answer
        message.append(answer)


def generator_server(answer: str, coro: Any = None) -> Any:
    coro.hot_swappable(True)
    while True:
        message = yield coro.receive()
        if message is None:
            return answer
        message.append(answer)


def bound_generator_server(answer: str, coro: Any = None) -> Any:
    coro.hot_swappable(True)
    while True:
        try:
            message = yield coro.receive()
        finally:
            answer += "."
        if message is None:
            return answer
        message.append(answer)


SERVERS = [plain_server, generator_server, bound_generator_server]
each_server = pytest.mark.parametrize("server", SERVERS, ids=lambda each: each.__name__)
each_successor = pytest.mark.parametrize("successor", SERVERS[:2], ids=lambda each: each.__name__)


@each_server
@each_successor
def test_a_swappable_coroutine_goes_on_as_the_new_function_with_its_messages(server: Any, successor: Any) -> None:
    coro = Coro(server, "old")
    waits(coro)
    box: list[str] = []

    def act() -> None:
        coro.send(box)
        assert coro.hot_swap(successor, "new") == 0
        coro.send(box)
        coro.send(box)

    on_hub(act)
    poll_until(lambda: len(box) == 3)
    assert [answer.strip(".") for answer in box] == ["old", "new", "new"]
    assert coro.name == successor.__name__
    assert Coro(lambda: coro.is_alive()).value(10)
    coro.send(None)
    assert coro.value(10) == "new"


@each_server
def test_swaps_may_follow_each_other_from_plain_to_generator_and_back(server: Any) -> None:
    coro = Coro(server, "0")
    for number in range(1, 30):
        waits(coro)
        assert coro.hot_swap(SERVERS[number % 3], str(number)) == 0
        poll_until(lambda number=number: coro.name == SERVERS[number % 3].__name__)  # type: ignore[misc]
    waits(coro)
    coro.send(None)
    assert coro.value(10).strip(".") == "29"


def refusing(coro: Any = None) -> Any:
    refused: list[Any] = []
    coro.hot_swappable(True)
    while True:
        try:
            message = yield coro.receive()
        except HotSwapException as request:
            refused.append(request)
            continue
        return message, refused


def test_a_generator_is_given_the_new_generator_and_may_refuse_it() -> None:
    coro = Coro(refusing)
    waits(coro)
    assert coro.hot_swap(generator_server, "new") == 0
    poll_until(lambda: coro._swap is None and coro._pending is None)
    waits(coro)
    coro.send("went on")
    message, (request,) = coro.value(10)
    assert message == "went on"
    (made,) = request.args
    assert isinstance(made, GeneratorType) and made.__name__ == "generator_server"
    assert made.gi_code is generator_server.__code__
    assert made.gi_frame.f_locals["coro"] is coro
    made.close()


def test_a_plain_successor_is_named_by_its_function() -> None:
    coro = Coro(refusing)
    waits(coro)
    coro.hot_swap(plain_server, "new")
    poll_until(lambda: coro._swap is None and coro._pending is None)
    waits(coro)
    coro.send(None)
    _, (request,) = coro.value(10)
    assert request.args == (plain_server,)


def test_letting_it_by_after_a_look_accepts() -> None:
    looked = []

    def looks(coro: Any = None) -> Any:
        coro.hot_swappable(True)
        try:
            yield coro.receive()
        except HotSwapException as request:
            looked.append(request.args[0].__name__)
            raise
        finally:
            looked.append("closed")

    coro = Coro(looks)
    waits(coro)
    coro.hot_swap(generator_server, "new")
    poll_until(lambda: coro.name == "generator_server")
    waits(coro)
    coro.send(None)
    assert coro.value(10) == "new"
    assert looked == ["generator_server", "closed"]


def test_a_swap_asked_for_too_early_is_remembered_and_the_last_one_counts() -> None:
    def not_yet(coro: Any = None) -> Any:
        yield coro.receive()
        coro.hot_swappable(True)
        while True:
            yield coro.receive()

    coro = Coro(not_yet)
    waits(coro)
    assert coro.hot_swap(generator_server, "first") == 0
    assert coro.hot_swap(generator_server, "second") == 0
    waits(coro)
    assert coro.name == "not_yet"
    coro.send("now")
    poll_until(lambda: coro.name == "generator_server")
    waits(coro)
    coro.send(None)
    assert coro.value(10) == "second"


def test_a_swap_waits_for_the_end_of_a_sub_call() -> None:
    order = []

    def sub(coro: Any) -> Any:
        order.append((yield coro.receive()))
        order.append((yield coro.receive()))
        coro.hot_swappable(True)
        order.append((yield coro.receive()))

    def calls(coro: Any = None) -> Any:
        coro.hot_swappable(True)
        try:
            yield sub(coro)
            order.append("after")
            while True:
                yield coro.receive()
        except HotSwapException:
            order.append("asked")
            raise

    coro = Coro(calls)
    waits(coro)
    assert coro.hot_swap(generator_server, "new") == 0
    for message in "abc":
        waits(coro)
        assert coro.name == "calls"
        coro.send(message)
    poll_until(lambda: coro.name == "generator_server")
    assert order == ["a", "b", "c", "after", "asked"]
    waits(coro)
    coro.send(None)
    assert coro.value(10) == "new"


def test_a_swap_asked_for_outside_that_meets_a_sub_call_waits_for_its_end() -> None:
    order = []

    def sub(coro: Any) -> Any:
        yield coro.receive()
        order.append("sub")

    def calls(coro: Any = None) -> Any:
        coro.hot_swap(generator_server, "new")
        coro.hot_swappable(True)
        yield sub(coro)
        order.append("after")
        yield coro.receive()

    coro = Coro(calls)
    waits(coro)
    assert coro.name == "calls"
    coro.send(1)
    poll_until(lambda: coro.name == "generator_server")
    assert order == ["sub", "after"]
    waits(coro)
    coro.send(None)
    assert coro.value(10) == "new"


def test_no_longer_swappable_it_is_not_asked() -> None:
    def changes_its_mind(coro: Any = None) -> Any:
        coro.hot_swappable(True)
        coro.hot_swappable(False)
        return (yield coro.receive())

    coro = Coro(changes_its_mind)
    waits(coro)
    assert coro.hot_swap(generator_server, "new") == 0
    coro.send("went on")
    assert coro.value(10) == "went on"


def test_only_the_coroutine_itself_says_that_it_is_swappable() -> None:
    coro = Coro(generator_server, "old")
    waits(coro)
    assert coro.hot_swappable(True) == -1
    assert on_hub(lambda: coro.hot_swappable(False)) == -1
    coro.send(None)
    coro.value(10)


def test_arguments_that_do_not_fit_are_told_at_the_call_and_one_that_is_over_is_not_swapped() -> None:
    coro = Coro(generator_server, "old")
    with pytest.raises(TypeError, match="missing a required argument: 'answer'"):
        coro.hot_swap(generator_server)
    with pytest.raises(TypeError, match="a coroutine runs a function"):
        coro.hot_swap(5)  # type: ignore[arg-type]
    coro.send(None)
    coro.value(10)
    assert coro.hot_swap(generator_server, "new") == -1


@each_server
def test_one_that_is_terminated_while_a_swap_is_under_way_ends(server: Any) -> None:
    coro = Coro(server, "old")
    waits(coro)

    def act() -> None:
        coro.hot_swap(generator_server, "new")
        coro.terminate()

    on_hub(act)
    with pytest.raises(CoroTerminated):
        coro.value(10)


# Starting a failed one anew.


def fails(coro: Any = None) -> Any:
    coro.receive()
    raise KeyError("failed")


def fails_as_generator(coro: Any = None) -> Any:
    yield coro.receive()
    raise KeyError("failed")


def monitor(observed: Any, told: list[Any], coro: Any = None) -> Any:
    coro.monitor(observed)
    while (notice := coro.receive()) is not None:
        told.append(notice.kind)


def start_monitored(function: Any) -> tuple[Coro, Coro, list[Any]]:
    told: list[Any] = []
    coro = Coro(function)
    watcher = Coro(monitor, coro, told)
    waits(coro)
    waits(watcher)
    return coro, watcher, told


@pytest.mark.parametrize("function", [fails, fails_as_generator])
@each_successor
def test_a_failed_coroutine_that_is_monitored_starts_anew(function: Any, successor: Any) -> None:
    coro, watcher, told = start_monitored(function)
    coro.send(1)
    with pytest.raises(KeyError, match="failed"):
        coro.value(10)
    poll_until(lambda: told == ["exception"])
    assert not coro.is_alive() and coro.send("lost") == -1
    assert coro.hot_swap(successor, "anew") == 0
    waits(coro)
    assert coro.is_alive() and coro.name == successor.__name__
    assert coro in process_exit.holding() and process_exit.alive[coro.id] is coro
    with pytest.raises(DeadlineExceeded):
        coro.value(0.01)
    box: list[str] = []
    coro.send(box)
    coro.send(None)
    assert coro.value(10) == "anew" and box == ["anew"]
    # The monitor is one still.
    poll_until(lambda: told == ["exception", "finished"])
    assert coro.hot_swap(successor, "again") == -1
    watcher.send(None)
    watcher.value(10)


def test_one_may_fail_and_start_anew_time_after_time() -> None:
    coro, watcher, told = start_monitored(fails_as_generator)
    for number in range(5):
        coro.send(1)
        poll_until(lambda number=number: len(told) == number + 1)  # type: ignore[misc]
        assert coro.hot_swap(fails_as_generator) == 0
        waits(coro)
    coro.terminate()
    poll_until(lambda: told == ["exception"] * 5 + ["terminated"])
    assert coro.hot_swap(fails_as_generator) == -1
    watcher.send(None)
    watcher.value(10)


def test_a_failed_coroutine_that_nobody_monitors_stays_failed() -> None:
    coro, watcher, _ = start_monitored(fails)
    watcher.send(None)
    watcher.value(10)
    coro.send(1)
    with pytest.raises(KeyError):
        coro.value(10)
    assert coro.hot_swap(generator_server, "anew") == -1
    coro, watcher, told = start_monitored(fails)
    coro.send(1)
    poll_until(lambda: told == ["exception"])
    watcher.send(None)
    watcher.value(10)
    assert coro.hot_swap(generator_server, "anew") == -1
    alone = Coro(fails)
    alone.send(1)
    with pytest.raises(KeyError):
        alone.value(10)
    assert alone.hot_swap(generator_server, "anew") == -1


def test_a_limit_of_the_mailbox_holds_after_the_restart_too() -> None:
    coro, watcher, told = start_monitored(fails)
    coro.max_mailbox = 7
    coro.send(1)
    poll_until(lambda: told == ["exception"])
    coro.hot_swap(generator_server, "anew")
    waits(coro)
    assert coro.max_mailbox == 7
    coro.send(None)
    assert coro.value(10) == "anew"
    watcher.send(None)
    watcher.value(10)


def test_two_that_start_it_anew_at_once_start_it_once() -> None:
    coro, watcher, told = start_monitored(fails)
    coro.send(1)
    poll_until(lambda: told == ["exception"])

    def act() -> Any:
        return coro.hot_swap(generator_server, "first"), coro.hot_swap(generator_server, "second")

    assert on_hub(act) == (0, 0)
    sleep(0.01)
    poll_until(lambda: coro.name == "generator_server")
    waits(coro)
    coro.send(None)
    assert coro.value(10) in ("first", "second")
    watcher.send(None)
    watcher.value(10)


def test_it_is_said_with_true_or_false_whether_it_is_swappable() -> None:
    def says(coro: Any = None) -> None:
        for flag in (5, None, "no"):
            with pytest.raises(TypeError, match=r"hot_swappable\(\) takes True or False, not"):
                coro.hot_swappable(flag)

    Coro(says).value(10)


def test_one_that_fails_before_another_threads_request_arrives_starts_anew() -> None:
    coro, watcher, told = start_monitored(fails)

    def act() -> None:
        requested: list[int] = []
        coro.send(1)
        thread = native.Thread(lambda: requested.append(coro.hot_swap(generator_server, "anew")), "requests")
        thread.start()
        # The hub does not turn meanwhile: the request is under way, and the coroutine fails before it arrives.
        thread.join(10)
        assert requested == [0]

    on_hub(act)
    poll_until(lambda: coro.name == "generator_server")
    assert told == ["exception"]
    waits(coro)
    coro.send(None)
    assert coro.value(10) == "anew"
    watcher.send(None)
    watcher.value(10)
