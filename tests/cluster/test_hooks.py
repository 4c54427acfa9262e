"""What a computation has run at its nodes and servers before its jobs, and in the end."""

import sys
import time
from pathlib import Path

import pytest

from greencoro import Computation
from greencoro.errors import NoMatchingServer

pytestmark = pytest.mark.cluster


def note(path, what):
    import os

    with open(path, "a") as file:
        file.write(f"{what} {os.getpid()}\n")


class Note:
    """A hook that leaves a line."""

    def __init__(self, path, what):
        self.path, self.what = str(path), what

    def __call__(self):
        note(self.path, self.what)


def fail():
    raise ValueError("no data here")


def give_up():
    sys.exit("no data here")


def hang():
    time.sleep(600)


def test_node_is_set_up_once_and_first_and_everything_is_cleaned_up_in_the_opposite_order(cluster, tmp_path):
    path = tmp_path / "notes"
    kinds = ["node_setup", "server_setup", "server_cleanup", "node_cleanup"]
    with Computation(**{kind: Note(path, kind) for kind in kinds}) as computation:
        computation.wait_for_servers(2, timeout=30)
        for server in computation.servers():
            computation.run_at(server, note, str(path), "job").value(10)
    notes = [line.split() for line in Path(path).read_text().splitlines()]
    said = [what for what, _ in notes]
    assert said == ["node_setup", *["server_setup"] * 2, *["job"] * 2, *["server_cleanup"] * 2, "node_cleanup"]
    for what in ("server_setup", "server_cleanup"):
        assert len({pid for kind, pid in notes if kind == what}) == 2


@pytest.mark.parametrize("hook", ["node_setup", "server_setup"])
@pytest.mark.parametrize(
    ("function", "raised"), [(fail, "fail raised ValueError"), (give_up, "give_up raised SystemExit")]
)
def test_server_that_cannot_be_set_up_is_not_used_and_it_is_said_why(cluster, hook, function, raised, caplog):
    cluster.wait_for_servers(2)
    with Computation(timeout=4, **{hook: function}) as computation, pytest.raises(NoMatchingServer) as error:
        computation.run(pow, 2, 3)
    assert f"could not be set up: {hook} {raised}: no data here" in str(error.value)
    assert f"could not be set up: {hook} {raised}: no data here" in caplog.text
    assert "Traceback" not in caplog.text


def test_clean_up_that_hangs_is_ended(cluster, caplog):
    with Computation(timeout=1, server_cleanup=hang, node_cleanup=fail) as computation:
        computation.wait_for_servers(1, timeout=30)
        began = time.monotonic()
    assert time.monotonic() - began < 15
    assert "hang failed at " in caplog.text
    assert "CoroTerminated" in caplog.text
    assert "fail failed at " in caplog.text
    assert "ValueError: no data here" in caplog.text


def test_node_whose_first_server_dies_over_its_set_up_is_set_up_by_another(cluster, tmp_path):
    class Once(Note):
        def __call__(self):
            import os

            note(self.path, self.what)
            if len(Path(self.path).read_text().splitlines()) == 1:
                os._exit(3)

    path = tmp_path / "notes"
    with Computation(node_setup=Once(path, "node")) as computation:
        assert computation.run(pow, 2, 3).value(30) == 8
        computation.wait_for_servers(2, timeout=30)
    assert len(Path(path).read_text().splitlines()) == 2


@pytest.mark.parametrize(("hook", "error"), [(3, TypeError), (note, TypeError)])
def test_hook_that_cannot_be_called_is_refused_at_once(cluster, hook, error):
    with pytest.raises(error):
        Computation(server_setup=hook)


def test_a_node_whose_servers_die_over_their_set_up_is_given_up_and_it_is_said_why(programs):
    _, location = programs.node("-c", "1")
    client = programs.script(
        f"""
        import os
        from greencoro import *

        def listen(coro=None):
            while True:
                message = coro.receive()
                if isinstance(message, Status) and message.name == "NodeIgnore":
                    return message.info

        listener = Coro(listen)
        with Scheduler(nodes="{location}", node="127.0.0.1") as scheduler:
            computation = Computation(server_setup=lambda: os._exit(9), status_coro=listener, timeout=2)
            with computation:
                for _ in range(2):
                    try:
                        computation.run(abs, 1)
                    except NoMatchingServer as error:
                        print(error, flush=True)
                    listener.value(60)
        """
    )
    before, after = client.line(), client.line(80)
    assert "ended with exit code 9" in before
    assert "is not used any more: 5 servers died before they were set up; the last one ended with exit code 9" in after
    assert client.wait() == 0, client.errors()
