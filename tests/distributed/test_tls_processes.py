"""TLS between processes of their own: one whose standard library is patched, and one as it is."""

import os
import signal

import pytest

from greencoro.distributed.location import Location
from greencoro.distributed.runtime import Runtime
from tests.cluster.peer_process import KEY, peer_process
from tests.distributed.certificates import Made
from tests.distributed.tls_runtimes import TlsNetwork
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster

PROGRAM = """
from tests.distributed.tls_runtimes import TlsNetwork
runtime.finish()
runtime = Runtime("127.0.0.1", secret_key=KEY, network=TlsNetwork(sys.argv[1]))
def echo(coro=None):
    coro.register("echo")
    told(str(runtime.location))
    while True:
        sender, value = coro.receive()
        assert sender.deliver(value, 20) == 1
Coro(echo)
while True:
    time.sleep(1)
"""


def ask(location, value, coro=None):
    from greencoro.hub.coroutine import Coro

    there = Coro.locate("echo", location, timeout=20)
    assert there.deliver((coro, value), 20) == 1
    return coro.receive(timeout=20)


@pytest.mark.parametrize("patched", [True, False], ids=["patched", "as it is"])
def test_S13_processes_talk_inside_TLS_whether_patched_or_not_and_one_that_is_killed_is_lost(tmp_path, patched):
    made = Made(tmp_path)
    with (
        peer_process(PROGRAM, patched, str(made.both)) as process,
        Runtime("127.0.0.1", secret_key=KEY, network=TlsNetwork(made.certfile, made.keyfile)) as runtime,
    ):
        place = Location.parse(process.line())
        assert runtime.peer(place) == 0
        value = os.urandom(8 << 20)
        assert runtime.spawn(ask, place, value).value(60) == value
        process.signal(signal.SIGKILL)
        poll_until(lambda: not runtime.peers())
