"""A job host without a network, and those who ask things of it."""

import contextlib
from types import SimpleNamespace

from greencoro.compute.job_host import JobHost
from greencoro.hub import execution
from greencoro.hub.exit import alive
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
        self.reactor = SimpleNamespace(post=lambda function, *args: function(*args))
        self.watches = {}

    def handle(self, operation, handler, on_reactor=False):
        self.handlers[operation] = handler

    def serve_watch(self, request, watch, coro):
        self.watches[watch] = coro


class Loader:
    def __init__(self):
        self.kept = []
        self.arguments = []
        self.installed = []
        self.functions = {}

    def keep(self, package):
        self.kept.append(package.digest)

    def has(self, packages):
        return set(packages) <= set(self.installed)

    def install(self, package):
        self.installed.append(package.digest)

    def resolve(self, entry):
        return self.functions[entry.name]

    def keep_content(self, digest, content):
        self.kept.append(digest)

    def load_arguments(self, data):
        self.arguments.append(bytes(data))
        return (), {}

    def load_scattered(self, data):
        return data


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


@contextlib.contextmanager
def job_host():
    runtime, loader, listener = Runtime(), Loader(), Listener()
    host = JobHost(runtime, loader, listener)
    before = set(alive)
    yield SimpleNamespace(host=host, runtime=runtime, loader=loader, heard=listener.heard)
    execution.is_told_elsewhere.remove(host._is_job)
    # Of a test that failed some would wait for ever for what it did not come to, and the run for them.
    for coro in [coro for coro_id, coro in list(alive.items()) if coro_id not in before]:
        coro.terminate()
    poll_until(lambda: set(alive) <= before, 5)


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
