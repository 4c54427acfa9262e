"""The node daemon's loop, run in this process."""

import pytest

from greencoro import Settings
from greencoro.compute.node import Node
from greencoro.compute.node_options import NodeOptions

pytestmark = pytest.mark.cluster


def test_what_goes_wrong_with_one_thing_does_not_end_the_daemon(tmp_path, caplog):
    node = Node(
        NodeOptions(servers=1, host="127.0.0.1", dest_path=tmp_path), Settings(), secret="a secret of this test's own"
    )

    def fail():
        raise ZeroDivisionError("of this test")

    def on_ready(runtime):
        node._inbox.put(fail)
        node.stop(7)

    assert node.run(on_ready) == 7
    assert "ZeroDivisionError: of this test" in caplog.text
    assert list(tmp_path.iterdir()) == []
