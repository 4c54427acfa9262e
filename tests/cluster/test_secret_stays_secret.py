"""S5: whatever processes of a cluster print, log, are called with or hand on, the secret and its keys are not in it."""

import base64
import signal

import psutil
import pytest

from greencoro.distributed import secret as secrets
from tests.cluster.programs import Program

pytestmark = pytest.mark.cluster

TYPED = "correct horse battery staple"

# Shows all that it has, with every log line; then waits to be looked at.
CLIENT = """
    import logging, os, sys, time, traceback
    from greencoro import Computation, {cluster}, runtime

    logging.basicConfig(level=logging.DEBUG)

    def show():
        print(sorted(os.environ.items()), sys.argv, os.listdir())
        logging.getLogger().warning("a line of a job")
        return [vars(module).keys() for module in list(sys.modules.values())] and os.getpid()

    def fail():
        raise ValueError("on purpose")

    with {cluster}({arguments}) as cluster, Computation() as computation:
        print(computation.run(show).value(20))
        try:
            computation.run(fail).value(20)
        except Exception:
            traceback.print_exc()
        for thing in (runtime(), runtime().secret, cluster, computation):
            print(thing, repr(thing), vars(thing) if hasattr(thing, "__dict__") else "")
        try:
            raise RuntimeError(runtime().secret)
        except RuntimeError:
            traceback.print_exc()
        print("shown", flush=True)
        time.sleep(60)
"""


@pytest.fixture
def typed(tmp_path):
    """The secret that a person typed, in its file."""
    file = tmp_path / "typed"
    file.write_text(TYPED)
    file.chmod(0o600)
    return str(file)


def forms() -> list[str]:
    """How the secret, and what is derived of it, would look."""
    secret = secrets.load(TYPED)
    keys = secret.key, secret.psk(), secret.discovery_key()
    return [TYPED] + [
        form
        for key in keys
        for form in (key.hex(), repr(key)[2:-1], str(list(key))[1:-1], base64.b64encode(key).decode().rstrip("="))
    ]


def shown_by(program: Program) -> str:
    """Command lines and environments of all its processes."""
    shown = ""
    for member in program.look_at_family():
        try:
            shown += " ".join(member.cmdline()) + repr(member.environ())
        except psutil.NoSuchProcess:
            continue
    return shown


def said_until(program: Program, word: str) -> str:
    lines = []
    while not lines or lines[-1] != word:
        lines.append(program.line())
    return "\n".join(lines)


def said_at_the_end(program: Program) -> str:
    program.process.send_signal(signal.SIGTERM)
    program.wait()
    return program.rest() + program.errors()


def test_S5_nobody_of_a_cluster_shows_the_secret_anywhere(programs, typed, tmp_path):
    node, location = programs.node("-c", "1", "--debug", GREENCORO_SECRET_FILE=typed)
    clients = [
        programs.script(CLIENT.format(cluster=cluster, arguments=arguments), name, GREENCORO_SECRET_FILE=typed)
        for name, cluster, arguments in (
            ("client.py", "Scheduler", f"nodes=['{location}'], node='127.0.0.1'"),
            ("all-in-one.py", "LocalCluster", "servers=1"),
        )
    ]
    stranger = programs.script(
        f"""
        import logging
        from greencoro import runtime

        logging.basicConfig(level=logging.DEBUG)
        print(runtime().peer("{location}", timeout=5))
        """,
        "stranger.py",
        GREENCORO_SECRET_FILE=str(tmp_path / "other-secret"),
    )
    said = {client: said_until(client, "shown") for client in clients}
    assert stranger.wait() == 0
    # The program, the daemon, its zygote, a server.
    assert len(clients[1].look_at_family()) >= 4 and len(node.servers()) == 1
    shown = "".join(map(shown_by, (node, *clients)))
    said |= {node: node.announcement, stranger: ""}
    for program in (stranger, *clients, node):
        said[program] += said_at_the_end(program)
    for client in clients:
        for word in ("peer.online name=", "a line of a job", "on purpose", "<Secret ", typed):
            assert word in said[client], said[client]
    for refused in (node, stranger):
        assert "wrong secret" in said[refused], said[refused]
    assert typed in shown
    everything = shown + "".join(said.values())
    assert not [form for form in forms() if form in everything]
