"""The parameters of a Runtime, in the seeds' order: what each means, and what is refused."""

import inspect
import socket
import subprocess
import sys

import psutil
import pytest

from greencoro.config import Settings
from greencoro.distributed import options
from greencoro.distributed import reactor as reactors
from greencoro.distributed.runtime import Runtime
from greencoro.errors import ConfigError
from greencoro.hub import native
from greencoro.hub.coroutine import Coro
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


#: What each parameter of `Runtime` refuses. What it says names the parameter, or the value that cannot be.
WRONG = {
    "node": [[], 7, b"127.0.0.1", "", ["127.0.0.1", ""], ["127.0.0.1", 7], "a b", "no-such-host.invalid"],
    "udp_port": [-1, 65536, "51350", True, 1.5],
    "tcp_port": [-1, 70_000, "51350", True, 1.5, None],
    "ext_ip_addr": ["no host/at all", "", 7, "nix.invalid"],
    "name": [5, b"name", "", "x" * 256, "a\nb"],
    "discover_peers": ["no", "", "Schedulers", None, 0, 2, ["schedulers"]],
    "peers": [5, None, [5], [None], [""], ["a b"], "", "1:2:3", b"host"],
    "secret": [5, b"a secret of some length"],
    "secret_key": ["k" * 32, b"short"],
    "certfile": [5, "", "/nowhere/at/all"],
    "keyfile": [5, "", "/nowhere/at/all"],
    "notifier": ["iocp", "", 5],
    "dest_path": [5, "", "/etc/hostname", "/etc/hostname/below"],
    "dest_path_prefix": [5, "", "/etc/hostname"],
    "max_file_size": ["1", -1, 1.5, True],
    "max_dest_size": ["1", -1, 1.5, True],
    "settings": [5, {}],
    "network": [5],
    "insecure": ["yes", None],
    "announce": ["yes", None],
    "role": ["daemon", "Node", None, 1, b"node", ["node"]],
    "closed": ["yes", None, 1],
    "listen_on": [5, None, "7", [True], ["7"], [-1], [0]],
    "accepting": ["yes", None],
    "serializer": ["JSON", "dill", "", None, 1, ["json"]],
}
EACH_WRONG = [{parameter: value} for parameter, values in WRONG.items() for value in values]


def test_Z4_each_parameter_is_in_the_table_of_what_is_refused():
    assert set(WRONG) == set(inspect.signature(Runtime).parameters)


@pytest.mark.parametrize("wrong", [*EACH_WRONG, {"dest_path": "/a", "dest_path_prefix": "/b"}], ids=str)
def test_Z4_a_parameter_that_cannot_work_raises_one_clear_error_and_leaves_nothing_behind(wrong):
    with pytest.raises(ConfigError) as caught:
        made(**{"node": "127.0.0.1"} | wrong)
    ((parameter, value), *_) = wrong.items()
    said = str(caught.value).replace("dest_path_prefix", "dest_path")
    reasons = (parameter.replace("_prefix", ""), repr(value), "name of a runtime", "host name", "/nowhere/at/all")
    assert any(reason in said for reason in reasons), said
    assert "a secret of" not in said and "kkk" not in said
    assert reactors.backend() is None


@pytest.mark.parametrize("timeout", [None, "5", float("nan"), True])
def test_Z4_finish_with_a_timeout_that_is_none_raises_and_finishes_nothing(timeout):
    with made("127.0.0.1") as runtime:
        with pytest.raises((TypeError, ValueError), match="finish"):
            runtime.finish(timeout)
        with made("127.0.0.1") as other:
            assert other.peer(runtime.location) == 0


def test_one_peer_may_be_given_without_a_list_around_it():
    with made("127.0.0.1") as friend:
        for peers in (friend.location, str(friend.location), [friend.location], {str(friend.location)}):
            with made("127.0.0.1", peers=peers) as runtime:
                poll_until(lambda runtime=runtime: runtime.peers() == [friend.location])


def test_a_host_given_twice_is_listened_at_once():
    with made(["127.0.0.1", "127.0.0.1"]) as runtime:
        assert len(runtime._listening._own) == 1


def test_the_hub_turns_while_the_host_to_listen_at_is_looked_up(monkeypatch):
    going_on = native.Event()

    def resolve(host):
        # Only another coroutine lets it end.
        assert going_on.wait(10)
        return ["127.0.0.1"]

    monkeypatch.setattr("greencoro.distributed.options.resolve", resolve)
    starting = Coro(lambda: made("here.example"))
    Coro(going_on.set).finish(10)
    runtime = starting.value(15)
    assert runtime.location.addr == "127.0.0.1"
    runtime.finish()


# Without a secret.


def opened(*args, **kwargs):
    return Runtime(*args, **{"discover_peers": False, "secret": ""} | kwargs)


@pytest.mark.parametrize("discover_peers", [False, True])
def test_S6_without_a_secret_it_listens_and_is_heard_on_loopback_only(discover_peers):
    before = set(psutil.Process().net_connections("inet"))
    with opened(discover_peers=discover_peers):
        now = set(psutil.Process().net_connections("inet")) - before
        hosts = {connection.laddr.ip for connection in now}
        assert hosts == ({"127.0.0.1", "127.255.255.255"} if discover_peers else {"127.0.0.1"})


@pytest.mark.parametrize(
    "wider",
    [
        {"node": "0.0.0.0"},
        {"node": "::"},
        {"node": "192.0.2.1"},
        {"node": ["127.0.0.1", "0.0.0.0"]},
        {"ext_ip_addr": "203.0.113.9"},
        {"node": "0.0.0.0", "secret": None, "secret_key": bytes(32)},
    ],
    ids=str,
)
def test_S6_without_a_secret_anything_beyond_this_machine_raises(wider):
    with pytest.raises(ConfigError, match=r"without a secret .* insecure=True"):
        opened(**wider)
    assert reactors.backend() is None


def test_S6_insecure_permits_it_and_is_warned_about_at_every_start(caplog):
    for _ in range(2):
        caplog.clear()
        with opened("0.0.0.0", insecure=True, ext_ip_addr="203.0.113.9") as runtime:
            assert runtime._listening._own[0].location.addr == "0.0.0.0"
        (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert "has no secret: everybody who reaches it can run code" in line


def test_S6_with_a_secret_insecure_changes_nothing(caplog):
    with made("127.0.0.1", insecure=True):
        assert "secret" not in [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


NOTIFIER = """
from greencoro import Coro, Runtime
from greencoro.distributed import reactor
from greencoro.errors import ConfigError
from greencoro.hub import native
from greencoro.hub.coroutine import Coro
from greencoro.hub import userhub

wrong = "epoll" if {name!r} != "epoll" else "poll"


def refused():
    try:
        Runtime("127.0.0.1", discover_peers=False, secret_key=b"k" * 32, notifier=wrong)
    except ConfigError as error:
        return str(error)


with Runtime("127.0.0.1", discover_peers=False, secret_key=b"k" * 32, notifier={name!r}, announce=False):
    Coro(lambda: None).finish(5)
    print(reactor.backend(), userhub.backend())
    print(refused())
print(reactor.backend())
print(refused())
"""


@pytest.mark.parametrize("name", ["poll", "select", "epoll"])
def test_the_notifier_names_the_backend_of_the_loops_and_one_that_turns_otherwise_is_an_error(name):
    program = [sys.executable, "-c", NOTIFIER.format(name=name)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    backends, first, over, second = done.stdout.splitlines() or pytest.fail(done.stderr)
    assert (backends, over) == (f"{name} {name}", "None")
    # With the reactor gone, the hub of the coroutines still turns.
    for refusal in (first, second):
        assert f"wait by {name} already" in refusal


@pytest.mark.parametrize("name", ["ping_interval_seconds", "multicast_group"])
def test_what_discovery_may_do_beyond_is_off_by_default(name):
    assert getattr(Settings(), name) is None


@pytest.mark.parametrize("group", ["192.0.2.1", "ff02::1", "x", 7, ""])
def test_a_group_is_an_IPv4_multicast_address(group):
    assert Settings(multicast_group="239.1.2.3").multicast_group == "239.1.2.3"
    with pytest.raises(ConfigError, match="multicast_group"):
        Settings(multicast_group=group)


def test_Z4_an_ext_ip_addr_without_an_address_is_named_with_its_value(monkeypatch):
    def resolve(host):
        if host == "nix.invalid":
            raise socket.gaierror(-2, "Name or service not known")
        return [host]

    monkeypatch.setattr(options, "resolve", resolve)
    with pytest.raises(ConfigError) as refused:
        made("127.0.0.1", ext_ip_addr="nix.invalid")
    words = "ext_ip_addr is 'nix.invalid', which has no address that this machine knows: Name or service not known"
    assert str(refused.value) == words
