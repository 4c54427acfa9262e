"""What a computation has run at its nodes and servers before its jobs, and in the end."""

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
def test_server_that_cannot_be_set_up_is_not_used_and_it_is_said_why(cluster, hook, caplog):
    cluster.wait_for_servers(2)
    with Computation(timeout=4, **{hook: fail}) as computation, pytest.raises(NoMatchingServer, match="no data here"):
        computation.run(pow, 2, 3)
    assert "no data here" in caplog.text


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
