"""The ``greencoro`` command. From the bottom up, each using only those above it:

- calling: a click command run as a program
- ports: the TCP ports of servers, as people list them
- findings: what `greencoro doctor` found out, as lines or JSON
- terminal: lines that are typed, for a program that may be sent to the background
- saved_config: options of a command in a file
- old_options: options as programs had them before
- node_settings: the options of a node daemon
- node: ``greencoro node``, server processes on this machine
- discoronode: the same as a program of its own
- scheduler: ``greencoro scheduler``, the computations of many clients
- discoro: the same as a program of its own
- handshake: a node daemon for a parent process
- run: ``greencoro run``, a program whose blocking calls let others go on
- legacy: ``greencoro legacy``, a program written for asyncoro
- cert: ``greencoro cert``, the certificate by which processes with TLS know each other
- steps: doing what may hang, for a limited time
- network_options: the options of commands that start a runtime for a moment
- operate: ``greencoro node status``, ``release`` and ``drain``
- peer_facts: what a runtime knows of the peers that are online
- machine_checks: this process, its settings, its secret, its limits
- network_checks: addresses, ports, broadcast, who answers
- peer_checks: the way to one peer, and back
- doctor: ``greencoro doctor``, why processes do not find each other
- peers: ``greencoro peers``, who is on the network
- explain: ``greencoro explain``, what became of the jobs of this user's programs
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code.

    Args:
        arguments: After the command's name; None for those of this process.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments == ["node", "--handshake"]:
        # A cluster in another process waits for this one, so nothing that reads command lines is imported.
        import gc

        from greencoro.hub.patching import patch_all

        gc.disable()  # what is imported stays
        patch_all()
        from greencoro.cli.handshake import run_for_parent

        return run_for_parent()

    if arguments[:1] == ["run"]:
        # It patches the standard library, so nothing more of that is imported before.
        from greencoro.cli.run import run

        return run(arguments[1:])
    if arguments[:1] == ["legacy"]:
        from greencoro.cli.legacy import legacy

        return legacy(arguments[1:])

    import click

    from greencoro._version import __version__
    from greencoro.cli.calling import run_command
    from greencoro.cli.cert import cert
    from greencoro.cli.doctor import doctor
    from greencoro.cli.explain import explain
    from greencoro.cli.legacy import HELP as LEGACY_HELP
    from greencoro.cli.node import HELP as NODE_HELP
    from greencoro.cli.node import serve
    from greencoro.cli.node_settings import OPTIONS
    from greencoro.cli.operate import COMMANDS
    from greencoro.cli.peers import peers
    from greencoro.cli.run import HELP
    from greencoro.cli.scheduler import scheduler

    # Without a command of its own it is the daemon.
    node = click.Group(
        "node", COMMANDS, params=list(OPTIONS), callback=serve, invoke_without_command=True, help=NODE_HELP
    )
    # Only for the list of commands: these never come to be called.
    listed = [click.Command("run", help=HELP), click.Command("legacy", help=LEGACY_HELP)]
    words = "Plain blocking-style functions on many machines."
    group = click.Group("greencoro", commands=[cert, doctor, explain, node, peers, scheduler, *listed], help=words)
    click.version_option(__version__, prog_name="greencoro")(group)
    return run_command(group, "greencoro", arguments)
