"""What a server process does with what clients send it, without a network."""

from types import SimpleNamespace

import pytest

from greencoro.compute.job import HandedBack
from greencoro.compute.job_host import JobHost
from greencoro.compute.packaging import Packager
from greencoro.errors import ComputationClosed, CoroTerminated, JobTimeLimit, RemoteProtocolError, Terminated
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import sleep
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

    def set_up(self, request):
        self.heard.append("set up")

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


def coro_of(host, watch):
    """Of a job, which may be over already."""
    return poll_until(lambda: host.host._jobs.get((b"client", watch)) or host.runtime.watches.get(watch), 5)


def queue(host, watch, name, **header):
    """The coroutine whose end the client is told of."""
    host.runtime.handlers["server.queue"](job(watch, name, **header))
    return coro_of(host, watch)


def run(host, watch, name, **header):
    """The same of a job that its client has a reference to."""
    request = job(watch, name, **header)
    request.reply = lambda header: None
    host.runtime.handlers["server.run"](request)
    return coro_of(host, watch)


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
    poll_until(lambda: ("began", 1, "last") in host.heard, 5)
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
    after = run(host, 2, "next", lane="a")
    poll_until(lambda: ("began", 1, "wait") in host.heard, 5)
    host.host.drain()
    go_on.set()
    after.value(5)
    poll_until(lambda: host.heard[-1] == "drained", 5)
    assert host.heard.index("drained") > host.heard.index(("over", 2, "next"))


def test_queued_jobs_that_have_not_begun_are_handed_back_when_the_server_drains(host):
    host.host.assign("right")
    go_on, order = Completion(), []
    host.loader.functions = {
        "wait": lambda: go_on.wait() and order.append("wait"),
        "next": lambda: order.append("next"),
    }
    running = queue(host, 1, "wait", lane="a")
    queued = [queue(host, watch, "next", lane="a") for watch in (2, 3)]
    referred_to = run(host, 4, "next", lane="a")
    poll_until(lambda: len(host.host._in_line) == 2, 5)
    host.host.drain()
    for coro in queued:
        with pytest.raises(HandedBack, match="its node is ending"):
            coro.value(5)
    # One at a time, as before: those that went did not let the one behind them begin.
    assert running.is_alive() and referred_to.is_alive()
    assert order == []
    go_on.set()
    referred_to.value(5)
    assert order == ["wait", "next"]
    poll_until(lambda: host.heard[-1] == "drained", 5)
    assert not {("began", 2, "next"), ("began", 3, "next")} & set(host.heard)


def test_J2_a_job_whose_turn_has_come_is_not_handed_back(host):
    host.host.assign("right")
    go_on = Completion()
    host.loader.functions = {"wait": go_on.wait, "next": lambda: sleep(0.01) or "ran"}
    queue(host, 1, "wait", lane="a")
    after = queue(host, 2, "next", lane="a")
    poll_until(lambda: host.host._in_line, 5)

    def begin_and_drain():
        # Its turn has come, and it has not been woken yet.
        next(iter(host.host._in_line.values())).set()
        host.host._hand_back()

    Coro(begin_and_drain).value(5)
    assert after.value(5) == "ran"
    go_on.set()


def test_queued_job_that_the_hub_has_not_come_to_is_handed_back(host):
    host.host.assign("right")
    host.loader.functions = {"next": lambda: "ran"}

    def queue_and_drain():
        coro = queue(host, 1, "next")
        host.host._hand_back()
        return coro

    with pytest.raises(HandedBack):
        Coro(queue_and_drain).value(5).value(5)


class Reactor:
    """Its clock shows what a test says."""

    def __init__(self):
        self.timers = []

    def post(self, function, *args):
        function(*args)

    def call_later(self, seconds, function, *args):
        timer = SimpleNamespace(seconds=seconds, cancel=lambda: self.timers.remove(timer))
        timer.end = lambda: function(*args)
        self.timers.append(timer)
        return timer


@pytest.fixture
def reactor(host):
    reactor = Reactor()
    host.runtime.reactor.post = reactor.post
    host.runtime.reactor.call_later = reactor.call_later
    host.host.assign("right")
    return reactor


def test_job_that_runs_longer_than_its_time_limit_is_ended_and_says_so(host, reactor):
    host.loader.functions = {"wait": Completion().wait}
    coro = queue(host, 1, "wait", time_limit=2.5)
    poll_until(lambda: reactor.timers, 5)
    assert reactor.timers[0].seconds == 2.5
    reactor.timers[0].end()
    with pytest.raises(JobTimeLimit, match=r"wait ran longer than its time limit of 2\.5 s") as caught:
        coro.value(5)
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value.__cause__, Terminated)
    assert reactor.timers == []


def test_clock_of_a_time_limit_starts_with_the_turn_and_stops_with_the_job(host, reactor):
    go_on = Completion()
    host.loader.functions = {"wait": go_on.wait, "next": lambda: 3}
    queue(host, 1, "wait", lane="a")
    after = queue(host, 2, "next", lane="a", time_limit=1)
    poll_until(lambda: host.host._in_line, 5)
    assert reactor.timers == []
    go_on.set()
    assert after.value(5) == 3
    poll_until(lambda: not reactor.timers, 5)


def test_job_that_was_terminated_within_its_time_limit_is_terminated(host, reactor):
    host.loader.functions = {"wait": Completion().wait}
    coro = queue(host, 1, "wait", time_limit=2)
    poll_until(lambda: reactor.timers, 5)
    coro.terminate()
    with pytest.raises(CoroTerminated):
        coro.value(5)


def test_what_a_job_returned_that_would_not_end_stands(host, reactor):
    def stay():
        try:
            Completion().wait()
        except Terminated:
            return "stayed"

    host.loader.functions = {"stay": stay}
    coro = queue(host, 1, "stay", time_limit=2)
    poll_until(lambda: reactor.timers, 5)
    reactor.timers[0].end()
    assert coro.value(5) == "stayed"


@pytest.mark.parametrize("limit", [0, -1, "1", True, [1], float("nan"), float("inf")])
def test_time_limit_that_is_none_is_refused(host, limit):
    host.host.assign("right")
    with pytest.raises(RemoteProtocolError, match="no number of seconds"):
        queue(host, 1, "any", time_limit=limit).value(5)


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
