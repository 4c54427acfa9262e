"""Node daemons, for tests of the program's options."""

import subprocess

from greencoro.compute.node_words import ReserveAnswer, ServerStarted
from tests.cluster.holder import Holder
from tests.support.examples import ROOT

DISCORONODE = str(ROOT / "scripts" / "discoronode.py")


class Nodes:
    """Node daemons, started by `discoronode.py` on loopback, each with one server where nothing else is asked for."""

    def __init__(self, programs):
        self.programs = programs
        self._holders = []

    def start(self, *arguments, stdin=subprocess.DEVNULL, **environment):
        """A daemon that is ready; it knows where it is."""
        given = ["-i", "127.0.0.1", "-c", "1", *map(str, arguments)]
        if "--port" not in given:
            given += ["--port", "0"]
        node = self.programs.start(DISCORONODE, *given, stdin=stdin, **environment)
        node.announcement = node.line()
        node.location = node.announcement.split(" at ")[1].split(": ")[0]
        return node

    def fails(self, *arguments):
        """Exit code and standard error of one that cannot start."""
        node = self.programs.start(DISCORONODE, *map(str, arguments))
        code = node.wait()
        errors = node.errors()
        assert "Traceback" not in errors
        return code, errors

    def holder(self, node, **options):
        """Somebody who may reserve it."""
        held = Holder(node.location, **options)
        self._holders.append(held)
        return held

    def client(self, node, body, **environment):
        """A program with a computation at the node, in which `body` runs."""
        text = f"""
import os, resource, sys, time
from greencoro import Computation, Scheduler

{body}

if __name__ == "__main__":
    with Scheduler(nodes=["{node.location}"], node="127.0.0.1"), Computation() as computation:
        run(computation)
"""
        return self.programs.script(text, **environment)

    def end(self):
        for held in self._holders:
            held.runtime.finish()


def token(number=1):
    return f"{number:064x}"


def leased(holder, number=1):
    """Reserve, wait for the server, and return it."""
    assert holder.reserve(token(number), number) == ReserveAnswer()
    return holder.hears(ServerStarted, number=number)
