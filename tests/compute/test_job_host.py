"""What a server process does with what clients send it, without a network."""

import hashlib
from types import SimpleNamespace

import pytest

from greencoro.compute import generator_jobs
from greencoro.compute.job_words import Piece, Purpose
from greencoro.compute.packaging import Packager
from greencoro.errors import (
    ComputationClosed,
    CoroTerminated,
    PackagingError,
    RemoteProtocolError,
)
from greencoro.hub import userhub
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from tests.compute.job_hosts import coro_of, job, job_host, queue
from tests.support.polling import poll_until


@pytest.fixture
def host():
    with job_host() as host:
        yield host


def package_request(token):
    package = Packager().components([package_request])
    header, contents = package.to_wire()
    return SimpleNamespace(header={"token": token, "package": header}, parts=contents), package.digest


def set_up(host, token, digest):
    replies = []
    request = SimpleNamespace(header={"token": token, "packages": [digest]}, reply=lambda: replies.append(True))
    host.runtime.handlers["server.set_up"](request)
    return replies


def is_assigned(host, token):
    replies = []
    request = SimpleNamespace(header={"token": token}, reply=lambda: replies.append(True))
    asks = Coro(host.runtime.handlers["server.is_assigned"], request)
    return asks, replies


def test_who_asks_before_the_token_is_there_is_answered_when_it_is_and_what_it_sends_then_is_kept(host):
    asks, replies = is_assigned(host, "right")
    poll_until(lambda: len(host.host._token._callbacks) > 1, 5)
    assert replies == []
    host.host.assign("right")
    asks.value(5)
    assert replies == [True]
    request, digest = package_request("right")
    host.runtime.handlers["server.package"](request)
    assert host.loader.kept == [digest]
    assert set_up(host, "right", digest) == [True]
    assert host.loader.installed == [digest]


def test_a_job_has_its_name_from_its_first_step_on(host, monkeypatch):
    """The user hub may come to it before the reactor's thread is done with the request."""
    host.host.assign("right")
    host.loader.functions = {"job": lambda coro: coro.name}
    post = userhub.post

    def let_it_begin(function, *args):
        post(function, *args)
        if function is userhub.ready:
            poll_until(lambda: any(each[0] == "began" for each in host.heard))

    monkeypatch.setattr(userhub, "post", let_it_begin)
    assert queue(host, 1, "job").value(5) == "job"
    poll_until(lambda: host.host.job_count == 0)
    assert ("began", 1, "job") in host.heard


@pytest.mark.parametrize("name", [None, 5, ["job"]])
def test_a_job_whose_name_is_no_text_does_not_run(host, name):
    host.host.assign("right")
    ran = []
    host.loader.functions = {"job": lambda: ran.append(True)}
    request = job(1, "job")
    request.header["name"] = name
    host.runtime.handlers["server.queue"](request)
    with pytest.raises(TypeError, match="the name of a coroutine is a text"):
        coro_of(host, 1).value(5)
    assert ran == []


def test_S16_who_asks_with_another_token_is_refused(host):
    host.host.assign("right")
    asks, replies = is_assigned(host, "wrong")
    with pytest.raises(ComputationClosed):
        asks.value(5)
    assert replies == []


def test_S16_a_package_with_another_token_is_refused(host):
    host.host.assign("right")
    request, _ = package_request("wrong")
    with pytest.raises(ComputationClosed):
        host.runtime.handlers["server.package"](request)
    assert host.loader.kept == []


def test_S11_nothing_that_comes_before_the_token_is_kept(host):
    """Whoever knows the secret fills no idle server, and takes the place of no client that comes."""
    request, digest = package_request("right")
    for _ in range(200):
        with pytest.raises(ComputationClosed):
            host.runtime.handlers["server.package"](request)
        with pytest.raises(ComputationClosed):
            in_pieces(host, Purpose.PACKAGE)
    host.host.assign("right")
    assert host.loader.kept == []
    assert host.host._gathering._content == b""
    host.runtime.handlers["server.package"](request)
    assert set_up(host, "right", digest) == [True]


def test_J1_a_queued_job_with_another_token_fails(host):
    host.host.assign("right")
    with pytest.raises(ComputationClosed, match="does not serve this computation"):
        queue(host, 1, "any", token="wrong").value(5)


def test_J1_a_queued_job_whose_request_lacks_something_fails(host):
    host.host.assign("right")
    request = job(1, "any")
    del request.header["packages"]
    host.runtime.handlers["server.queue"](request)
    with pytest.raises(KeyError):
        host.runtime.watches[1].value(5)


def test_number_of_a_job_that_is_not_over_is_refused_for_another_one(host):
    host.host.assign("right")
    go_on, ran = Completion(), []
    host.loader.functions = {"first": lambda: go_on.wait() and "done", "second": lambda: ran.append("second")}
    first = queue(host, 1, "first")
    for operation in ("server.queue", "server.run"):
        with pytest.raises(RemoteProtocolError, match="job 1 is not over"):
            host.runtime.handlers[operation](job(1, "second"))
    # Who lacks the token is told that, and nothing of numbers.
    stranger, told = job(1, "second", token="wrong"), []
    stranger.fail = told.append
    host.runtime.handlers["server.run"](stranger)
    assert [type(error) for error in told] == [ComputationClosed]
    go_on.set()
    assert first.value(5) == "done"
    poll_until(lambda: host.runtime.watches, 5)
    assert host.runtime.watches == {1: first}
    assert host.host.job_count == 0
    # Now it is, and the number free.
    queue(host, 1, "second").value(5)
    assert ran == ["second"]


@pytest.mark.parametrize("number", [None, "1", 1.0, True, -1, 1 << 64, [1]])
def test_job_whose_number_is_none_is_refused(host, number):
    host.host.assign("right")
    for operation in ("server.queue", "server.run"):
        with pytest.raises(RemoteProtocolError, match="without a number"):
            host.runtime.handlers[operation](job(number, "any"))
    assert host.host.job_count == 0


def test_listener_hears_of_each_job_when_its_turn_has_come_and_when_it_is_over(host):
    host.host.assign("right")
    go_on = Completion()
    host.loader.functions = {"wait": go_on.wait, "next": lambda: None}
    first = queue(host, 1, "wait", lane="a")
    second = queue(host, 2, "next", lane="a")
    poll_until(lambda: len(host.heard) == 2, 5)
    assert host.heard == ["busy", ("began", 1, "wait")]
    go_on.set()
    first.value(5)
    second.value(5)
    poll_until(lambda: host.heard[-1] == "idle", 5)
    assert host.heard[2:] == [("over", 1, "wait"), ("began", 2, "next"), ("over", 2, "next"), "idle"]


def test_listener_hears_nothing_of_a_job_that_was_withdrawn_before_its_turn(host):
    host.host.assign("right")
    go_on = Completion()
    host.loader.functions = {"wait": go_on.wait, "next": lambda: None}
    first = queue(host, 1, "wait", lane="a")
    second = queue(host, 2, "next", lane="a")
    host.runtime.handlers["server.withdraw"](job(2, "next"))
    with pytest.raises(CoroTerminated):
        second.value(5)
    go_on.set()
    first.value(5)
    poll_until(lambda: host.heard[-1] == "idle", 5)
    assert host.heard == ["busy", ("began", 1, "wait"), ("over", 1, "wait"), "idle"]


def test_listener_hears_of_the_end_before_the_client_does(host):
    host.host.assign("right")
    told = []
    serve = host.runtime.serve_watch

    def serve_watch(request, watch, coro):
        serve(request, watch, coro)
        assert not coro.is_alive()  # so that the notice goes out now
        told.append(list(host.heard))

    host.runtime.serve_watch = serve_watch
    go_on = Completion()
    host.loader.functions = {"wait": go_on.wait}
    first = queue(host, 1, "wait")
    go_on.set()
    first.value(5)
    poll_until(lambda: told, 5)
    assert ("over", 1, "wait") in told[0]


def test_job_that_was_over_before_anybody_watched_it_is_told_all_the_same(host, monkeypatch):
    host.host.assign("right")
    host.loader.functions = {"now": lambda: 3}
    add_observer = Coro.add_observer

    def late(coro, observer, watcher=None):
        monkeypatch.undo()
        coro.value(5)
        return add_observer(coro, observer, watcher)

    monkeypatch.setattr(Coro, "add_observer", late)
    host.runtime.handlers["server.queue"](job(1, "now"))
    poll_until(lambda: 1 in host.runtime.watches, 5)
    assert host.runtime.watches[1].value(5) == 3
    assert host.heard == ["busy", ("began", 1, "now"), ("over", 1, "now"), "idle"]
    assert host.host.job_count == 0


def test_whether_a_coroutine_is_a_job_is_known_without_looking_at_all_of_them(host):
    host.host.assign("right")
    go_on = Completion()
    host.loader.functions = {"wait": go_on.wait}
    coros = [queue(host, watch, "wait") for watch in range(3)]
    host.host._jobs = None
    assert all(host.host._is_job(coro) for coro in coros)
    assert not host.host._is_job(Coro(go_on.wait))
    host.host._jobs = {}
    go_on.set()
    for coro in coros:
        coro.value(5)
    poll_until(lambda: not any(host.host._is_job(coro) for coro in coros), 5)


def test_job_after_a_withdrawn_one_waits_for_the_one_before_that(host):
    host.host.assign("right")
    go_on, order = Completion(), []

    def first():
        go_on.wait()
        order.append("first")

    host.loader.functions = {"first": first, "next": lambda: order.append("next")}
    queue(host, 1, "first", lane="a")
    withdrawn = [queue(host, watch, "next", lane="a") for watch in range(2, 2000)]
    after = queue(host, 2000, "next", lane="a")
    elsewhere = queue(host, 2001, "next", lane="b")
    for watch in range(2, 2000):
        host.runtime.handlers["server.withdraw"](job(watch, "next"))
    for coro in withdrawn:
        with pytest.raises(CoroTerminated):
            coro.value(5)
    # Whatever the end of the withdrawn ones set going has come to its end before this one does.
    elsewhere.value(5)
    queue(host, 2002, "next", lane="c").value(5)
    assert after.is_alive()
    assert order == ["next", "next"]
    go_on.set()
    after.value(5)
    assert order == ["next", "next", "first", "next"]


def in_pieces(host, purpose, watch=0, token="ab" * 32):
    answers = []
    for offset in range(3):
        header = Piece(token, hashlib.sha256(b"abc").hexdigest(), 3, offset, purpose, watch).to_header()
        host.runtime.handlers["server.piece"](
            SimpleNamespace(
                header=header,
                parts=[b"abc"[offset : offset + 1]],
                peer=SimpleNamespace(incarnation=b"client"),
                reply=lambda: answers.append(None),
                fail=answers.append,
            )
        )
    return answers


def test_arguments_that_came_in_pieces_are_those_of_their_job_alone(host):
    host.host.assign("ab" * 32)
    host.loader.functions = {"any": lambda: "done"}
    assert in_pieces(host, Purpose.ARGUMENTS, watch=1) == [None] * 3
    assert queue(host, 1, "any", token="ab" * 32, apart=True).value(5) == "done"
    assert host.loader.arguments == [b"abc"]
    in_pieces(host, Purpose.ARGUMENTS, watch=2)
    with pytest.raises(PackagingError, match="did not arrive"):
        queue(host, 3, "any", token="ab" * 32, apart=True).value(5)


def test_S16_pieces_with_another_token_are_refused(host):
    host.host.assign("ab" * 32)
    with pytest.raises(ComputationClosed):
        in_pieces(host, Purpose.PACKAGE, token="cd" * 32)
    assert host.loader.kept == []
    assert in_pieces(host, Purpose.PACKAGE) == [None] * 3
    assert host.loader.kept == [hashlib.sha256(b"abc").hexdigest()]


def sub_call(n):
    yield
    raise StopIteration(n + 1)


def of_generators(coro):
    """Returns one, as whatever runs a generator job does."""

    def body(me):
        received = yield me.receive()
        me.name = type(me).__name__
        yield sub_call(received)

    return body(coro)


class OldCoro(Coro):
    __slots__ = ()


def test_a_job_whose_function_returns_a_generator_is_that_generator(host, monkeypatch):
    monkeypatch.setattr(generator_jobs, "_class", Coro)
    generator_jobs.run_as(OldCoro)
    host.host.assign("right")
    host.loader.functions = {"job": of_generators}
    coro = queue(host, 1, "job", generator=True)
    poll_until(lambda: any(each[0] == "began" for each in host.heard))
    coro.send(4)
    assert coro.value(5) == 5
    assert coro.name == "OldCoro"
    poll_until(lambda: host.host.job_count == 0)
    assert host.runtime.watches == {1: coro}


def test_a_generator_job_that_is_withdrawn_cleans_up(host):
    cleaned = []

    def sleeper(coro):
        try:
            yield coro.sleep(60)
        finally:
            cleaned.append(True)

    host.host.assign("right")
    host.loader.functions = {"job": sleeper}
    coro = queue(host, 1, "job", generator=True)
    poll_until(lambda: any(each[0] == "began" for each in host.heard))
    host.runtime.handlers["server.withdraw"](job(1, "job"))
    assert poll_until(lambda: not coro.is_alive() and cleaned, 5) == [True]


def test_a_plain_function_of_a_generator_job_is_its_result(host):
    host.host.assign("right")
    host.loader.functions = {"job": lambda: 7}
    assert queue(host, 1, "job", generator=True).value(5) == 7
