"""The parameters of a Runtime, in the seeds' order: what each means, and what is refused."""

import inspect
import socket

import gevent
import pytest

from greencoro.config import Settings
from greencoro.distributed import options
from greencoro.distributed import reactor as reactors
from greencoro.distributed.location import Location
from greencoro.distributed.runtime import Runtime
from greencoro.errors import ConfigError
from tests.distributed.conftest import SECRET_KEY
from tests.support.polling import poll_until


def made(*args, **kwargs):
    return Runtime(*args, **{"discover_peers": False, "secret_key": SECRET_KEY} | kwargs)


def test_parameters_come_in_the_seeds_order():
    seeds = "node udp_port tcp_port ext_ip_addr name discover_peers peers secret certfile keyfile notifier"
    expected = [*seeds.split(), "dest_path", "dest_path_prefix", "max_file_size"]
    parameters = list(inspect.signature(Runtime).parameters.values())
    assert [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD] == expected
    defaults = {p.name: p.default for p in parameters}
    assert (defaults["udp_port"], defaults["tcp_port"], defaults["discover_peers"]) == (None, 0, True)


def test_parameters_may_be_given_by_place():
    with (
        made("127.0.0.1") as friend,
        Runtime("127.0.0.1", 0, 0, None, "x", False, [friend.location], "word") as runtime,
    ):
        assert runtime.name == "x"
        assert runtime._neighbours.udp_port == 51350


@pytest.mark.parametrize(
    "wrong",
    [
        {"udp_port": -1},
        {"udp_port": 65536},
        {"udp_port": "51350"},
        {"udp_port": True},
        {"notifier": "iocp"},
        {"notifier": ""},
        {"node": []},
        {"node": 7},
        {"ext_ip_addr": "no host/at all"},
        {"ext_ip_addr": ""},
        {"dest_path": "/a", "dest_path_prefix": "/b"},
        {"tcp_port": 70_000},
    ],
    ids=str,
)
def test_Z4_a_parameter_that_cannot_work_raises_and_leaves_nothing_behind(wrong):
    with pytest.raises(ConfigError):
        made(**{"node": "127.0.0.1"} | wrong)
    assert reactors.backend() is None


def test_the_notifier_names_the_backend_of_the_loop():
    before = gevent.config.libev_backend
    try:
        for name in ("poll", "select", "epoll"):
            with made("127.0.0.1", notifier=name) as one, made("127.0.0.1", notifier=name) as other:
                assert reactors.backend() == name
                assert one.peer(other.location) == 0
                with pytest.raises(ConfigError, match=f"wait by {name} already"):
                    made("127.0.0.1", notifier="poll" if name != "poll" else "epoll")
    finally:
        gevent.config.libev_backend = before


def test_several_addresses_are_listened_at_and_the_first_is_told():
    with made(["127.0.0.1", "::1", "127.0.0.2"]) as runtime, made("127.0.0.1") as other:
        port = runtime.location.port
        assert runtime.location == Location("127.0.0.1", port)
        for host in ("::1", "127.0.0.2"):
            assert other.connect(Location(host, port)).location == runtime.location
        assert len(other.peer_table.links) == 1


def test_where_a_free_port_is_taken_at_the_second_address_another_one_is_chosen(monkeypatch):
    refused = []
    runtime = made("127.0.0.1")
    transport = runtime.peer_table._transport
    original = transport.listen

    def busy(location):
        if location.addr == "127.0.0.2" and len(refused) < 3:
            refused.append(location.port)
            raise OSError(98, "Address already in use")
        return original(location)

    monkeypatch.setattr(transport, "listen", busy)
    listeners = options.listen(transport, ["127.0.0.1", "127.0.0.2"], 0)
    assert len({listener.location.port for listener in listeners}) == 1 and len(refused) == 3
    for listener in listeners:
        listener.close()
    refused.clear()
    with pytest.raises(OSError, match="in use"):
        options.listen(transport, ["127.0.0.1", "127.0.0.2"], runtime.location.port + 1)
    runtime.finish()


def test_ext_ip_addr_is_what_others_are_told():
    with made("127.0.0.1", ext_ip_addr="127.0.0.9") as inside, made("127.0.0.1") as outside:
        port = inside.location.port
        assert inside.location == Location("127.0.0.9", port)
        info = outside.connect(Location("127.0.0.1", port))
        assert info.location == inside.location and inside.name == str(inside.location)
        poll_until(lambda: outside.peers() == [inside.location])
        # It cannot be dialled there, and is reached over the connection there is.
        assert outside.request(inside.location, "greencoro.ping", {}, timeout=5).header == {}


def test_all_addresses_stand_for_the_one_that_others_can_use():
    with made("0.0.0.0") as runtime:
        assert runtime.location == Location(options.default_address(), runtime.location.port)


def test_pings_tell_the_address_of_each_network_and_ext_ip_addr_where_given():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with made("127.0.0.1", port, discover_peers=True, ext_ip_addr="127.0.0.9") as runtime:
        assert list(runtime._neighbours.told.values()) == [runtime.location]


@pytest.mark.parametrize("name", ["ping_interval_seconds", "multicast_group"])
def test_what_discovery_may_do_beyond_is_off_by_default(name):
    assert getattr(Settings(), name) is None


@pytest.mark.parametrize("group", ["192.0.2.1", "ff02::1", "x", 7, ""])
def test_a_group_is_an_IPv4_multicast_address(group):
    assert Settings(multicast_group="239.1.2.3").multicast_group == "239.1.2.3"
    with pytest.raises(ConfigError, match="multicast_group"):
        Settings(multicast_group=group)


def test_Z4_a_certificate_that_is_not_there_is_refused_at_the_start():
    with pytest.raises(ConfigError, match="/nowhere"):
        made("127.0.0.1", certfile="/nowhere")
