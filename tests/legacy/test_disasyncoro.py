"""``asyncoro.disasyncoro``: each program here is a process of its own, and most talk to one that serves them all."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.distributed.certificates import Made
from tests.legacy.running import PRELUDE, SECRET, complaints, legacy, lines, logged, written
from tests.support.ports import free_port

PEER = Path(__file__).parent / "peer_program.py"

#: What most programs begin with.
BEGIN = 'scheduler = AsynCoro(node="127.0.0.1", udp_port=int(sys.argv[1]), secret=sys.argv[2], dest_path=sys.argv[3])'


@pytest.fixture(scope="module", autouse=True)
def _secret_of_its_own(tmp_path_factory):
    """The user's own secret and settings are none of a test's business."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GREENCORO_SECRET_FILE", str(tmp_path_factory.mktemp("secret") / "secret"))
        yield


class Peer:
    def __init__(self, port, directory):
        self.port = port
        self.directory = directory
        self.process = legacy(PEER, port, SECRET, directory)
        self.process.stdout.readline()
        self.location = re.search(r"@ (\S+), udp_port", self.process.stdout.readline())[1]


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    made = Peer(free_port(), tmp_path_factory.mktemp("peer"))
    yield made
    assert made.process.communicate(timeout=30)[1] == ""
    assert made.process.returncode == 0


@pytest.fixture
def run(tmp_path, peer):
    """What a program prints that is given the port, the secret, a directory, the peer's location and its directory."""

    def run(text, *arguments, begin=BEGIN, prelude=PRELUDE):
        program = written(tmp_path, f"{begin}\n{text}", prelude=prelude)
        words = arguments or (peer.port, SECRET, tmp_path / "dest", peer.location, peer.directory)
        process = legacy(program, *words, directory=tmp_path)
        out, err = process.communicate(timeout=50)
        assert (process.returncode, complaints(err)) == (0, []), out + err
        return out

    def printed(text, *arguments, begin=BEGIN):
        return lines(run(text, *arguments, begin=begin))

    printed.all = run
    return printed


# The module.


def test_what_is_there_after_it_is_imported(run):
    printed = run(
        """
import asyncoro as base
print(base.AsynCoro is AsynCoro, base.SysCoro is SysCoro, base is not asyncoro, asyncoro.RCI is RCI)
print(set(base.__all__) - set(asyncoro.__all__), set(asyncoro.__all__) - set(base.__all__))
print([name for name in base.__all__ if getattr(base, name) is not getattr(asyncoro, name)])
print(asyncoro.MaxConnectionErrors, asyncoro.MsgTimeout, asyncoro.__version__, PeerStatus.Online, PeerStatus.Offline)
asyncoro.MaxConnectionErrors = 3
""",
        begin="",
    )
    assert printed == ["True True True True", "set() {'RCI'}", "[]", "10 10 4.2.1 1 0"]


def test_the_start_is_told_as_of_old_and_once_however_often_it_is_asked_for(run, peer, tmp_path):
    out = run.all(
        """
scheduler = AsynCoro(node="127.0.0.1", udp_port=int(sys.argv[1]), name="me", secret="")
assert scheduler is AsynCoro(secret="another") is AsynCoro.instance() is asyncoro.AsynCoro.instance(1, 2)
print(scheduler.name, scheduler.location == Location(*str(scheduler.location).split(":")))
""",
        begin="",
    )
    version, server, secret = logged(out)
    assert version == "version 4.2.1 with epoll I/O notifier"
    assert re.fullmatch(rf'network server "me" @ 127\.0\.0\.1:\d+, udp_port={peer.port}', server)
    assert re.fullmatch(
        r"the secret is this user's, with the fingerprint [0-9a-f-]{14}; machines that are to be peers need the same "
        r"file: /\S+/secret",
        secret,
    )
    assert lines(out) == ["me True"]


def test_a_secret_of_ones_own_is_not_told(run):
    assert len(logged(run.all(""))) == 2


def test_the_first_coroutine_starts_it_with_its_defaults(run):
    printed = run(
        """
import tempfile
def asks(coro=None):
    me = AsynCoro()
    print(coro.location == me.location == Coro.scheduler().location, me.name == str(me.location), str(coro))
    print(me.dest_path == tempfile.gettempdir(), me.dest_path)
    yield None
print(AsynCoro.scheduler(), Coro(asks).value())
""",
        begin="",
    )
    assert printed[0].startswith("True True ~asks/1@") and printed[1].startswith("True /")


def test_a_program_that_begins_without_peers_has_some_once_the_module_is_imported(run, peer):
    out = run.all(
        """
import asyncoro
def local(coro=None):
    print(coro.location, asyncoro.AsynCoro().location, asyncoro.AsynCoro().name)
    who = yield coro.receive()
    who.send("it runs")
    yield coro.receive()
def waits(coro=None):
    before.send(coro)
    print((yield coro.receive()))
before = asyncoro.Coro(local)
asyncoro.Coro(waits).value()
import asyncoro.disasyncoro
scheduler = asyncoro.AsynCoro("127.0.0.1", int(sys.argv[1]), secret=sys.argv[2])
print(before.location == scheduler.location)
def main(coro=None):
    rcoro = yield asyncoro.Coro.locate("echo")
    rcoro.send((coro, before))
    print((yield coro.receive()) is before, before.send(None))
asyncoro.Coro(main).value()
""",
        begin="",
        prelude="import sys",
    )
    assert lines(out) == ["None None ", "it runs", "True", "True 0"]
    assert [line.split()[0] for line in logged(out)] == ["version", "network"]


def test_a_runtime_that_is_there_already_is_used_with_what_it_is(tmp_path, peer):
    program = tmp_path / "program.py"
    program.write_text(
        f"""
import greencoro.legacy
from greencoro import Runtime
greencoro.legacy.install()
import asyncoro.disasyncoro as asyncoro
with Runtime("127.0.0.1", {peer.port}, name="of today", secret={SECRET!r}) as runtime:
    scheduler = asyncoro.AsynCoro(name="ignored")
    def main(coro=None):
        rcoro = yield asyncoro.Coro.locate("echo")
        rcoro.send((coro, "x"))
        print((yield coro.receive()), str(rcoro)[:5], scheduler.name, scheduler.location == runtime.location)
    asyncoro.Coro(main).value()
"""
    )
    ran = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=50)
    assert (ran.returncode, complaints(ran.stderr), ran.stdout) == (0, [], "x ~echo of today True\n")


def test_what_functions_given_to_atexit_start_finds_peers_still(run):
    printed = run(
        """
def farewell(coro=None):
    rcoro = yield Coro.locate("echo", timeout=20)
    rcoro.send((coro, "farewell"))
    print((yield coro.receive(20)))
for priority in (10, 0, -1):
    scheduler.atexit(priority, Coro, farewell)
"""
    )
    assert printed == ["farewell"] * 3


def test_with_a_certificate_all_goes_over_tls(tmp_path):
    made, port = Made(tmp_path), free_port()
    begin = f"certfile={str(made.certfile)!r}, keyfile={str(made.keyfile)!r})"
    programs = [
        written(tmp_path, f"{BEGIN[:-1]}, {begin}\n{text}", f"program{number}.py")
        for number, text in enumerate(
            (
                """
def server(coro=None):
    coro.register("server")
    who = yield coro.receive()
    yield who.deliver("over TLS")
Coro(server)
""",
                """
def client(coro=None):
    rcoro = yield Coro.locate("server")
    rcoro.send(coro)
    print((yield coro.receive()))
Coro(client)
""",
            )
        )
    ]
    words = port, SECRET, tmp_path / "dest"
    with legacy(programs[0], *words) as server, legacy(programs[1], *words) as client:
        for process, printed in ((server, []), (client, ["over TLS"])):
            out, err = process.communicate(timeout=40)
            assert (process.returncode, complaints(err), lines(out)) == (0, [], printed)


@pytest.mark.parametrize(
    "arguments",
    [
        '"127.0.0.1", {port}, {tcp}, None, "given", False, [], {secret!r}, None, None, None, {directory!r}, 100',
        '"127.0.0.1", udp_port={port}, tcp_port={tcp}, ext_ip_addr="", name="given", discover_peers=False, peers=None, '
        'secret={secret!r}, certfile=None, keyfile=None, notifier="epoll", dest_path={directory!r}, max_file_size=None',
        'node="127.0.0.1", tcp_port={tcp}, name="given", dest_path_prefix={directory!r}, discover_peers=False',
    ],
)
def test_parameters_come_in_the_order_of_the_manual_and_dest_path_has_two_names(run, tmp_path, arguments):
    tcp, directory = free_port(), str(tmp_path / "files")
    made = arguments.format(port=free_port(), tcp=tcp, secret=SECRET, directory=directory)
    printed = run(f"s = AsynCoro({made})\nprint(s.location, s.name, s.dest_path, os.path.isdir(s.dest_path))", begin="")
    assert printed == [f"127.0.0.1:{tcp} given {directory} True"]


def test_dest_path_can_be_set_to_what_is_below_the_first_one(run, tmp_path):
    printed = run(
        """
first = scheduler.dest_path
for path in ("discoro/scheduler", os.path.join(first, "x"), "/elsewhere/y", first):
    scheduler.dest_path = path
    print(os.path.relpath(scheduler.dest_path, first), os.path.isdir(scheduler.dest_path))
try:
    scheduler.dest_path = "../z"
except ValueError:
    print("refused")
"""
    )
    assert printed == ["discoro/scheduler True", "x True", "elsewhere/y True", ". True", "refused"]


# Peers.


def test_peers_are_located_by_name_and_told_of_as_they_come(run, peer):
    printed = run(
        """
def main(coro=None):
    scheduler.peer_status(coro)
    loc = yield scheduler.locate("peer", timeout=20)
    status = yield coro.receive(10)
    print(loc, status.location == loc, status.name, status.status == PeerStatus.Online, loc in scheduler.peers())
    print((yield scheduler.locate("nobody", timeout=0.1)))
    print((yield scheduler.locate(scheduler.name)) == scheduler.location)
    scheduler.peer_status(None)
Coro(main).value()
"""
    )
    assert printed == [f"{peer.location} True peer True True", "None", "True"]


def test_a_peer_that_was_parted_from_is_offline_until_it_is_contacted_again(run, peer):
    printed = run(
        """
def main(coro=None):
    loc = yield scheduler.locate("peer", timeout=20)
    scheduler.peer_status(coro)
    print((yield coro.receive(10)).status, (yield scheduler.close_peer(loc)), (yield coro.receive(10)).status)
    print((yield scheduler.close_peer(loc, timeout=10)), scheduler.peers())
    print((yield scheduler.peer(loc, stream_send=True)), (yield coro.receive(20)).status, scheduler.peers() == [loc])
Coro(main).value()
"""
    )
    assert printed == ["1 0 0", "-1 []", "0 1 True"]


def test_peers_that_are_not_discovered_are_contacted_by_place_and_by_host(run, peer):
    printed = run(
        """
scheduler = AsynCoro(node="127.0.0.1", udp_port=int(sys.argv[1]), secret=sys.argv[2], discover_peers=False)
def main(coro=None):
    print((yield scheduler.peer("no such host")), (yield scheduler.peer("nowhere.invalid")), (yield scheduler.peer(5)))
    print((yield scheduler.locate("peer", timeout=0.2)))
    print((yield scheduler.peer("127.0.0.1", udp_port=int(sys.argv[1]))), (yield scheduler.locate("peer", 20)))
Coro(main).value()
""",
        begin="",
    )
    assert printed == ["-1 -1 -1", "None", f"0 {peer.location}"]


@pytest.mark.parametrize("how", ["peers=[Location(*sys.argv[4].split(':'))]", "peers=sys.argv[4]"])
def test_those_of_peers_are_contacted_at_the_start(run, peer, how):
    printed = run(
        f"""
scheduler = AsynCoro(node="127.0.0.1", secret=sys.argv[2], discover_peers=False, {how})
def main(coro=None):
    print((yield scheduler.locate("peer", 20)))
Coro(main).value()
""",
        begin="",
    )
    assert printed == [peer.location]


def test_one_that_is_not_discovered_announces_itself_and_one_that_ignores_peers_does_not_answer(run, peer):
    printed = run(
        """
scheduler = AsynCoro(node="127.0.0.1", udp_port=1, secret=sys.argv[2], discover_peers=False)
def main(coro=None):
    print(scheduler.ignore_peers(True), scheduler.discover_peers(port=int(sys.argv[1])))
    print((yield scheduler.locate("peer", 20)))
Coro(main).value()
""",
        begin="",
    )
    assert printed == ["None 0", peer.location]


def test_those_of_another_secret_are_no_peers(run, peer, tmp_path):
    printed = run(
        """
def main(coro=None):
    print((yield scheduler.locate("peer", timeout=1)), (yield Coro.locate("echo", timeout=0.1)), scheduler.peers())
Coro(main).value()
""",
        peer.port,
        SECRET + " but another one",
        tmp_path / "dest",
    )
    assert printed == ["None None []"]


# Coroutines.


def test_ten_coroutines_that_look_for_one_name_find_it_and_are_answered(run):
    printed = run(
        """
def main(n, coro=None):
    rcoro = yield Coro.locate("echo")
    yield rcoro.send((coro, n))
    assert (yield rcoro.deliver((coro, -n), timeout=10)) == 1
    print((yield coro.receive()) == n, (yield coro.receive()) == -n, rcoro.name, isinstance(rcoro, Coro))
for n in range(10):
    Coro(main, n)
"""
    )
    assert printed == ["True True echo True"] * 10


def test_what_is_looked_for_at_ones_own_place_is_there_or_not_found(run):
    printed = run(
        """
def main(coro=None):
    here = scheduler.location
    print((yield Coro.locate("echo", here)), (yield Channel.locate("news", here)), (yield RCI.locate("squared", here)))
    mine = Channel("mine")
    coro.register("me")
    print((yield Coro.locate("me", here)) is (yield Coro.locate("me")) is coro)
    print((yield Channel.locate("mine", here)) is (yield Channel.locate("mine")) is mine)
    there = Location(*sys.argv[4].split(":"))
    print((yield Coro.locate("echo", there)).location == (yield Channel.locate("news", there)).location == there)
    print((yield Coro.locate("me", there, timeout=0.1)))
    print(coro.register("me"), coro.unregister("me"), coro.unregister("me"))
Coro(main).value()
"""
    )
    assert printed == ["None None None", "True", "True", "True", "None", "0 0 -1"]


def test_references_that_travel_are_the_things_themselves_at_home(run):
    printed = run(
        """
def main(coro=None):
    rci = yield RCI.locate("kinds", timeout=20)
    rcoro = yield rci()
    channel = Channel("mine")
    yield rcoro.send((coro, coro, channel))
    print((yield coro.receive(10)))
    echo = yield Coro.locate("echo")
    echo.send((coro, {"me": coro, "it": echo, "channel": channel, "rci": rci, "place": scheduler.location}))
    back = yield coro.receive(10)
    print(back["me"] is coro, back["it"] == echo, back["channel"] is channel, back["rci"] == rci)
    print(back["place"] == scheduler.location, {echo: 1}[back["it"]], str(echo), str(rci), str(SysCoro(brief))[0])
def brief():
    yield None
Coro(main).value()
"""
    )
    assert printed[0] == "[True, True, True, True, True]"
    assert printed[1] == "True True True True"
    assert re.fullmatch(r"True 1 ~echo/\d+@(\S+) kinds@\1 !", printed[2])


def test_the_codes_for_one_that_is_over_and_for_what_cannot_be_pickled(run):
    printed = run(
        """
def main(coro=None):
    asked = yield Coro.locate("over")
    asked.send(coro)
    over = yield coro.receive(10)
    print((yield coro.monitor(over)), (yield over.deliver(1)), over.send(1), over.terminate(), over.register("x"))
    echo = yield Coro.locate("echo")
    print(echo.send(lambda: 1), (yield echo.deliver(lambda: 1, timeout=10)), echo.notify(coro))
    echo.send((coro, "still there"))
    print((yield coro.receive(10)))
Coro(main).value()
"""
    )
    assert printed == ["-1 0 0 0 -1", "0 0 -1", "still there"]


def test_a_message_that_is_sent_right_before_the_end_arrives(tmp_path, peer):
    first = written(
        tmp_path,
        f"""
{BEGIN}
def first(coro=None):
    coro.register("first")
    print((yield coro.receive(20)))
Coro(first)
""",
        "first.py",
    )
    last = written(
        tmp_path,
        f"""
{BEGIN}
def last(coro=None):
    rcoro = yield Coro.locate("first")
    rcoro.send("the last word")
Coro(last)
""",
        "last.py",
    )
    words = peer.port, SECRET, tmp_path / "dest"
    with legacy(first, *words) as waiting, legacy(last, *words) as sending:
        for process, printed in ((sending, []), (waiting, ["the last word"])):
            out, err = process.communicate(timeout=40)
            assert (process.returncode, complaints(err), lines(out)) == (0, [], printed)


# Channels.


def test_a_channel_elsewhere_is_subscribed_to_and_counts_who_has_what_is_delivered(run):
    printed = run(
        """
def reads(channel, n, coro=None):
    print((yield channel.subscribe(coro)))
    for _ in range(2):
        print((yield coro.receive(10))[1])
    print((yield channel.unsubscribe(coro)), (yield channel.unsubscribe(coro)), (yield channel.subscribe(5)))
def main(coro=None):
    channel = yield Channel.locate("news", timeout=20)
    reader = Coro(reads, channel, 2)
    # The one there, and the one here.
    print((yield channel.deliver((coro, "delivered"), timeout=20, n=2)), channel.send((coro, "sent")))
    yield reader.finish()
    print((yield channel.deliver("x", timeout=1, n=-1)), channel.register(), channel.unregister())
    print(sorted([(yield coro.receive(10)), (yield coro.receive(10))]))
    print(channel.name, str(channel.location) == sys.argv[4], isinstance(channel, Channel), str(channel))
Coro(main).value()
"""
    )
    assert printed[0] == "0" and printed[-1].startswith("news True True ~news@127.0.0.1:")
    assert sorted(printed[1:5]) == ["0 -1 -1", "2 0", "delivered", "sent"]
    assert printed[5:7] == ["-1 -1 -1", "[('heard', 'delivered'), ('heard', 'sent')]"]


def test_a_channel_here_takes_subscribers_of_elsewhere_and_channels_take_channels(run):
    printed = run(
        """
def main(coro=None):
    mine, above = Channel("mine"), Channel("above")
    echo = yield Coro.locate("echo", timeout=20)
    news = yield Channel.locate("news")
    print((yield mine.subscribe(echo)), (yield above.subscribe(mine)), (yield above.subscribe(news)))
    print((yield above.deliver((coro, "x"), timeout=10, n=2)))
    print(sorted(map(str, [(yield coro.receive(10)), (yield coro.receive(10))])))
    print((yield mine.unsubscribe(echo)), (yield above.unsubscribe(mine)), (yield above.unsubscribe(news)))
Coro(main).value()
"""
    )
    assert printed == ["0 0 0", "2", "[\"('heard', 'x')\", 'x']", "0 0 0"]


# RCI.


def test_an_rci_starts_coroutines_that_are_monitored(run):
    printed = run(
        """
def main(coro=None):
    rci = yield RCI.locate("squared", timeout=20)
    print(isinstance(rci, RCI), rci.name, rci.register(), rci.unregister())
    rcoros = {}
    for n in range(4):
        rcoro = yield rci(n)
        assert isinstance(rcoro, Coro)
        rcoros[rcoro] = n
        print((yield coro.monitor(rcoro)), end=" ")
    outcomes = {}
    while rcoros:
        notice = yield coro.receive(10)
        assert isinstance(notice, MonitorException)
        rcoro, (kind, value) = notice.args
        outcomes[rcoros.pop(rcoro)] = value if kind is StopIteration else (kind.__name__, value.args[0])
    print(sorted(outcomes.items()))
Coro(main).value()
"""
    )
    failures = [f"({n}, ('Exception', 'invalid invocation: {n}'))" for n in (1, 3)]
    assert printed == ["True squared -1 -1", f"0 0 0 0 [(0, 0), {failures[0]}, (2, 4), {failures[1]}]"]


def test_what_an_rci_started_can_be_terminated_and_looks_finished_to_its_monitor(run):
    printed = run(
        """
def main(coro=None):
    rci = yield RCI.locate("waits", timeout=20)
    rcoro = yield rci()
    rcoro.send("x")
    print((yield rcoro.deliver("y")), (yield coro.monitor(rcoro)), (yield rcoro.terminate()))
    notice = yield coro.receive(10)
    print(notice.args[0] == rcoro, notice.args[1][0].__name__, notice.args[1][1])
Coro(main).value()
"""
    )
    assert printed[0] == "1 0 0" and re.fullmatch("True StopIteration [xy7]", printed[1])


def test_an_rci_that_cannot_be_called_raises_and_one_whose_process_is_gone_gives_none(run, tmp_path):
    (tmp_path / "second.py").write_text(PEER.read_text().replace('"peer"', '"second"'))
    printed = run(
        """
import subprocess
def called(rci, *args):
    try:
        print((yield rci(*args)))
    except Exception as error:
        print(error)
def main(coro=None):
    rci = yield RCI.locate("squared", timeout=20)
    yield called(rci)
    command = [sys.executable, "-m", "greencoro.legacy", "second.py", *sys.argv[1:4]]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    place = yield scheduler.locate("second", timeout=20)
    gone = yield RCI.locate("gone", place)
    server.stdin.write(b"unregister\\n")
    server.stdin.flush()
    while server.stdout.readline() != b"0 -1\\n":
        pass
    yield called(gone)
    server.communicate()
    while place in scheduler.peers():
        yield coro.sleep(0.01)
    yield called(gone)
Coro(main).value()
"""
    )
    assert "squared() missing 1 required positional argument: 'n'" in printed[0]
    assert "not registered" in printed[1]
    assert printed[2:] == ["None"]


def test_an_rci_of_ones_own_is_a_generator_function_and_is_found_by_peers_alone(run):
    printed = run(
        """
def squared(n):
    yield n
def plain(n):
    return n
def main(coro=None):
    mine, same = RCI(squared), RCI(squared)
    print(mine.register(), same.register(), same.unregister(), mine.name, RCI(squared, "other").name)
    print((yield RCI.locate("squared", timeout=20)).location == mine.location, mine.location == scheduler.location)
    print((yield (yield mine(3)).finish()), str(mine) == "squared@%s" % mine.location, mine == same)
    print(mine.unregister(), mine.unregister())
try:
    RCI(plain)
except RuntimeError as error:
    print(error)
Coro(main).value()
"""
    )
    assert printed == ["plain is not a generator method", "0 -1 -1 squared other", "False True", "3 True False", "0 -1"]


# Files.


def test_the_codes_of_send_file_and_del_file(run, peer):
    printed = run(
        """
def main(coro=None):
    loc = yield scheduler.locate("peer", timeout=20)
    there, name = sys.argv[5], os.path.join(scheduler.dest_path, "data")
    with open(name, "w") as file:
        file.write("one")
    os.chmod(name, 0o640)
    os.utime(name, (1000, 2000))
    print((yield scheduler.send_file(loc, name)), (yield scheduler.send_file(loc, name)))
    saved = os.stat(os.path.join(there, "data"))
    print(oct(saved.st_mode & 0o777), saved.st_mtime)
    with open(name, "w") as file:
        file.write("other")
    status = yield scheduler.send_file(loc, name)
    print(type(status) is os.stat_result, status.st_size, (yield scheduler.send_file(loc, name, overwrite=True)))
    print((yield scheduler.send_file(loc, name, "a/b", True, 10)), os.path.isfile(os.path.join(there, "a/b/data")))
    def left():
        return [each for each in os.listdir(there) if not each.startswith(".")]
    print((yield scheduler.del_file(loc, "data", dir="a/b")), left())
    print((yield scheduler.del_file(loc, "data")), (yield scheduler.del_file(loc, "data", timeout=10)), left())
    with open(name + "2", "w") as file:
        file.write("x" * 10001)
    refused = [(loc, "none"), (loc, there), (loc, name, "/abs"), (loc, name, "../out"), (loc, 5), (5, name)]
    refused += [(scheduler.location, name), (Location("127.0.0.1", 1), name), (loc, name + "2")]
    codes = []
    for arguments in refused:
        codes.append((yield scheduler.send_file(*arguments)))
        codes.append((yield scheduler.del_file(*arguments)))
    print(set(codes))
import logging
logging.getLogger("greencoro").setLevel(logging.ERROR)
logging.basicConfig()
Coro(main).value()
"""
    )
    assert printed == ["0 1", "0o640 2000.0", "True 3 0", "0 True", "0 ['data']", "0 -1 []", "{-1}"]


# Others.


def test_programs_find_each_other_in_any_order(tmp_path):
    port = free_port()
    server = written(
        tmp_path,
        f"""
{BEGIN}
def server(coro=None):
    coro.register("late server")
    for _ in range(2):
        who, n = yield coro.receive()
        yield who.deliver(n * n)
Coro(server)
""",
        "server.py",
    )
    client = written(
        tmp_path,
        f"""
{BEGIN}
def client(coro=None):
    rcoro = yield Coro.locate("late server")
    rcoro.send((coro, int(sys.argv[4])))
    print((yield coro.receive()))
Coro(client)
""",
        "client.py",
    )
    words = port, SECRET, tmp_path / "dest"
    with legacy(client, *words, 3) as before:
        # It waits already.
        before.stdout.readline(), before.stdout.readline()
        with legacy(server, *words) as serving, legacy(client, *words, 4) as after:
            for process, last in ((before, "9"), (after, "16"), (serving, None)):
                out, err = process.communicate(timeout=40)
                assert (process.returncode, complaints(err)) == (0, [])
                assert lines(out)[-1:] == ([] if last is None else [last])


def test_a_program_in_the_style_of_old_and_one_of_today_talk_to_each_other(tmp_path, peer):
    native = tmp_path / "native.py"
    native.write_text(
        f"""
import sys
from greencoro import RCI, Channel, Coro, MonitorException, Runtime

def asked(coro=None):
    coro.register("native")
    for _ in range(2):
        who, what = coro.receive(20)
        who.send(what * 2)

def main(coro=None):
    echo = Coro.locate("echo", timeout=20)
    echo.send((coro, "to and fro"))
    print(coro.receive(20), echo.deliver((coro, 1), 20), coro.receive(20))
    rcoro = RCI.locate("squared", timeout=20)(6)
    print(rcoro.value(20))
    failing = RCI.locate("squared")(5)
    coro.monitor(failing)
    notice = coro.receive(20)
    print(notice.kind, notice.args[1][1])
    news = Channel.locate("news", timeout=20)
    print(news.deliver((coro, "news"), 20, 1), coro.receive(20))
    ended = RCI.locate("waits")()
    coro.monitor(ended), ended.terminate()
    print(coro.receive(20).kind)

with Runtime("127.0.0.1", {peer.port}, secret={SECRET!r}) as runtime:
    serving = Coro(asked)
    Coro(main).value(40)
    print("now", flush=True)
    serving.value(40)
"""
    )
    old = written(
        tmp_path,
        f"""
{BEGIN}
def main(coro=None):
    rcoro = yield Coro.locate("native")
    print(isinstance(rcoro, Coro), (yield coro.monitor(rcoro)))
    rcoro.send((coro, 21))
    print((yield coro.receive()), (yield rcoro.deliver((coro, 1))), (yield coro.receive()))
    print((yield coro.receive()).args[1])
Coro(main).value()
""",
    )
    with subprocess.Popen([sys.executable, native], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as today:
        for line in [
            "to and fro 1 1",
            "36",
            "exception invalid invocation: 5",
            "1 ('heard', 'news')",
            "terminated",
            "now",
        ]:
            assert today.stdout.readline() == line + "\n", today.communicate()[1]
        with legacy(old, peer.port, SECRET, tmp_path / "dest") as process:
            out, err = process.communicate(timeout=40)
            assert (process.returncode, complaints(err)) == (0, [])
            assert lines(out) == ["True 0", "42 1 2", "(<class 'StopIteration'>, None)"]
        today.communicate(timeout=40)
        assert today.returncode == 0
