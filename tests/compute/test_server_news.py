"""What becomes of what servers tell their client beside the ends of jobs."""

from types import SimpleNamespace

import pytest

from greencoro.compute import server_news as module
from greencoro.compute.job_words import LooksForNames, Printed, Siblings
from greencoro.compute.output_book import Batch, OutputLine
from greencoro.compute.server_news import ServerNews
from greencoro.compute.server_pool import Server
from greencoro.distributed.location import Location
from greencoro.distributed.peer_info import PeerInfo
from greencoro.errors import RemoteProtocolError


class Reactor:
    """Does at once what is posted, and later what is for later."""

    def __init__(self):
        self.later = []

    def post(self, function, *args):
        function(*args)

    def call_later(self, seconds, function, *args):
        assert seconds > 0
        self.later.append((function, args))


class Runtime:
    def __init__(self):
        self.reactor = Reactor()
        self.handlers = {}
        self.posted = []
        self.has_room = True

    def handle(self, operation, handler, on_reactor=False):
        assert on_reactor
        assert operation not in self.handlers
        self.handlers[operation] = handler

    def post_nowait(self, peer, operation, header):
        if self.has_room:
            assert operation == Siblings.operation
            self.posted.append((peer.name, header["token"], header["servers"]))
        return self.has_room

    def hears(self, server, operation, header):
        """What that server says."""
        peer = PeerInfo(server.location, server.name, bytes.fromhex(server.id))
        self.handlers[operation](SimpleNamespace(peer=peer, header=header))


class Display:
    def __init__(self):
        self.taken = []

    def take(self, server, batch):
        self.taken.append((server, batch))


def server(name):
    token = name * 64
    return Server(name * 32, "node", "10.0.0.1", Location("10.0.0.1", ord(name)), name, token)


A, B, C = "abc"
BATCH = Batch((OutputLine("stdout", "f/1", "hello"),), 2)


@pytest.fixture
def runtime(monkeypatch):
    monkeypatch.setattr(module, "OutputDisplay", Display)
    return Runtime()


def looks(runtime, server, token=None):
    runtime.hears(server, LooksForNames.operation, {"token": server.token if token is None else token})


def prints(runtime, server, token=None):
    runtime.hears(server, Printed.operation, Printed.to_header(server.token if token is None else token, BATCH))


def named(*servers):
    return {each.id: str(each.location) for each in servers}


def test_what_a_server_prints_is_shown_with_its_name(runtime):
    news, a = ServerNews(runtime), server(A)
    news.hear(a)
    prints(runtime, a)
    assert news._display.taken == [("a", BATCH)]


@pytest.mark.parametrize("token", ["", "b" * 64, 5, None, "é"])
def test_S16_who_does_not_show_the_servers_token_is_not_heard(runtime, token):
    news, a = ServerNews(runtime), server(A)
    news.hear(a)
    news.ready(server(B))
    runtime.hears(a, Printed.operation, Printed.to_header("", BATCH) | {"token": token})
    runtime.hears(a, LooksForNames.operation, {"token": token})
    assert news._display.taken == []
    assert runtime.posted == []


def test_S16_a_server_of_the_computation_cannot_speak_for_another(runtime):
    news, a, b = ServerNews(runtime), server(A), server(B)
    news.hear(a)
    news.hear(b)
    prints(runtime, a, b.token)
    assert news._display.taken == []


def test_who_is_no_server_is_nobody(runtime):
    news = ServerNews(runtime)
    prints(runtime, server(A))
    looks(runtime, server(A))
    assert news._display.taken == []
    assert runtime.posted == []


def test_S11_output_that_is_none_is_an_error_to_the_server(runtime):
    news, a = ServerNews(runtime), server(A)
    news.hear(a)
    with pytest.raises(RemoteProtocolError):
        runtime.hears(a, Printed.operation, {"token": a.token, "lines": 5, "left_out": 0})


def test_two_computations_of_one_runtime_hear_their_own_servers(runtime):
    first, second = ServerNews(runtime), ServerNews(runtime)
    a, b = server(A), server(B)
    first.hear(a)
    second.hear(b)
    prints(runtime, a)
    prints(runtime, b)
    assert [name for name, _ in first._display.taken] == ["a"]
    assert [name for name, _ in second._display.taken] == ["b"]


def test_who_looks_for_names_is_named_those_that_are_set_up_but_itself(runtime):
    news, a, b, c = ServerNews(runtime), server(A), server(B), server(C)
    for each in (a, b, c):
        news.hear(each)
    news.ready(a)
    news.ready(b)
    looks(runtime, a)
    assert runtime.posted == [("a", a.token, named(b))]


def test_who_has_looked_for_names_is_named_those_to_come(runtime):
    news, a, b = ServerNews(runtime), server(A), server(B)
    news.hear(a)
    news.hear(b)
    looks(runtime, a)
    assert runtime.posted == []
    news.ready(b)
    assert runtime.posted == [("a", a.token, named(b))]


def test_who_asks_twice_is_answered_once(runtime):
    news, a, b = ServerNews(runtime), server(A), server(B)
    for each in (a, b):
        news.hear(each)
        news.ready(each)
    looks(runtime, a)
    looks(runtime, a)
    assert len(runtime.posted) == 1


def test_many_servers_are_named_in_several_words(runtime, monkeypatch):
    monkeypatch.setattr(module, "MAX_SIBLINGS", 2)
    news, a = ServerNews(runtime), server(A)
    others = [server(name) for name in "bcdef"]
    for each in (a, *others):
        news.hear(each)
        news.ready(each)
    looks(runtime, a)
    assert [servers for _, _, servers in runtime.posted] == [named(*others[:2]), named(*others[2:4]), named(others[4])]


def test_what_there_was_no_room_for_is_told_later_and_not_to_one_that_is_gone(runtime):
    news, a, b, c = ServerNews(runtime), server(A), server(B), server(C)
    for each in (a, b, c):
        news.hear(each)
    news.ready(c)
    runtime.has_room = False
    looks(runtime, a)
    looks(runtime, b)
    news.forget(a)
    runtime.has_room = True
    for function, args in runtime.reactor.later:
        function(*args)
    assert runtime.posted == [("b", b.token, named(c))]


def test_a_server_that_is_gone_is_neither_heard_nor_named(runtime):
    news, a, b = ServerNews(runtime), server(A), server(B)
    for each in (a, b):
        news.hear(each)
        news.ready(each)
    news.forget(b)
    prints(runtime, b)
    looks(runtime, a)
    assert news._display.taken == []
    assert runtime.posted == []
    news.ready(b)  # of which that comes too late
    assert runtime.posted == []


def test_nothing_is_kept_of_servers_that_are_gone(runtime):
    news = ServerNews(runtime)
    for name in "abcdef":
        each = server(name)
        news.hear(each)
        news.ready(each)
        looks(runtime, each)
        news.forget(each)
    assert not (news._servers or news._ready or news._looking or news._owners)
