"""The example programs that compute on a cluster, as one types what their docstrings say: no node is named."""

from __future__ import annotations

import os
import re

import pytest

from tests.lab.netlab import Lab
from tests.lab.programs import Hosts
from tests.lab.ssh import Ssh, why_no_ssh
from tests.support.examples import EXAMPLES
from tests.test_examples_on_clusters import ALL, docstring, options, output

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.lab,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="the examples' nodes have two servers: needs two CPUs"),
]


def example(hosts: Hosts, host: str, name: str) -> tuple[str, int]:
    """Run an example as its docstring says; what it printed, and its exit code."""
    process = hosts.start(host, str(EXAMPLES / f"{name}.py"))
    return process.communicate(timeout=50)[0], process.returncode


@pytest.mark.parametrize("name", ALL)
def test_an_example_finds_the_node_of_its_network(hosts: Hosts, lab: Lab, name: str) -> None:
    assert f" at {lab.ip('h2')}:51350: " in hosts.node("h2", *options(name))
    printed, code = example(hosts, "h1", name)
    assert (sorted(printed.splitlines()), code) == (sorted(output(name).splitlines()), 0), hosts.errors.read_text()


@pytest.mark.skipif(why_no_ssh() is not None, reason=str(why_no_ssh()))
def test_an_example_uses_a_node_of_which_nothing_but_ssh_can_be_reached(hosts: Hosts, ssh: Ssh) -> None:
    name = "cluster_ssh"
    # It listens at loopback of another host.
    assert " at 127.0.0.1:51350: 2 servers" in hosts.node("h2", *options(name))
    [command] = re.findall(r"^ +ssh -N (.*) USER@MACHINE &$", docstring(name), re.MULTILINE)
    ssh.forward(*command.split())
    assert example(hosts, "h1", name) == (output(name), 0), hosts.errors.read_text()
