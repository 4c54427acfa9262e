"""What a server process does with what clients send it, without a network."""

from types import SimpleNamespace

import pytest

from greencoro.compute.job_host import JobHost
from greencoro.compute.packaging import Packager
from greencoro.errors import ComputationClosed, CoroTerminated
from greencoro.hub.completion import Completion
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


@pytest.fixture
def host():
    runtime, loader = Runtime(), Loader()
    idle = []
    host = JobHost(runtime, loader, lambda: idle.append(True))
    return SimpleNamespace(host=host, runtime=runtime, loader=loader, idle=idle)


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


def test_queued_jobs_that_come_while_the_server_drains_fail_and_it_is_idle_after_those_before(host):
    host.host.assign("right")
    go_on = Completion()
    host.loader.functions = {"last": lambda: go_on.wait() and "done"}
    last = queue(host, 1, "last")
    host.host.drain()
    late = queue(host, 2, "last")
    with pytest.raises(ComputationClosed, match="takes no more jobs"):
        late.value(5)
    assert host.idle == []
    go_on.set()
    assert last.value(5) == "done"
    poll_until(lambda: host.idle, 5)
    assert host.host.job_count == 0


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
