"""What a server process does with what clients send it, without a network."""

from types import SimpleNamespace

import pytest

from greencoro.compute.job_host import JobHost
from greencoro.compute.packaging import Packager
from greencoro.errors import ComputationClosed, CoroTerminated
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.names import Names
from tests.support.polling import poll_until


class Runtime:
    """Keeps the handlers, and does at once what is meant for the reactor."""

    name = "server"
    location = None

    max_mailbox_messages = None

    def __init__(self):
        self.names = Names()
        self.handlers = {}
        self.reactor = SimpleNamespace(post=lambda function, *args: function(*args), guard=self._guard)
        self.guarded = []
        self.watches = {}

    def handle(self, operation, handler, on_reactor=False):
        self.handlers[operation] = handler

    def serve_watch(self, request, watch, coro):
        self.watches[watch] = coro

    def _guard(self, function, *args):
        try:
            function(*args)
        except Exception as error:
            self.guarded.append(error)


class Loader:
    def __init__(self):
        self.kept = []
        self.installed = []
        self.functions = {}

    def keep(self, package):
        self.kept.append(package.digest)

    def install(self, package):
        self.installed.append(package.digest)

    def resolve(self, entry):
        return self.functions[entry.name]

    def load_arguments(self, data):
        return (), {}


class Listener:
    """Keeps what it hears."""

    def __init__(self):
        self.heard = []

    def began(self, key, name, coro):
        self.heard.append(("began", key[1], name))

    def over(self, key, name, coro):
        self.heard.append(("over", key[1], name))

    def busy(self):
        self.heard.append("busy")

    def idle(self):
        self.heard.append("idle")

    def drained(self):
        self.heard.append("drained")


@pytest.fixture
def host():
    runtime, loader, listener = Runtime(), Loader(), Listener()
    host = JobHost(runtime, loader, listener)
    return SimpleNamespace(host=host, runtime=runtime, loader=loader, heard=listener.heard)


def package_request(token):
    package = Packager().components([package_request])
    header, contents = package.to_wire()
    return SimpleNamespace(header={"token": token, "package": header}, parts=contents), package.digest


def set_up(host, token, digest):
    replies = []
    request = SimpleNamespace(header={"token": token, "packages": [digest]}, reply=lambda: replies.append(True))
    host.runtime.handlers["server.set_up"](request)
    return replies


def test_a_package_that_comes_before_the_token_is_there_once_the_token_is(host):
    request, digest = package_request("right")
    host.runtime.handlers["server.package"](request)
    assert host.loader.kept == []
    host.host.assign("right")
    assert host.loader.kept == [digest]
    assert set_up(host, "right", digest) == [True]
    assert host.loader.installed == [digest]


def test_S16_a_package_with_another_token_is_dropped_whenever_it_comes(host):
    early, _ = package_request("wrong")
    host.runtime.handlers["server.package"](early)
    host.host.assign("right")
    assert [type(error) for error in host.runtime.guarded] == [ComputationClosed]
    late, _ = package_request("wrong")
    with pytest.raises(ComputationClosed):
        host.runtime.handlers["server.package"](late)
    assert host.loader.kept == []


def test_packages_of_nobody_fill_no_memory_before_the_token(host):
    request, _ = package_request("right")
    for _ in range(100):
        host.runtime.handlers["server.package"](request)
    with pytest.raises(ComputationClosed):
        host.runtime.handlers["server.package"](request)


def job(watch, name, token="right", **header):
    return SimpleNamespace(
        header={"token": token, "packages": [], "entry": ["jobs", name, ""], "name": name, "watch": watch, **header},
        parts=[b""],
        peer=SimpleNamespace(incarnation=b"client"),
    )


def queue(host, watch, name, **header):
    """The coroutine whose end the client is told of."""
    host.runtime.handlers["server.queue"](job(watch, name, **header))
    return host.runtime.watches[watch]


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


def test_queued_jobs_that_come_while_the_server_drains_fail_and_it_is_drained_after_those_before(host):
    host.host.assign("right")
    go_on = Completion()
    host.loader.functions = {"last": lambda: go_on.wait() and "done"}
    last = queue(host, 1, "last")
    host.host.drain()
    late = queue(host, 2, "last")
    with pytest.raises(ComputationClosed, match="takes no more jobs"):
        late.value(5)
    assert "drained" not in host.heard
    go_on.set()
    assert last.value(5) == "done"
    poll_until(lambda: host.heard[-1] == "drained", 5)
    assert host.host.job_count == 0


def test_server_without_jobs_is_drained_at_once(host):
    host.host.assign("right")
    host.host.drain()
    poll_until(lambda: host.heard == ["drained"], 5)


def test_job_that_waits_for_its_turn_keeps_a_server_from_being_drained(host):
    host.host.assign("right")
    go_on = Completion()
    host.loader.functions = {"wait": go_on.wait, "next": lambda: None}
    queue(host, 1, "wait", lane="a")
    after = queue(host, 2, "next", lane="a")
    host.host.drain()
    go_on.set()
    after.value(5)
    poll_until(lambda: host.heard[-1] == "drained", 5)
    assert host.heard.index("drained") > host.heard.index(("over", 2, "next"))


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
        coro.add_observer(lambda coro: told.append(list(host.heard)))

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
