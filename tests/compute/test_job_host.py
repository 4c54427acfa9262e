"""What a server process does with what clients send it, without a network."""

from types import SimpleNamespace

import pytest

from greencoro.compute.job_host import JobHost
from greencoro.compute.packaging import Packager
from greencoro.errors import ComputationClosed


class Runtime:
    """Keeps the handlers, and does at once what is meant for the reactor."""

    name = "server"

    def __init__(self):
        self.handlers = {}
        self.reactor = SimpleNamespace(post=lambda function, *args: function(*args), guard=self._guard)
        self.guarded = []

    def handle(self, operation, handler, on_reactor=False):
        self.handlers[operation] = handler

    def _guard(self, function, *args):
        try:
            function(*args)
        except Exception as error:
            self.guarded.append(error)


class Loader:
    def __init__(self):
        self.kept = []
        self.installed = []

    def keep(self, package):
        self.kept.append(package.digest)

    def install(self, package):
        self.installed.append(package.digest)


@pytest.fixture
def host():
    runtime, loader = Runtime(), Loader()
    host = JobHost(runtime, loader, lambda: None)
    return SimpleNamespace(host=host, runtime=runtime, loader=loader)


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
