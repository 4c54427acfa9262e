"""``greencoro node status``, ``release`` and ``drain``, run as people run them."""

import json

import pytest

from greencoro.compute.node_words import LeaseEnded, ReserveAnswer
from tests.cli.node_daemons import leased, token
from tests.support.ports import free_port

pytestmark = pytest.mark.cluster


@pytest.fixture
def ask(programs):
    def ask(*arguments, **environment):
        """Exit code, output and errors of a command of `greencoro node`."""
        program = programs.start("-m", "greencoro", "node", *arguments, **environment)
        code = program.wait()
        assert "Traceback" not in program.errors()
        return code, program.rest(), program.errors()

    return ask


def test_status_tells_of_the_node_and_of_each_server(nodes, ask):
    node = nodes.start("-n", "alpha")
    started = leased(nodes.holder(node))
    code, out, errors = ask("status", node.location)
    assert (code, errors) == (0, "")
    first, second = out.splitlines()
    assert first.startswith(f"node alpha at {node.location}: in service, used by a test")
    assert f"alpha-1 at {started.location}, PID {started.pid}: " in second


def test_status_as_json(nodes, ask):
    node = nodes.start("-n", "alpha")
    started = leased(nodes.holder(node))
    code, out, _ = ask("status", node.location, "--json")
    told = json.loads(out)
    assert code == 0
    assert (told["format"], told["name"], told["location"], told["in_use_by"]) == (1, "alpha", node.location, "a test")
    [server] = told["servers"]
    assert (server["pid"], server["location"], server["is_leased"]) == (started.pid, str(started.location), True)


def test_release_ends_the_computation_and_serves_the_next(nodes, ask):
    node = nodes.start()
    first, second = nodes.holder(node), nodes.holder(node)
    leased(first)
    assert second.reserve(token(2), 2) != ReserveAnswer()
    said = f"node {node.location} at {node.location}: released, a test is ended\n"
    assert ask("release", node.location) == (0, said, "")
    assert first.hears(LeaseEnded).token == token()
    assert second.reserve(token(3), 3) == ReserveAnswer()
    assert json.loads(ask("release", node.location, "--json")[1]) == {"format": 1, "ended": "a test"}


def test_release_of_a_node_that_nobody_has_says_so(nodes, ask):
    node = nodes.start()
    said = f"node {node.location} at {node.location}: was free already, no computation has it\n"
    assert ask("release", node.location) == (0, said, "")
    assert json.loads(ask("release", node.location, "--json")[1]) == {"format": 1, "ended": None}


def test_drain_ends_the_daemon_once_its_jobs_are_over(nodes, ask):
    node = nodes.start()
    code, out, _ = ask("drain", node.location)
    assert (code, "takes no more jobs" in out) == (0, True)
    assert node.wait() == 0


def test_node_is_looked_for_at_the_number_of_udp_port(nodes, ask):
    port = free_port()
    node = nodes.start("--port", port)
    code, out, _ = ask("status", "127.0.0.1", "--udp_port", str(port))
    assert (code, node.location in out) == (0, True)


def test_nobody_there_is_one_clear_line(ask):
    place = f"127.0.0.1:{free_port()}"
    code, out, errors = ask("status", place)
    assert (code, out, errors.count("\n")) == (1, "", 1)
    assert errors.startswith(f"greencoro node status: cannot reach {place}")
    assert errors.endswith("; no node there? `greencoro node` starts one\n")


def test_wrong_secret_is_one_clear_line(nodes, ask, tmp_path):
    node = nodes.start()
    (tmp_path / "other").write_text("quite another secret")
    (tmp_path / "other").chmod(0o600)
    code, out, errors = ask("drain", node.location, GREENCORO_SECRET_FILE=str(tmp_path / "other"))
    assert (code, out, errors.count("\n")) == (1, "", 1)
    assert "secret" in errors and "no node there" not in errors
    assert node.process.poll() is None


def test_who_is_no_node_is_told_so(programs, ask):
    other = programs.script(
        """
        import time
        from greencoro import Runtime
        with Runtime("127.0.0.1") as runtime:
            print(runtime.location, flush=True)
            time.sleep(600)
        """
    )
    code, out, errors = ask("release", other.line())
    assert (code, out, errors.count("\n")) == (1, "", 1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["-c", "1", "drain"], "do not go with drain"), (["drain", "a:b:c"], "ambiguous"), (["rest"], "No such command")],
)
def test_arguments_that_make_no_sense_are_refused(ask, arguments, says):
    code, out, errors = ask(*arguments)
    assert (code, out, says in errors) == (2, "", True)
