"""Options of discoronode.py and discoro.py as scripts and files of before have them."""

import click
import pytest

from greencoro.cli import discoro, discoronode
from greencoro.cli.calling import run_command
from greencoro.cli.node_settings import OPTIONS
from greencoro.cli.old_options import CONFIG, MSG_TIMEOUT, as_given_today


@pytest.fixture
def run(monkeypatch):
    """What discoronode.py's options come to."""
    monkeypatch.setattr(discoronode, "serve", lambda **values: values)
    return lambda *arguments: discoronode.main([str(each) for each in arguments])


def test_an_empty_secret_is_this_users_and_it_is_said_how_to_share_it(run, monkeypatch, capfd, tmp_path):
    monkeypatch.setenv("GREENCORO_SECRET_FILE", str(tmp_path / "secret"))
    for given in (["-s", ""], ["--secret", ""], ["--secret="]):
        assert run(*given)["secret"] is None
        assert capfd.readouterr().err == (
            "discoronode.py: without a secret of its own it has that of this user; machines that are to work together "
            f"need the same file: {tmp_path / 'secret'}\n"
        )


def test_the_scheduler_takes_an_empty_secret_for_this_users_too(monkeypatch, capfd):
    monkeypatch.setattr(discoro, "serve", lambda **values: values)
    assert discoro.main(["-s", "", "--clean"])["secret"] is None
    assert capfd.readouterr().err.startswith("discoro.py: without a secret of its own")


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["-i", "", "--ext_ip_addr=", "-n", "", "--dest_path", "", "--certfile", ""], []),
        (["-c", "2", "--daemon", "-i", "a", "--tcp_ports=1-2"], ["-c", "2", "--daemon", "-i", "a", "--tcp_ports=1-2"]),
        (["--ping_interval", "0"], []),
        (["--ping_interval=0.0", "-d"], ["-d"]),
        (["--ping_interval", "5"], ["--ping_interval", "5"]),
        (["--ping_interval", "x"], ["--ping_interval", "x"]),
        (["-n", "-d", "--name"], ["-n", "-d", "--name"]),
        (["word", ""], ["word", ""]),
        (["--peer", "", "--tcp_ports", ""], ["--peer", "", "--tcp_ports", ""]),
    ],
)
def test_an_option_with_nothing_in_it_is_not_given(arguments, left):
    assert as_given_today("program", OPTIONS, arguments) == left


def test_the_time_for_messages_is_accepted_and_checked(run, capfd):
    assert "msg_timeout" not in run("--msg_timeout", "10")
    assert run("--msg_timeout", "0") == 2
    assert "0.0 is not in the range x>=1" in capfd.readouterr().err


def test_a_file_of_before_is_read(run, tmp_path):
    file = tmp_path / "file"
    file.write_text(
        "[DEFAULT]\ncpus = 3\nnode = \next_ip_addr = None\nudp_port = 51350\nname = n\n"
        "tcp_ports = ['5000-5002', '5010']\n"
        "peers = []\nsecret = \nmsg_timeout = 10\nping_interval = 0\nserve = 2\nservice_start = 17:00\n"
        "service_stop = 07:00\ndaemon = True\nphoenix = False\nloglevel = False\nmax_file_size = None\nconfig = \n"
    )
    found = run("--config", file, "-n", "mine")
    assert {name: found[name] for name in ("cpus", "tcp_ports", "peer", "name", "serve", "daemon", "phoenix")} == {
        "cpus": 3,
        "tcp_ports": ("5000-5002", "5010"),
        "peer": (),
        "name": "mine",
        "serve": 2,
        "daemon": True,
        "phoenix": False,
    }
    assert (found["ip_addr"], found["ping_interval"], found["debug"]) == (None, None, False)
    assert (found["service_start"], found["service_stop"], found["service_end"]) == ("17:00", "07:00", None)


def test_what_a_file_of_before_says_wrongly_is_named(tmp_path, capfd):
    command = click.Command("program", params=[*OPTIONS[:6], CONFIG, MSG_TIMEOUT], callback=lambda **values: 0)
    file = tmp_path / "file"
    file.write_text("[DEFAULT]\ntcp_ports = [5000, \n")
    assert run_command(command, "program", ["--config", str(file)]) == 2
    assert "tcp_ports" in capfd.readouterr().err
