"""The node daemon's loop, run in this process."""

import threading
from types import SimpleNamespace

import pytest

from greencoro import Settings
from greencoro.compute.node import Node
from greencoro.compute.node_options import NodeOptions
from greencoro.compute.node_words import Command, Operate, ReserveAnswer, ServerStarted, lease_token
from greencoro.errors import ComputeError
from tests.cluster.holder import Holder
from tests.distributed.certificates import Made

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


SECRET = "a secret of this test's own"
TOKEN = lease_token(bytes(16), 1)


def hold(tmp_path, use, runtime_options=None, **options):
    """Run a daemon with a holder, whose ``use(holder)`` is done in a thread of its own."""
    node = Node(NodeOptions(servers=1, host="127.0.0.1", dest_path=tmp_path, **options), Settings(), secret=SECRET)
    failures = []

    def be_holder(location):
        try:
            holder = Holder(location, settings=Settings(), secret=SECRET, **(runtime_options or {}))
            try:
                assert holder.reserve(TOKEN) == ReserveAnswer()
                use(holder, holder.hears(ServerStarted))
            finally:
                holder.runtime.finish()
        except BaseException as error:
            failures.append(error)
        finally:
            node.stop()

    thread = threading.Thread(target=lambda: be_holder(at[0]))
    at = []

    def on_ready(runtime):
        at.append(runtime.locations[-1])
        thread.start()

    assert node.run(on_ready) == 0
    thread.join()
    for failure in failures:
        raise failure


def test_tags_of_a_node_are_told(tmp_path):
    told = []
    hold(tmp_path, lambda holder, started: told.append(holder.facts()), tags={"gpu": "two"})
    assert told[0].tags == {"gpu": "two"}


def test_S13_servers_show_the_certificate_of_their_node(tmp_path):
    made = Made(tmp_path)
    shown = {"certfile": made.certfile, "keyfile": made.keyfile}

    def use(holder, started):
        assert holder.runtime.connect(started.location).incarnation.hex() == started.incarnation

    hold(tmp_path / "dest", use, shown, **shown)


def test_servers_behind_a_gateway_say_its_address(tmp_path):
    def use(holder, started):
        assert started.location.addr == "127.0.0.2"

    hold(tmp_path, use, ext_ip_addr="127.0.0.2")


def asks(address):
    wire = None if address is None else SimpleNamespace(stream=SimpleNamespace(peer_address=address))
    return SimpleNamespace(link=SimpleNamespace(wire=wire), reply=lambda header: None)


@pytest.mark.parametrize("command", [Command.RELEASE, Command.DRAIN])
@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", None])
def test_S16_a_node_is_not_released_or_drained_from_another_machine(tmp_path, command, address):
    node = Node(NodeOptions(servers=1, host="127.0.0.1", dest_path=tmp_path), Settings(), secret=SECRET)
    with pytest.raises(ComputeError, match="own machine"):
        node.operate(asks(address), Operate(command))
    node.operate(asks("127.0.0.1"), Operate(Command.RELEASE))
