"""Users' objects that raise what is no `Exception`: no coroutine ends of it, and whoever waits is told (N6, L4)."""

import logging
import signal
import threading

import pytest

from greencoro.distributed import codec
from greencoro.distributed.user_code import reason, text_of
from greencoro.errors import CoroTerminated, RemoteError
from greencoro.hub.execution import sleep
from tests.distributed.channels import channel_at
from tests.distributed.channels import remote as remote_channel
from tests.distributed.conftest import reference
from tests.distributed.odd_objects import ODD_ERRORS, Beyond, Bomb, FailsOddly, Raises
from tests.distributed.test_rci import rci_at
from tests.distributed.test_rci import remote as remote_rci
from tests.support.polling import poll_until

every_error = pytest.mark.parametrize("error", ODD_ERRORS, ids=repr)
opens_as = {}


def open_as(key):
    return opens_as[key]()


class Opened:
    """Calls `opens_as[key]` when it is unpickled."""

    def __init__(self, key):
        self.key = key

    def __reduce__(self):
        return open_as, (self.key,)


def collect(count, coro=None):
    return [coro.receive() for _ in range(count)]


def one_warning(caplog, about):
    (line,) = [record.getMessage() for record in caplog.records]
    return about in line and "boom" in line


@every_error
def test_a_message_that_raises_it_when_it_is_opened_is_dropped_with_one_warning(runtime_pair, caplog, error):
    coro = runtime_pair.other.spawn(collect, 2)
    there = reference(runtime_pair.one, coro)
    with caplog.at_level(logging.WARNING, "greencoro"):
        for message in ("a", Bomb(error), "b"):
            there.send(message)
        assert coro.value(5) == ["a", "b"]
        poll_until(lambda: caplog.records)
    assert one_warning(caplog, "cannot be decoded and is dropped")


@every_error
def test_so_is_one_that_came_through_a_channel(runtime_pair, caplog, error):
    channel = channel_at(runtime_pair.other)
    coro = runtime_pair.other.spawn(collect, 2)
    assert channel.subscribe(coro) == 0
    there = remote_channel(runtime_pair.one, channel)
    with caplog.at_level(logging.WARNING, "greencoro"):
        for message in ("a", Bomb(error), "b"):
            assert there.send(message) == 0
        assert coro.value(5) == ["a", "b"]
        poll_until(lambda: caplog.records)
    assert one_warning(caplog, "through a channel cannot be decoded")
    channel.close()


@every_error
def test_L4_an_rci_call_whose_arguments_raise_it_starts_nothing_and_says_so(runtime_pair, error):
    ran = []
    there = remote_rci(runtime_pair.one, rci_at(runtime_pair.other, ran.append, "odd"))
    with pytest.raises(RemoteError, match=r"cannot be decoded \(\w+: boom\); no coroutine was started"):
        runtime_pair.run(there, Bomb(error))
    assert not ran


@every_error
def test_a_call_whose_answer_raises_it_when_it_is_opened_raises_a_remote_error(runtime_pair, error):
    def answer(coro=None):
        coro.receive().reply(Bomb(error))
        coro.receive().fail(FailsOddly())

    answering = runtime_pair.other.spawn(answer)
    there = reference(runtime_pair.one, answering)
    with pytest.raises(RemoteError, match=r"cannot be decoded: \w+: boom"):
        runtime_pair.run(there.call, "question", 10)
    with pytest.raises(RemoteError, match="FailsOddly whose text raised SystemExit"):
        runtime_pair.run(there.call, "question", 10)


@every_error
def test_an_operation_that_ends_of_it_is_answered(runtime_pair, error):
    def handler(request):
        raise error

    runtime_pair.other.handle("test.odd", handler)
    (to,) = runtime_pair.one.peer_infos()
    with pytest.raises(RemoteError, match=f"{type(error).__name__}: boom"):
        runtime_pair.one.request(to, "test.odd", {}, timeout=10)


def test_an_operation_that_fails_with_what_has_no_text_is_answered(runtime_pair):
    def handler(request):
        raise FailsOddly

    runtime_pair.other.handle("test.odd", handler)
    (to,) = runtime_pair.one.peer_infos()
    with pytest.raises(RemoteError, match="FailsOddly whose text raised SystemExit"):
        runtime_pair.one.request(to, "test.odd", {}, timeout=10)


def test_a_coroutine_that_is_terminated_while_it_opens_a_message_ends(runtime_pair):
    entered = threading.Event()
    opens_as["wait"] = lambda: (entered.set(), sleep(60))
    coro = runtime_pair.other.spawn(collect, 1)
    reference(runtime_pair.one, coro).send(Opened("wait"))
    poll_until(entered.is_set)
    coro.terminate()
    with pytest.raises(CoroTerminated):
        coro.value(5)


def test_ctrl_c_in_the_main_thread_ends_the_opening():
    opens_as["interrupted"] = lambda: signal.raise_signal(signal.SIGINT)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        payload = b"".join(codec.dumps(Opened("interrupted")))
        with pytest.raises(KeyboardInterrupt):
            codec.PICKLE.opened(payload)
        with pytest.raises(KeyboardInterrupt):
            text_of(Raises(None, KeyboardInterrupt()))
    finally:
        signal.signal(signal.SIGINT, before)


def test_text_and_reason_are_short_plain_strings():
    class Text(str):
        def __getitem__(self, index):
            raise Beyond("no")

    class Named:
        def __repr__(self):
            return Text("x" * 5000)

    assert text_of(Named()) == "x" * 2000 and type(text_of(Named(), 7)) is str and len(text_of(Named(), 7)) == 7
    assert reason(ValueError("so")) == "ValueError: so"
    assert text_of(FailsOddly(), 10) == "<FailsOddl"
