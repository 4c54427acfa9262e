"""Node daemons, and programs of old that use them."""

import json
import subprocess
import textwrap
from contextlib import contextmanager

from tests.cluster.programs import ROOT, Programs
from tests.support.ports import free_port


class OldNode:
    """A node daemon on loopback, on a port of its own for discovery, and clients of it."""

    def __init__(self, programs, servers=2, *options):
        self.programs = programs
        self.port = free_port()
        script = str(ROOT / "scripts" / "discoronode.py")
        given = ["-c", str(servers), "-i", "127.0.0.1", "-u", str(self.port), "-s", "", *map(str, options)]
        self.daemon = programs.start(script, *given, stdin=subprocess.PIPE)
        self.announcement = self.daemon.line()

    def client(self, text, name="client.py", **environment):
        """A program of old that is running; ``PORT`` stands for that of discovery."""
        path = self.programs.directory / name
        path.write_text(textwrap.dedent(text).replace("PORT", str(self.port)))
        return self.programs.start("-m", "greencoro.legacy", str(path), **environment)

    def notes(self, text, name="client.py"):
        """What a program of old has printed last, as JSON, once it has ended well."""
        program = self.client(text, name)
        code, printed = program.wait(60), program.rest()
        assert code == 0, program.errors()
        assert "Traceback" not in program.errors(), program.errors()
        return json.loads(printed.splitlines()[-1])

    def printed(self):
        """What the daemon and its servers have printed, once it is ended."""
        self.daemon.process.stdin.write(b"Terminate\n")
        self.daemon.process.stdin.close()
        assert self.daemon.wait() == 0
        return self.daemon.rest()


@contextmanager
def old_node(directory, servers=2, *options):
    programs = Programs(directory)
    try:
        yield OldNode(programs, servers, *options)
    finally:
        programs.end()
