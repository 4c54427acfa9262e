"""A process that runs jobs, without the rest of greencoro: pipes in the place of a network.

A client's script makes a `JobServer` and calls `run`. As a program this module is the server.
"""

import json
import pickle
import subprocess
import sys
import traceback

from greencoro.compute.loader import Loader, fresh_main
from greencoro.compute.packaging import Packager
from greencoro.compute.parts import Entry, Package


class JobFailed(Exception):
    """What the server printed about a job that raised."""


class JobServer:
    def __init__(self, directory, components=(), python=sys.executable):
        self.packager = Packager()
        self._sent = set()
        self._process = subprocess.Popen(
            [python, __file__], cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._components = self.packager.components(components)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def run(self, function, *args, **kwargs):
        shipment = self.packager.pack(function)
        arguments = self.packager.arguments(args, kwargs)
        package = self._components.merged(shipment.package, arguments.package)
        header, contents = package.without(self._sent).to_wire()
        self._sent |= package.digests()
        entry = shipment.entry.to_wire()
        pickle.dump((json.dumps([header, entry]), contents, arguments.data), self._process.stdin)
        self._process.stdin.flush()
        kind, value = pickle.load(self._process.stdout)
        if kind == "failed":
            raise JobFailed(value)
        return pickle.loads(value)


def serve():
    loader = Loader(".")
    while True:
        try:
            request, contents, data = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            header, entry = json.loads(request)
            loader.install(Package.from_wire(header, contents))
            args, kwargs = loader.load_arguments(data)
            value = loader.resolve(Entry.from_wire(entry))(*args, **kwargs)
            answer = "done", pickle.dumps(value)
        except Exception:
            answer = "failed", traceback.format_exc()
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    fresh_main()
    serve()
