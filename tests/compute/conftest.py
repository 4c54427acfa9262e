"""A client and a server that are two main modules of one process."""

import copy
import importlib
import json
import linecache
import pickle
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from greencoro import Computation, Coro
from greencoro.compute import client as clients
from greencoro.compute import job_launcher as launchers
from greencoro.compute.loader import Loader, fresh_main
from greencoro.compute.packaging import Packager
from greencoro.compute.packed import Shipment
from greencoro.compute.parts import Entry, Package
from tests.compute import client_stand_ins as stand_ins
from tests.support.polling import poll_until


class Pair:
    """A client's main module and a server's: whichever is at work is the process's main module."""

    def __init__(self, directory: Path) -> None:
        self.client = types.ModuleType("__main__")
        self.packager = Packager()
        self.server = fresh_main()
        self.directory = directory
        self.loader = Loader(directory)
        self._cells = 0

    @contextmanager
    def at(self, main: types.ModuleType) -> Iterator[None]:
        before = sys.modules["__main__"]
        sys.modules["__main__"] = sys.modules["__mp_main__"] = main
        try:
            yield
        finally:
            sys.modules["__main__"] = sys.modules["__mp_main__"] = before

    def define(self, source: str) -> types.ModuleType:
        """Run source in the client's main module, as a cell of a notebook."""
        self._cells += 1
        filename, text = f"<cell {self._cells}>", dedent(source)
        linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
        with self.at(self.client):
            exec(compile(text, filename, "exec"), vars(self.client))
        return self.client

    def pack(self, job: str | Callable[..., Any], path: str = "job") -> Shipment:
        with self.at(self.client):
            return self.packager.pack(getattr(self.client, job) if isinstance(job, str) else job, path)

    def run(self, job: str | Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Ship a job with its arguments, run it at the server, ship its result back."""
        with self.at(self.client):
            shipment = self.pack(job)
            arguments = self.packager.arguments(args, kwargs)
            header, contents = shipment.package.merged(arguments.package).to_wire()
            entry = json.dumps(shipment.entry.to_wire())
            header = json.loads(json.dumps(header))
        with self.at(self.server):
            self.loader.install(Package.from_wire(header, contents))
            args, kwargs = self.loader.load_arguments(arguments.data)
            result = pickle.dumps(self.loader.resolve(Entry.from_wire(json.loads(entry)))(*args, **kwargs))
        with self.at(self.client):
            return pickle.loads(result)


@pytest.fixture
def restored_process() -> Iterator[None]:
    """Main module, path and imported modules are afterwards what they were before."""
    modules, path, cache = dict(sys.modules), copy.copy(sys.path), dict(linecache.cache)
    yield
    for name in [name for name in sys.modules if name.startswith("gc_")]:  # what tests call modules of theirs
        del sys.modules[name]
    sys.modules.update(modules)
    sys.path[:] = path
    linecache.cache.clear()
    linecache.cache.update(cache)
    importlib.invalidate_caches()


@pytest.fixture
def pair(restored_process: None, tmp_path: Path) -> Pair:
    directory = tmp_path / "server"
    directory.mkdir()
    return Pair(directory)


@pytest.fixture
def link(monkeypatch):
    Coro(lambda: None).value(5)  # starts the user hub, as a runtime does that serves anything
    made = stand_ins.Link()
    monkeypatch.setattr(clients, "find_scheduler", lambda location, timeout: made)
    monkeypatch.setattr(clients, "NetworkTransport", lambda runtime, *others: stand_ins.Transport(runtime))
    monkeypatch.setattr(clients, "EXPLANATION_SECONDS", 0.05)
    monkeypatch.setattr(launchers, "EXPLANATION_SECONDS", 0.05)
    return made


@pytest.fixture
def computation(link):
    with Computation(timeout=0.2) as made:
        link.start()
        poll_until(made.servers)
        yield made
