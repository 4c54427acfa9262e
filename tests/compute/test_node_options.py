import pytest

from greencoro.compute.node_options import NodeOptions
from greencoro.errors import ConfigError


def test_servers_alone_will_do():
    options = NodeOptions(servers=2)
    assert options.server_ports == ()
    assert options.tags == {}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"servers": 0}, "at least one server"),
        ({"servers": 2, "server_ports": (1,)}, "1 ports are given for 2 servers"),
        ({"port": 65536}, "65536 is no port"),
        ({"server_ports": (-1,)}, "-1 is no port"),
        ({"udp_port": 70000}, "70000 is no port"),
        ({"port": 5, "server_ports": (5,)}, "port 5 is given to a server, and to the daemon too"),
        ({"servers": 2, "server_ports": (7, 7)}, "port 7 is given to two servers"),
        ({"keyfile": "key"}, "certfile is missing"),
        ({"max_file_size": -1}, "max_file_size is negative"),
        ({"min_pulse_interval": 0}, "min_pulse_interval is 0"),
        ({"max_pulse_interval": float("inf")}, "max_pulse_interval is inf"),
        ({"min_pulse_interval": 5, "max_pulse_interval": 4}, "is longer than"),
        ({"zombie_period": -1}, "zombie_period is -1"),
        ({"zombie_period": float("nan")}, "zombie_period is nan"),
        ({"drain_seconds": -0.1}, "drain_seconds is -0.1"),
        ({"ping_interval": 0}, "ping_interval is 0"),
        ({"serve": 0}, "serves at least one computation"),
        ({"tags": {"": "x"}}, "a tag has no name"),
    ],
)
def test_Z4_options_that_cannot_work_are_one_clear_line(options, problem):
    with pytest.raises(ConfigError, match=problem) as refused:
        NodeOptions(**{"servers": 1, **options})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "options",
    [
        {"servers": 2, "server_ports": (0, 0)},
        {"port": 0, "server_ports": (5,)},
        {"certfile": "both", "keyfile": None},
        {"min_pulse_interval": 5, "max_pulse_interval": 5},
        {"zombie_period": 0, "drain_seconds": 0},
        {"udp_port": 5, "port": 5},
    ],
)
def test_options_at_their_limits_are_taken(options):
    NodeOptions(**{"servers": 1, **options})
