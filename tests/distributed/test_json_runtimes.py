"""Runtimes whose objects travel as JSON: nothing that peers send them is unpickled (S15)."""

import json
import math
import os
import pickle
import struct

import pytest

from greencoro.distributed import messages
from greencoro.distributed.codec import PICKLE
from greencoro.errors import IncompatibleVersion, RemoteError
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import sleep
from tests.distributed.channels import channel_at
from tests.distributed.channels import remote as remote_channel
from tests.distributed.conftest import Pair, reference
from tests.distributed.hand_made import DELIVER, HandMade
from tests.distributed.test_rci import rci_at
from tests.distributed.test_rci import remote as remote_rci
from tests.support.polling import poll_until

#: As `HandMade` says that it has JSON: the byte before that of its presence.
SAYS_JSON = 1 << 8


@pytest.fixture
def json_pair(world):
    """`one` and `other`, both with JSON; they are peers."""
    one, other = (world.runtime(serializer="json") for _ in range(2))
    assert one.peer(other.location, timeout=10) == 0
    poll_until(lambda: one.location in other.peers(), what="the other side knows as well")
    return Pair(one, other, world)


def collect(n, coro=None):
    return [coro.receive() for _ in range(n)]


def test_messages_arrive_equal_and_tuples_as_lists(json_pair):
    there = json_pair.other.spawn(collect, 3)
    sent = [None, {"a": [1, 2.5, "ä\ud800", True], "$greencoro": {"$greencoro": 1}}, (1, (2, 3))]

    def send():
        to = reference(json_pair.one, there)
        return [to.send(sent[0]), to.deliver(sent[1], 10), to.send(sent[2])]

    assert json_pair.run(send) == [0, 1, 0]
    assert there.value(10) == [*sent[:2], [1, [2, 3]]]


def test_references_travel_and_work(json_pair):
    def echo(coro=None):
        back, message = coro.receive()
        assert isinstance(back, Coro) and not back.is_local()
        back.send([coro, message])

    there = json_pair.at_other(echo)
    channel = channel_at(json_pair.one)
    place = json_pair.one.location

    def ask(coro=None):
        there.send((coro, [place, channel, coro]))
        answerer, (location, same_channel, same) = coro.receive(10)
        return answerer == there, location == place, same_channel is channel, same is coro

    assert json_pair.run(ask) == (True,) * 4
    channel.close()


def test_channels_pass_json_on(json_pair):
    channel = channel_at(json_pair.other)
    there = remote_channel(json_pair.one, channel)

    def subscriber(coro=None):
        assert there.subscribe(coro, 10) == 0
        return coro.receive(20)

    waiting = json_pair.one.spawn(subscriber)
    poll_until(channel.subscribers)
    assert json_pair.run(lambda: there.deliver({"n": 1}, 10)) == 1
    assert waiting.value(10) == {"n": 1}
    channel.close()


def test_rci_arguments_and_results_are_json(json_pair):
    def add(one, *others, start=0):
        return {"sum": one + sum(others) + start}

    there = remote_rci(json_pair.one, rci_at(json_pair.other, add))
    assert json_pair.run(lambda: there(1, 2, start=3).value(10)) == {"sum": 6}
    with pytest.raises(TypeError, match=r"cannot be JSON: its part \[1\]\['start'\] is of type set"):
        json_pair.run(lambda: there(1, start={1}))
    with pytest.raises(TypeError, match="no coroutine was started"):
        json_pair.run(lambda: there())


def test_results_that_are_no_json_and_exceptions_come_as_their_texts(json_pair):
    class OwnError(Exception):
        pass

    def fail():
        raise OwnError("boom")

    failing, unfit = (
        remote_rci(json_pair.one, rci_at(json_pair.other, function, name))
        for function, name in ((fail, "fail"), (lambda: {1}, "unfit"))
    )
    with pytest.raises(RemoteError, match="OwnError: boom"):
        json_pair.run(lambda: failing().value(10))
    with pytest.raises(RemoteError, match="what is sent cannot be JSON: it is of type set"):
        json_pair.run(lambda: unfit().value(10))

    def watch(coro=None):
        there = json_pair.at_other(waiting, fail)
        assert coro.monitor(there) == 0
        there.send("go")
        return coro.receive(10)

    notice = json_pair.run(watch)
    assert (notice.kind, str(notice.error).split(" at ")[0]) == ("exception", "OwnError: boom")


def waiting(function, coro=None):
    coro.receive()
    return function()


def test_calls_are_answered_and_passed_on(json_pair):
    def pass_on(coro=None):
        helper = coro.receive()
        helper.send(coro.receive())
        coro.receive().reply(coro.receive().fail(LookupError("nothing there")))

    def help_out(coro=None):
        request = coro.receive()
        assert request.reply({1}) if request.message == "set" else True
        return request.reply({"asked": request.message})

    helper = json_pair.other.spawn(help_out)
    there = json_pair.at_other(pass_on)

    def ask():
        there.send(helper)
        first = there.call(["anything", 1], 10)
        late = Coro(there.call, "later", 10)
        sleep(0.01)
        with pytest.raises(RemoteError, match="nothing there"):
            there.call("fail", 10)
        return first, late.value(10)

    assert json_pair.run(ask) == ({"asked": ["anything", 1]}, 0)
    assert helper.value(10) == 0


def test_what_is_no_json_fails_where_it_is_sent(json_pair, caplog):
    there = json_pair.at_other(collect, 1)
    channel = channel_at(json_pair.other)
    through = remote_channel(json_pair.one, channel)
    for send in (there.send, there.deliver, there.call, through.send, through.deliver):
        with pytest.raises(TypeError, match=r"^what is sent cannot be JSON: its part .*\['x'\]\[1\] is of type bytes$"):
            send({"x": [1, b""]})
    with pytest.raises(ValueError, match="is nan"):
        there.send(math.nan)
    assert there.deliver("fine", 10) == 1
    assert not caplog.records
    channel.close()


# Hostile peers.


class Trace:
    """Its unpickling makes a directory."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def trace(tmp_path):
    """Where the marker would be left, and the bytes that would do so in a runtime that unpickles."""
    path = tmp_path / "trace"
    return path, b"\0\0" + pickle.dumps(Trace(path), 5)


def deliver(number, coro, payload):
    return struct.pack(">BQI", DELIVER, coro.id, number) + payload


def test_S15_marker_of_this_test_leaves_a_trace_where_pickles_are_opened(tcp_world, trace):
    path, payload = trace
    runtime = tcp_world.runtime()
    there = runtime.spawn(collect, 1)
    client = HandMade(runtime)
    client.send(deliver(1, there, payload))
    assert there.value(10) == [None]
    assert path.is_dir()
    client.close()


def test_S15_nothing_that_comes_to_a_runtime_with_json_is_unpickled(tcp_world, trace, caplog):
    path, payload = trace
    runtime = tcp_world.runtime(serializer="json")
    there = runtime.spawn(collect, 2)
    channel = channel_at(runtime)

    def subscriber(coro=None):
        channel.subscribe(coro)
        return coro.receive()

    subscribed = runtime.spawn(subscriber)
    poll_until(channel.subscribers)
    function = rci_at(runtime, lambda *args: args, "give_back")
    client = HandMade(runtime, presence=SAYS_JSON)
    client.send(deliver(1, there, payload))
    number = channel.__reduce__()[1][3]
    client.send(messages.ChannelSend(number, 1, (), b"").header() + payload)
    answer = client.ask(2, "greencoro.rci.call", {"rci": function.__reduce__()[1][3], "watch": 5}, [payload])
    assert "cannot be decoded" in json.dumps(answer) and "no coroutine was started" in json.dumps(answer)
    # What follows arrives.
    client.send(deliver(3, there, b'"data"'), deliver(4, there, b'"more"'))
    client.send(messages.ChannelSend(number, 1, (), b"").header() + b'"through it"')
    assert there.value(10) == ["data", "more"]
    assert subscribed.value(10) == "through it"
    poll_until(lambda: len([line for line in caplog.messages if "cannot be decoded and is dropped" in line]) == 2)
    assert not path.exists()
    client.close()
    channel.close()
    function.unregister()


def test_S15_what_are_no_arguments_start_nothing(tcp_world):
    runtime = tcp_world.runtime(serializer="json")
    started = []
    function = rci_at(runtime, lambda *args, **kwargs: started.append(args), "start")
    number = function.__reduce__()[1][3]
    client = HandMade(runtime, presence=SAYS_JSON)
    for text in (b"5", b"[[]]", b"[[], []]", b'["ab", {}]', b"[{}, {}]", b'{"a": 1, "b": 2}', b"null"):
        answer = client.ask(2, "greencoro.rci.call", {"rci": number, "watch": 5}, [text])
        assert "the arguments cannot be decoded (they are none); no coroutine was started" in json.dumps(answer)
    assert not started
    client.close()
    function.unregister()


def test_S15_results_exceptions_and_answers_are_not_unpickled_either(json_pair, tmp_path):
    """A peer whose own side pickles whatever it says."""
    path = tmp_path / "trace"
    other = json_pair.other

    def serve(coro=None):
        coro.receive().reply(Trace(path))
        coro.receive().fail(OSError(Trace(path)))
        coro.receive()
        return Trace(path)

    def break_off(coro=None):
        coro.receive()
        raise OSError(Trace(path))

    hostile = PICKLE._replace(loads=other.codec.loads)
    (link,) = other.peer_table.online()
    link.codec = other.services.answers.codec = hostile
    there, broken = json_pair.at_other(serve), json_pair.at_other(break_off)
    with pytest.raises(RemoteError, match="an answer that cannot be decoded"):
        there.call(1, 10)
    with pytest.raises(RemoteError, match="OSError"):
        there.call(2, 10)

    def end_of(elsewhere):
        outcome = elsewhere.watched()
        elsewhere.send("go")
        assert outcome.wait(10)
        return elsewhere.notice_of(outcome)

    assert "UnicodeDecodeError" in end_of(there).value.reason
    assert isinstance(end_of(broken).error, RemoteError)
    assert not path.exists()


def test_S15_what_came_as_json_is_not_handed_on_to_those_who_unpickle(tcp_world, trace, caplog):
    """Between two runtimes of one process a channel passes on what the bytes say, not the bytes."""
    path, payload = trace
    outside, inside = tcp_world.runtime(serializer="json"), tcp_world.runtime()
    trusting = tcp_world.runtime()
    assert inside.peer(trusting.location, timeout=10) == 0
    channel = channel_at(outside)
    there = trusting.spawn(collect, 1)
    assert channel.subscribe(reference(inside, there)) == 0
    client = HandMade(outside, presence=SAYS_JSON)
    head = messages.ChannelSend(channel.__reduce__()[1][3], 1, (), b"").header()
    client.send(head + payload)
    client.send(head + b'{"data": [1]}')
    assert there.value(10) == [{"data": [1]}]
    assert not path.exists()
    poll_until(lambda: [line for line in caplog.messages if "did not reach all subscribers" in line])
    client.close()
    channel.close()


# Runtimes that do not fit.


def test_S15_of_two_with_different_serializers_both_say_so_in_one_line(world, caplog):
    one, other = world.runtime(), world.runtime(serializer="json")
    for caller, called, words in (
        (one, other, "has Runtime(serializer='json'), this side 'pickle': give both the same"),
        (other, one, "has Runtime(serializer='pickle'), this side 'json': give both the same"),
    ):
        caplog.clear()
        with pytest.raises(IncompatibleVersion) as caught:
            caller.connect(called.location, 10)
        expected = f"cannot connect to {called.location}: the other side ({called.location}) {words}"
        assert str(caught.value) == expected
        poll_until(lambda: len([line for line in caplog.messages if "serializer" in line]) == 2)
    assert not one.peers() and not other.peers()


def test_S15_a_client_that_says_another_serializer_is_cut_off(tcp_world):
    runtime = tcp_world.runtime(serializer="json")
    client = HandMade(runtime)
    assert client.is_cut_off()
    client.close()
    with pytest.raises(ConnectionResetError):
        HandMade(runtime, presence=SAYS_JSON * 2)
    friend = HandMade(runtime, presence=SAYS_JSON)
    assert not friend.is_cut_off()
    friend.close()
