"""Coroutines beside a running asyncio loop: awaited there, and sent to without holding the loop up."""

import asyncio
import gc
import logging
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from greencoro import Coro, CoroTerminated, DeadlineExceeded, WouldBlock
from greencoro.hub.lifecycle import State
from greencoro.hub.names import Names
from greencoro.hub.requests import Request
from tests.support.polling import poll_until

from .conftest import Run
from .places import everywhere, parked


@pytest.fixture(autouse=True, scope="module")
def _what_earlier_tests_left_is_freed() -> None:
    # Or its warnings would be errors in one of these tests.
    gc.collect()


@pytest.fixture(autouse=True)
def _nothing_is_said_about_forgotten_tasks(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
        gc.collect()
    assert not [record for record in caplog.records if record.name == "asyncio"]


def full(send_timeout: float = 20) -> Coro:
    """A coroutine with a full mailbox; once it is resumed it returns what comes until None."""

    def reads(coro: Any) -> list[Any]:
        coro.suspend()
        return list(iter(coro.receive, None))

    home = SimpleNamespace(location=None, names=Names(), max_mailbox_messages=1, send_timeout_seconds=send_timeout)
    coro = Coro.at_home(home, reads, (), {})
    poll_until(lambda: coro._suspension is not None)
    assert coro.send("filler") == 0
    return coro


def waiting(coro: Coro) -> int:
    room = coro._mailbox.room
    return 0 if room is None else len(room._waiting)


def read_all(coro: Coro) -> list[Any]:
    coro.resume()
    coro.deliver(None, 20)
    return coro.value(10)


async def when(condition: Callable[[], object]) -> None:
    """Until it is true; the loop goes on meanwhile."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


# Waiting for a coroutine.


def test_the_result_can_be_awaited() -> None:
    result = object()

    async def program() -> Any:
        coro = Coro(parked)
        coro.send(result)
        return await coro.wait(), await coro.wait(), await coro.wait(0)

    assert asyncio.run(program()) == (result, result, result)


def test_the_end_that_was_awaited_counts_though_a_monitor_starts_the_coroutine_anew_at_once() -> None:
    def fails(coro: Any) -> None:
        coro.receive()
        raise ValueError("before the restart")

    def restarts(observed: Coro, coro: Any) -> int:
        assert coro.monitor(observed) == 0
        return coro.receive().coro.hot_swap(parked)

    async def program() -> None:
        coro = Coro(fails)
        monitor = Coro(restarts, coro)
        await when(lambda: coro._observers)
        waiting = asyncio.create_task(coro.wait(10))
        await asyncio.sleep(0)
        coro.send("fail")
        while not (monitor._state > State.ACTIVE and coro._state is State.ACTIVE):
            # The loop is held up on purpose: by its next turn the coroutine runs again.
            time.sleep(0.001)
        # Else a loop that is held up would stay so.
        late = threading.Timer(5, coro.send, ["late"])
        late.start()
        with pytest.raises(ValueError, match="before the restart"):
            await waiting
        late.cancel()
        assert coro.is_alive() and await monitor.wait(10) == 0
        coro.send("end")
        assert await coro.wait(10) == "end"

    asyncio.run(program())


def test_the_loop_goes_on_while_a_coroutine_is_awaited() -> None:
    async def program() -> tuple[Any, int]:
        coro = Coro(parked)
        waiter = asyncio.create_task(coro.wait())
        turns = 0
        while turns < 50:
            await asyncio.sleep(0)
            turns += 1
        assert not waiter.done()
        coro.send("result")
        return await waiter, turns

    assert asyncio.run(program()) == ("result", 50)


def test_what_the_function_raised_is_raised_where_it_is_awaited(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "greencoro")

    async def program() -> None:
        failing, ended = Coro(lambda coro: 1 / coro.receive()), Coro(parked)
        waits = [asyncio.create_task(coro.wait()) for coro in (failing, failing, ended)]
        await asyncio.sleep(0)
        failing.send(0)
        ended.terminate()
        for wait in waits[:2]:
            with pytest.raises(ZeroDivisionError):
                await wait
        with pytest.raises(CoroTerminated):
            await waits[2]
        with pytest.raises(ZeroDivisionError):
            await failing.wait()

    asyncio.run(program())


@pytest.mark.parametrize("timeout", [0.03, 0, -1])
def test_waiting_gives_up_at_its_limit_and_the_coroutine_goes_on(timeout: float) -> None:
    async def program() -> tuple[float, Any]:
        coro = Coro(parked)
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded, match=r"parked/\d+ was not over after"):
            await coro.wait(timeout)
        seconds = time.monotonic() - began
        assert not coro._observers
        coro.send("went on")
        return seconds, await coro.wait(timeout=20)

    seconds, value = asyncio.run(program())
    assert max(0, timeout) <= seconds < 10 and value == "went on"


@pytest.mark.parametrize(("timeout", "kind"), [("1", TypeError), (True, TypeError), (float("nan"), ValueError)])
def test_a_timeout_that_is_none_is_refused(timeout: Any, kind: type[Exception]) -> None:
    coro = Coro(parked)
    with pytest.raises(kind, match=r"wait\(\) takes its timeout"):
        asyncio.run(coro.wait(timeout))
    coro.send(None)


def test_a_wait_that_is_cancelled_leaves_nothing_behind_and_the_coroutine_goes_on() -> None:
    async def program() -> Any:
        coro = Coro(parked)
        waiter = asyncio.create_task(coro.wait())
        await when(lambda: coro._observers)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert not coro._observers
        coro.send("went on")
        return await coro.wait()

    assert asyncio.run(program()) == "went on"


def test_a_timeout_of_asyncio_around_a_wait_works() -> None:
    async def program() -> None:
        coro = Coro(parked)
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.02):
                await coro.wait()
        assert not isinstance(caught.value, DeadlineExceeded)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(coro.wait(10), 0.02)
        assert not coro._observers
        coro.send(None)

    asyncio.run(program())


def test_many_are_awaited_at_once() -> None:
    async def program() -> list[Any]:
        coros = [Coro(parked) for _ in range(300)]
        waits = [asyncio.create_task(coro.wait()) for coro in coros]
        await asyncio.sleep(0)
        for number, coro in enumerate(coros):
            coro.send(number)
        return await asyncio.gather(*waits)

    assert asyncio.run(program()) == list(range(300))


def test_loops_in_several_threads_await_the_same_coroutine() -> None:
    coro = Coro(parked)
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(asyncio.run(coro.wait(10)))) for _ in range(3)]
    for thread in threads:
        thread.start()
    poll_until(lambda: len(coro._observers or ()) == 3)
    coro.send("for all")
    for thread in threads:
        thread.join(10)
    assert results == ["for all"] * 3


def test_a_loop_that_was_closed_meanwhile_disturbs_nothing() -> None:
    coro = Coro(parked)
    loop = asyncio.new_event_loop()
    task = loop.create_task(coro.wait())
    loop.run_until_complete(asyncio.sleep(0))
    poll_until(lambda: coro._observers)
    task.cancel()  # or asyncio would say that it was forgotten, and rightly
    loop.close()
    coro.send("result")
    assert coro.value(10) == "result"
    assert Coro(lambda: 5).value(10) == 5
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    del task


def test_wait_is_awaited_only_where_a_loop_runs() -> None:
    coro = Coro(parked)
    waiting = coro.wait()
    with pytest.raises(RuntimeError, match="no running event loop"):
        waiting.send(None)
    assert not coro._observers
    coro.send(None)


# Sending.


def test_a_message_is_sent_where_there_is_room() -> None:
    async def program() -> tuple[int, int]:
        return await coro.send_async("sent"), await coro.send_async(None)

    coro = Coro(lambda coro: list(iter(coro.receive, None)))
    assert asyncio.run(program()) == (0, 0)
    assert coro.value(10) == ["sent"]

    bounded = Coro(parked)
    bounded.max_mailbox = 1
    assert asyncio.run(bounded.send_async("sent")) == 0
    assert bounded.value(10) == "sent"


def test_B2_room_in_a_full_mailbox_is_awaited_and_the_loop_goes_on() -> None:
    async def program() -> int:
        sender = asyncio.create_task(coro.send_async("awaited"))
        await when(lambda: waiting(coro) == 1)
        for _ in range(20):
            await asyncio.sleep(0)
        assert not sender.done()
        coro.resume()
        return await sender

    coro = full()
    assert asyncio.run(program()) == 0
    assert read_all(coro) == ["filler", "awaited"]


def test_B2_after_the_send_timeout_nothing_was_queued() -> None:
    async def program() -> tuple[int, float]:
        began = time.monotonic()
        return await coro.send_async("refused"), time.monotonic() - began

    coro = full(send_timeout=0.03)
    result, seconds = asyncio.run(program())
    assert result == -1 and 0.03 <= seconds < 10
    assert waiting(coro) == 0
    assert read_all(coro) == ["filler"]


def test_B2_a_send_that_is_cancelled_takes_its_message_back() -> None:
    async def program() -> None:
        senders = [asyncio.create_task(coro.send_async(n)) for n in range(3)]
        await when(lambda: waiting(coro) == 3)
        senders[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await senders[1]
        assert waiting(coro) == 2
        coro.resume()
        assert (await senders[0], await senders[2]) == (0, 0)

    coro = full()
    asyncio.run(program())
    assert read_all(coro) == ["filler", 0, 2]


def test_B2_where_the_receiver_ends_whoever_awaits_room_is_told() -> None:
    async def program() -> tuple[int, int]:
        sender = asyncio.create_task(coro.send_async("nobody reads it"))
        await when(lambda: waiting(coro) == 1)
        coro.terminate()
        return await sender, await coro.send_async("over")

    coro = full()
    assert asyncio.run(program()) == (-1, -1)


def test_messages_awaited_in_turn_keep_their_order() -> None:
    async def program() -> None:
        for number in range(200):
            assert await coro.send_async(number) == 0
        assert await coro.send_async(None) == 0

    coro = Coro(lambda coro: list(iter(coro.receive, None)))
    coro.max_mailbox = 3
    asyncio.run(program())
    assert coro.value(10) == list(range(200))


def test_a_loop_that_was_closed_while_a_send_waited_disturbs_nothing() -> None:
    coro = full()
    loop = asyncio.new_event_loop()
    task = loop.create_task(coro.send_async("from a closed loop"))
    loop.run_until_complete(asyncio.sleep(0))
    assert waiting(coro) == 1
    task.cancel()
    loop.close()
    assert read_all(coro)[0] == "filler"
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    del task


# Everything else, from a thread in which a loop runs.


def from_a_running_loop(function: Callable[[], Any]) -> Any:
    async def program() -> Any:
        return function()

    return asyncio.run(program())


def test_every_call_works_beside_a_running_loop() -> None:
    def serves(coro: Any) -> list[Any]:
        got = [coro.suspend()]
        while (message := coro.receive()) is not None:
            if isinstance(message, Request):
                message.reply(message.message + 1)
            else:
                got.append(message)
        return got

    async def program() -> None:
        coro, other = Coro(serves), Coro(target=parked)
        assert Coro.current() is None
        assert (coro.is_alive(), coro.name, coro.set_daemon(), coro.set_daemon(False)) == (True, "serves", 0, 0)
        assert (coro.register("served"), Coro.locate("served", timeout=1)) == (0, coro)
        assert coro.unregister("served") == 0
        assert (coro.link(other), coro.unlink(other), coro.monitor(other), other.notify(coro)) == (0, 0, 0, 0)
        await when(lambda: coro._suspension is not None)
        assert coro.resume("update") == 0
        assert (coro.send("sent"), coro.deliver("delivered", 1), coro.call(1, 10)) == (0, 1, 2)
        other.send("ended")
        assert other.value(10) == other.finish(10) == "ended"
        await when(lambda: len(coro._mailbox) == 0)
        assert coro.throw(KeyError) == 0
        with pytest.raises(KeyError):
            await coro.wait(10)
        again = Coro(parked)
        assert (again.terminate(), coro.send(1), coro.resume(), coro.throw(KeyError)) == (0, -1, -1, -1)
        with pytest.raises(CoroTerminated):
            again.value(10)

    asyncio.run(program())


def test_a_coroutine_may_run_a_loop_of_its_own() -> None:
    # It holds up the others for as long as it runs, as all code does that does not wait by the hub's means.
    def runs_a_loop() -> Any:
        async def program() -> str:
            await asyncio.sleep(0.01)
            return "from the loop"

        return asyncio.run(program())

    assert Coro(runs_a_loop).value(10) == "from the loop"


@everywhere
def test_a_loop_elsewhere_makes_no_difference_here(place: Callable[..., Any]) -> None:
    coro = full(send_timeout=0.02)
    begun, over = threading.Event(), threading.Event()

    async def idles() -> None:
        begun.set()
        while not over.is_set():
            await asyncio.sleep(0.005)

    thread = threading.Thread(target=lambda: asyncio.run(idles()))
    thread.start()
    begun.wait(10)
    try:
        assert place(lambda: coro.send("waits as ever")) == -1
    finally:
        over.set()
        thread.join(10)
    assert read_all(coro) == ["filler"]


def test_sending_to_a_full_one_beside_a_running_loop_names_the_way_out() -> None:
    coro = full()
    with pytest.raises(WouldBlock, match=r"await coro\.send_async"):
        from_a_running_loop(lambda: coro.send("would block"))
    assert read_all(coro) == ["filler"]


# Whole programs.

PROGRAM = """
    import asyncio

    def serves(coro):
        total = 0
        while (message := coro.receive()) is not None:
            sleep(0.001)
            total += message
        return total

    async def main():
        coro = Coro(serves)
        coro.max_mailbox = 2
        ticks = 0
        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)
        ticker = asyncio.create_task(tick())
        for number in range(50):
            assert await coro.send_async(number) == 0
        assert await coro.send_async(None) == 0
        result = await coro.wait()
        ticker.cancel()
        return result, ticks > 50
"""


def test_an_asyncio_program_uses_coroutines(run: Run) -> None:
    ended = run(PROGRAM + "    print(asyncio.run(main()))\n")
    assert (ended.status, ended.out, ended.err) == (0, "(1225, True)\n", "")


def test_so_does_one_on_uvloop(run: Run) -> None:
    pytest.importorskip("uvloop", reason="uvloop is not installed")
    ended = run(PROGRAM + "    import uvloop\n    print(uvloop.run(main()))\n")
    assert (ended.status, ended.out, ended.err) == (0, "(1225, True)\n", "")


def test_ctrl_c_in_an_asyncio_program_ends_it_in_order(run: Run) -> None:
    ended = run(
        """
        import asyncio
        def works(coro):
            try:
                coro.receive()
            finally:
                print("coroutine cleaned up")
        async def main():
            coro = Coro(works)
            while coro._mailbox._receiver is None:
                await asyncio.sleep(0.001)
            asyncio.get_running_loop().call_soon(ready)
            try:
                await coro.wait()
            finally:
                print("program cleaned up", flush=True)
        asyncio.run(main())
        """,
        interrupts=1,
    )
    assert (ended.status, ended.out, ended.err) == (-2, "program cleaned up\ncoroutine cleaned up\n", "")
    assert ended.seconds < 10
