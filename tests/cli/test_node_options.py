"""Each option of `discoronode.py`, on its command line."""

import ast
import importlib
import os
import shlex
import signal
import socket
import subprocess
import sys

import pytest

from greencoro import Runtime
from greencoro.cli.node_settings import OPTIONS
from greencoro.compute.confinement import check_can_run, find_user
from greencoro.compute.cpu_count import cpu_count
from greencoro.errors import ConfigError
from tests.cli.node_daemons import DISCORONODE, leased
from tests.support.examples import ROOT
from tests.support.polling import poll_until
from tests.support.ports import free_port

CPUS = len(os.sched_getaffinity(0))

# What the programs' manual lists.
LISTED = shlex.split("""
    -c -i --ip_addr --ext_ip_addr -u --udp_port -n --name --dest_path --max_file_size -s --secret --certfile --keyfile
    --min_pulse_interval --max_pulse_interval --zombie_period -d --debug --tcp_ports --serve --daemon --service_start
    --service_stop --service_end --phoenix --discover_peers --peer --save_config --config
""")
ADDED = shlex.split("""
    --cpus --port --secret_file --tag --user --limit --ping_interval --drain_seconds --no_forward
""")


def test_options_are_those_that_the_manual_lists_and_some_more():
    there = {flag for option in OPTIONS for flag in option.opts}
    assert there == {*LISTED, *ADDED}


def test_each_option_has_a_test_of_its_own():
    files = ("test_node.py", "test_node_options.py", "test_node_service.py")
    source = "".join((ROOT / "tests" / "cli" / name).read_text() for name in files)
    untested = [option.name for option in OPTIONS if not any(f'"{flag}"' in source for flag in option.opts)]
    assert not untested


def test_command_is_installed_under_its_name():
    entries = [
        node.value.partition(" = ")
        for node in ast.walk(ast.parse((ROOT / "setup.py").read_text()))
        if isinstance(node, ast.Constant) and str(node.value).startswith("discoronode.py")
    ]
    assert [(name, place) for name, _, place in entries] == [("discoronode.py", "greencoro.cli.discoronode:main")]
    module, _, function = entries[0][2].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_help_is_of_the_program_by_its_name(programs):
    program = programs.start(DISCORONODE, "--help")
    assert program.wait() == 0
    assert program.rest().startswith("Usage: discoronode.py [OPTIONS]\n")


def test_commands_of_greencoro_node_are_not_its_own(nodes):
    code, errors = nodes.fails("drain")
    assert (code, "unexpected extra argument" in errors) == (2, True)


@pytest.mark.cluster
@pytest.mark.parametrize("cpus", sorted({1, 0, 1 - CPUS, CPUS}))
def test_cpus(nodes, cpus):
    servers = cpus if cpus > 0 else CPUS + cpus
    node = nodes.start("-c", cpus)
    assert f": {servers} server{'' if servers == 1 else 's'}, secret" in node.announcement
    assert nodes.holder(node).facts().servers == servers


@pytest.mark.cluster
def test_ip_addr(nodes):
    assert nodes.start("--ip_addr", "127.0.0.2").location.startswith("127.0.0.2:")


@pytest.mark.cluster
def test_ext_ip_addr_is_what_others_are_told_of_daemon_and_servers(nodes):
    node = nodes.start("--ext_ip_addr", "127.0.0.3", "-i", "0.0.0.0")
    assert node.location.startswith("127.0.0.3:")
    assert leased(nodes.holder(node)).location.addr == "127.0.0.3"


@pytest.mark.cluster
@pytest.mark.parametrize("asked", [[], ["--discover_peers"]])
def test_udp_port_is_where_schedulers_find_the_node_and_all_others_with_discover_peers(nodes, asked):
    port = free_port()
    node = nodes.start("-u", port, *asked)
    with (
        Runtime("127.0.0.1", port, role="scheduler", announce=False) as scheduler,
        Runtime("127.0.0.1", port, announce=False) as other,
    ):
        poll_until(lambda: node.location in map(str, scheduler.peers()), 20)
        if asked:
            poll_until(lambda: {"node", "server"} <= {peer.role for peer in other.peer_infos()}, 20)
        else:
            assert node.location not in map(str, other.peers())


@pytest.mark.cluster
def test_peer_is_connected_to_by_daemon_and_servers(nodes):
    with (
        Runtime("127.0.0.1", discover_peers=False, announce=False) as here,
        Runtime("127.0.0.1", discover_peers=False, announce=False) as there,
    ):
        nodes.start("--peer", here.location, "--peer", there.location)
        for runtime in (here, there):
            poll_until(lambda runtime=runtime: {peer.role for peer in runtime.peer_infos()} >= {"node", "server"}, 20)


@pytest.mark.cluster
def test_ping_interval_has_the_node_announce_itself_again_and_again(nodes):
    port = free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.255.255.255", port))
        listening.settimeout(20)
        nodes.start("-u", port, "--ping_interval", "0.05")
        for _ in range(40):  # many more than those of any start
            listening.recv(65536)


@pytest.mark.cluster
def test_name(nodes):
    node = nodes.start("-n", "alpha")
    holder = nodes.holder(node)
    assert holder.facts().name == "alpha"
    assert leased(holder).name == "alpha-1"


@pytest.mark.cluster
def test_tag(nodes):
    node = nodes.start("--tag", "disk=ssd", "--tag", "note=a = b")
    assert nodes.holder(node).facts().tags == {"disk": "ssd", "note": "a = b"}


@pytest.mark.cluster
def test_dest_path_is_where_the_servers_work(nodes, tmp_path):
    node = nodes.start("--dest_path", tmp_path / "made" / "here")
    poll_until(node.servers, 20)
    assert list((tmp_path / "made" / "here").glob("node-*/server-1"))
    os.kill(node.pid, signal.SIGTERM)
    assert node.wait() == 0
    assert not list((tmp_path / "made" / "here").iterdir())


@pytest.mark.cluster
def test_max_file_size(nodes, tmp_path):
    (tmp_path / "large").write_bytes(bytes(2049))
    (tmp_path / "fits").write_bytes(bytes(2048))
    client = nodes.client(
        nodes.start("--max_file_size", "2K"),
        f"""
from greencoro.distributed.runtime import current_runtime

def run(computation):
    computation.run(int).value(20)
    [server] = computation.servers()
    own = current_runtime()
    print(own.send_file(server, {str(tmp_path / "fits")!r}), own.send_file(server, {str(tmp_path / "large")!r}))
""",
    )
    assert client.line() == "0 -1"
    assert "max_file_size is 2048" in client.errors()


@pytest.mark.cluster
def test_certfile_and_keyfile(nodes, tmp_path):
    subprocess.run([sys.executable, "-m", "greencoro", "cert", "make", str(tmp_path)], check=True, cwd=ROOT)
    files = {"certfile": tmp_path / "greencoro.cert", "keyfile": tmp_path / "greencoro.key"}
    node = nodes.start("--certfile", files["certfile"], "--keyfile", files["keyfile"])
    holder = nodes.holder(node, **files)
    with Runtime("127.0.0.1", discover_peers=False, announce=False, **files) as runtime:
        assert runtime.connect(leased(holder).location, timeout=20).role == "server"


def test_Z4_bad_certificate_is_one_clear_line(nodes, tmp_path):
    (tmp_path / "bad").write_text("no certificate")
    code, errors = nodes.fails("-i", "127.0.0.1", "--port", "0", "-c", "1", "--certfile", tmp_path / "bad")
    assert (code, errors.count("\n")) == (1, 1)
    assert str(tmp_path / "bad") in errors


@pytest.mark.cluster
def test_debug(nodes):
    talks, keeps_quiet = nodes.start("--debug"), nodes.start()
    for node in (talks, keeps_quiet):
        os.kill(node.pid, signal.SIGTERM)
        assert node.wait() == 0
    assert " DEBUG " in talks.errors()
    assert keeps_quiet.errors() == ""


@pytest.mark.cluster
def test_tcp_ports(nodes):
    port = free_port()
    node = nodes.start("--tcp_ports", f"{port}-{port + 2}")
    assert leased(nodes.holder(node)).location.port == port


@pytest.mark.cluster
def test_config_is_what_save_config_has_saved_and_the_command_line_wins(nodes, programs, tmp_path):
    file = tmp_path / "saved"
    saving = programs.start(
        DISCORONODE, "-c", "1", "-i", "127.0.0.9", "-n", "one", "-s", "a long enough secret", "--port", "0",
        "--tag", "a=b", "--tag", "c=d", "--max_pulse_interval", "77", "--save_config", str(file),
    )  # fmt: skip
    assert saving.wait() == 0
    assert saving.rest() == ""
    text = file.read_text()
    for kept_out in ("127.0.0.9", "one", "secret"):
        assert kept_out not in text
    node = nodes.start("--config", file, "--tag", "e=f")
    assert nodes.holder(node).facts().tags == {"e": "f"}
    assert nodes.holder(nodes.start("--config", file)).facts().tags == {"a": "b", "c": "d"}


def test_every_option_that_is_saved_comes_back(tmp_path):
    """Through the command, without a daemon."""
    asked = shlex.split("""
        -c 1 -u 51399 --port 51398 --tcp_ports 2345 --tcp_ports 2347-2348 --tag a=b --tag c=d --dest_path there
        --max_file_size 5M --secret_file s --certfile c --keyfile k --min_pulse_interval 1.5 --max_pulse_interval 50
        --zombie_period 3 --ping_interval 9 --serve 4 --service_start 17:00 --service_stop 07:00 --service_end 08:00
        --drain_seconds 2 --discover_peers --peer 127.0.0.1:5 --peer [::1]:6 --limit cpu=5 --limit as=4G --user nobody
        --no_forward --phoenix --daemon -d
    """)
    first, second = tmp_path / "first", tmp_path / "second"

    def discoronode(*arguments):
        subprocess.run([sys.executable, DISCORONODE, *map(str, arguments)], check=True, timeout=60)

    discoronode(*asked, "--save_config", first)
    discoronode("--config", first, "--save_config", second)
    assert first.read_text() == second.read_text()
    not_saved = {"ip_addr", "ext_ip_addr", "name", "secret", "save_config", "config"}
    assert {line.split(" =")[0] for line in first.read_text().splitlines() if " =" in line} == (
        {option.name for option in OPTIONS} - not_saved
    )


@pytest.mark.cluster
def test_peer_that_cannot_be_reached_is_one_line_of_the_daemon(nodes):
    nowhere = f"127.0.0.1:{free_port()}"
    node = nodes.start("--peer", nowhere, "--peer", "nosuch.host.invalid:51347")
    poll_until(lambda: node.errors().count("is not reached") == 2)
    assert f"{nowhere}, one of the peers that were named, is not reached" in node.errors()
    assert "nosuch.host.invalid:51347, one of the peers that were named, is not reached" in node.errors()


@pytest.mark.cluster
def test_S17_limit_holds_for_what_jobs_do(nodes):
    node = nodes.start("--limit", "cpu=61", "--limit", "fsize=3M")
    client = nodes.client(
        node,
        """
def look():
    import resource
    return resource.getrlimit(resource.RLIMIT_CPU)[0], resource.getrlimit(resource.RLIMIT_FSIZE)[0]

def run(computation):
    print(computation.run(look).value())
""",
    )
    assert client.line() == f"(61, {3 * 2**20})"


@pytest.mark.cluster
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start servers as another user")
def test_S17_user_is_who_jobs_run_as(nodes):
    try:
        check_can_run(find_user("nobody"))
    except ConfigError as error:
        pytest.skip(str(error))
    node = nodes.start("--user", "nobody")
    client = nodes.client(
        node,
        """
def look():
    import os, pathlib
    pathlib.Path("made").write_text("x")
    return os.getresuid(), os.getgid(), os.stat("made").st_uid, os.listdir()

def run(computation):
    print(computation.run(look).value())
""",
    )
    import pwd

    nobody = pwd.getpwnam("nobody")
    uids = (nobody.pw_uid,) * 3
    assert client.line() == str((uids, nobody.pw_gid, nobody.pw_uid, ["made"]))


def test_Z4_user_who_is_not_there_is_one_clear_line(nodes):
    assert nodes.fails("-c", "1", "--user", "no-such-user") == (
        1,
        "discoronode.py: user 'no-such-user': there is none on this machine\n",
    )


@pytest.mark.cluster
@pytest.mark.parametrize(("asked", "seen"), [([], True), (["--no_forward"], False)])
def test_no_forward_keeps_what_jobs_print(nodes, asked, seen):
    node = nodes.start(*asked)
    client = nodes.client(
        node,
        """
def run(computation):
    computation.run(print, "printed by a job").value()
""",
    )
    assert client.wait() == 0
    assert ("printed by a job" in client.rest() + client.errors()) is seen


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--service_stop 25:00", "no time of day"),
        ("--tag nothing", "no tag"),
        ("--limit as=1", "a server needs"),
        ("--peer a:b:c", "ambiguous"),
        ("--max_file_size big", "number of bytes"),
        ("--tcp_ports 70000", "no port"),
        ("--config nowhere", "nowhere"),
    ],
)
def test_Z4_option_that_cannot_be_read_is_one_clear_sentence(nodes, arguments, says):
    found, errors = nodes.fails("-c", "1", *arguments.split())
    assert (found, says in errors.splitlines()[-1]) == (2, True), errors


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("-c 100000", f"--cpus 100000 is more than the {cpu_count()} CPUs there are"),
        ("-c -100000", f"--cpus -100000 leaves none of the {cpu_count()} CPUs there are"),
        ("-s x --secret_file y", "--secret and --secret_file exclude each other"),
        ("--keyfile k", "a key needs its certificate: certfile is missing"),
        (
            "--service_start 17:00",
            "service hours need a time to stop (service_stop) or to end (service_end), or both",
        ),
        (
            "--service_start 10:00 --service_stop 12:00 --service_end 11:00",
            "service hours start 10:00, stop 12:00, end 11:00: not in the order start, stop, end within one day",
        ),
        (
            "--min_pulse_interval 9 --max_pulse_interval 8",
            "min_pulse_interval (9 s) is longer than max_pulse_interval (8 s)",
        ),
        (
            "--max_pulse_interval 2",
            "min_pulse_interval (10 s) is longer than max_pulse_interval (2 s)",
        ),
        ("--min_pulse_interval 0", "min_pulse_interval is 0.0, and has to be a number of seconds above 0"),
        ("--min_pulse_interval nan", "min_pulse_interval is nan, and has to be a number of seconds above 0"),
        ("--max_pulse_interval inf", "max_pulse_interval is inf, and has to be a number of seconds above 0"),
        ("--zombie_period -1", "zombie_period is -1.0, and has to be a number of seconds from 0 on"),
        ("--drain_seconds nan", "drain_seconds is nan, and has to be a number of seconds from 0 on"),
        ("--ping_interval -1", "ping_interval is -1.0, and has to be a number of seconds above 0"),
        ("--serve 0", "a node serves at least one computation, not 0"),
        ("--serve -2", "a node serves at least one computation, not -2"),
        ("--tag a=1 --tag a=2", "the tag a is given twice"),
        ("--limit cpu=1 --limit cpu=2", "limit 'cpu=2': cpu was given before"),
        (
            "--port 51347 --tcp_ports 51347",
            "port 51347 is given to a server, and to the daemon too: one of them needs another",
        ),
        ("--tcp_ports 51347 --tcp_ports 51347-51348", "a port is listed twice"),
        ("--serve 0 --save_config saved", "a node serves at least one computation, not 0"),
    ],
)
def test_Z4_options_that_cannot_work_are_one_line_and_exit_code_2(nodes, arguments, says):
    servers = [] if arguments.startswith("-c") else ["-c", "1"]
    assert nodes.fails(*servers, *arguments.split()) == (2, f"discoronode.py: {says}\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            "-i 192.0.2.1",
            "cannot listen at 192.0.2.1:51350: Cannot assign requested address: that is no address of this machine; "
            "`greencoro doctor` shows those there are",
        ),
        (
            "-i 127.0.0.1 --dest_path /proc/nowhere",
            "cannot make a directory for the servers: No such file or directory: /proc/nowhere",
        ),
    ],
)
def test_Z4_start_that_the_system_does_not_allow_is_one_line_and_exit_code_1(nodes, arguments, says):
    assert nodes.fails("-c", "1", *arguments.split()) == (1, f"discoronode.py: {says}\n")
