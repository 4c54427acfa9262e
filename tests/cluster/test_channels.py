"""Channels, calls and exit notices between real processes, which are stopped and killed meanwhile."""

import signal
import time
from collections import Counter

import pytest

from greencoro.config import Settings
from greencoro.distributed.rci import RCI
from greencoro.distributed.runtime import Runtime
from greencoro.errors import MonitorException, PeerLost
from greencoro.hub.channel import Channel
from greencoro.hub.coroutine import Coro
from tests.cluster.peer_process import KEY, TICK, peer_process
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster


@pytest.fixture
def runtime():
    with Runtime("127.0.0.1", secret_key=KEY, settings=Settings(tick_seconds=TICK), discover_peers=False) as runtime:
        yield runtime


SUBSCRIBER = """
from greencoro.hub.channel import Channel
def listen(coro=None):
    news = Channel.locate("news", Location.parse(sys.argv[1]), timeout=20)
    assert news.subscribe(coro, timeout=20) == 0
    told("subscribed")
    while True:
        told(str(coro.receive()))
runtime.peer(Location.parse(sys.argv[1]))
Coro(listen).value()
"""


def test_M8_of_five_subscribers_one_stopped_and_one_killed_three_get_it_at_once(runtime):
    with Channel("news") as news:
        news.register()
        place = str(runtime.location)
        with (
            peer_process(SUBSCRIBER, False, place) as stopped,
            peer_process(SUBSCRIBER, False, place) as killed,
            peer_process(SUBSCRIBER, False, place) as well,
        ):
            assert [each.line() for each in (stopped, killed, well)] == ["subscribed"] * 3
            here = [Coro(lambda coro=None: [(coro.receive(), time.monotonic()) for _ in range(2)]) for _ in range(2)]
            for coro in here:
                assert news.subscribe(coro) == 0
            assert len(news.subscribers()) == 5
            stopped.signal(signal.SIGSTOP)
            killed.signal(signal.SIGKILL)
            began = time.monotonic()
            assert news.deliver("first", timeout=1.0) == 3
            assert time.monotonic() - began < 6
            assert well.line() == "first"
            poll_until(lambda: len(news.subscribers()) == 3, 15, "the killed one and then the stopped one are gone")
            assert news.deliver("second", timeout=10) == 3
            assert well.line() == "second"
            for coro in here:
                (first, at), (second, _) = coro.value(10)
                assert (first, second) == ("first", "second")
                assert at - began < 5, "it came before the time for the stopped one was over"


REMOTE_CHANNEL = """
from greencoro.hub.channel import Channel
counts = []
def count(coro=None):
    while True:
        counts.append(coro.receive())
def compute(coro=None):
    coro.register("compute")
    coro.receive()
    told("computing")
    until = time.monotonic() + 4
    while time.monotonic() < until:
        pass
    coro.register("done")
    coro.receive()
def setting_up():
    news = Channel("news")
    news.register()
    news.subscribe(Coro(count))
    return news
news = Coro(setting_up).value()
computing = Coro(compute)
told("ready")
computing.value()
"""


def test_M9_a_channel_without_a_transform_takes_messages_while_its_process_computes(runtime):
    with peer_process(REMOTE_CHANNEL) as peer:
        assert peer.line() == "ready"
        assert runtime.peer(peer.location) == 0
        news = Channel.locate("news", timeout=10)
        listener = Coro(lambda coro=None: coro.receive())
        Coro.locate("compute", timeout=10).send("go")
        assert peer.line() == "computing"
        began = time.monotonic()
        assert [news.deliver(number, 3) for number in range(20)] == [1] * 20
        assert news.subscribe(listener, timeout=3) == 0
        assert time.monotonic() - began < 3.5, "it did not wait for the end of the computation"
        assert news.send("late") == 0
        assert listener.value(10) == "late"


VICTIMS = """
def end_as_told(number, coro=None):
    how = coro.receive()
    if how == "raise":
        raise KeyError(number)
    if how == "wait":
        coro.receive()
    return number
def give(coro=None):
    coro.register("victims")
    while True:
        coro.receive().send([Coro(end_as_told, number) for number in range(200)])
Coro(give).value()
"""


#: A connection that is cut is made again, and nobody is lost.
UNHARMED = "none", "cut"


@pytest.mark.parametrize("how", ["none", "cut", "stopped and goes on", "stopped", "killed"])
def test_N4_of_200_that_end_in_five_ways_each_is_heard_of_exactly_once(runtime, how):
    with peer_process(VICTIMS) as peer:
        assert runtime.peer(peer.location) == 0

        def watch(coro=None):
            Coro.locate("victims", timeout=20).send(coro)
            victims = coro.receive(20)
            statuses = [coro.monitor(victim) for victim in victims]
            for number, victim in enumerate(victims):
                if number == 100 and how != "none":
                    disturb(runtime, peer, how)
                way = number % 5
                if way < 4:  # the fifth goes on, unless it is lost
                    victim.send(["value", "raise", "wait", "wait"][way])
                if way == 2:
                    victim.terminate()
                elif way == 3:
                    victim.send("go on")
            ended = []
            while len(ended) < 200:
                if how in UNHARMED and len(ended) == 160:
                    for victim in victims[4::5]:
                        assert victim.terminate() == 0
                notice = coro.receive(30)
                assert isinstance(notice, MonitorException)
                ended.append(notice)
            # After a heal nothing comes a second time.
            if how in ("cut", "stopped and goes on"):
                runtime.peer(peer.location)
            return statuses, ended, coro.receive(1.0)

        statuses, ended, more = Coro(watch).value(90)
        assert statuses == [0] * 200
        assert more is None
        assert len({notice.coro.id for notice in ended}) == 200
        kinds = Counter(notice.kind for notice in ended)
        if how in UNHARMED:
            assert kinds == {"finished": 80, "exception": 40, "terminated": 80}
        else:
            assert kinds["lost"] >= 40
            assert set(kinds) <= {"finished", "exception", "terminated", "lost"}


def disturb(runtime, peer, how):
    if how == "cut":
        for link in runtime.peer_table.online():
            runtime.reactor.post(link.wire.stream._end, ConnectionResetError(104, "Connection reset by peer"))
    elif how == "killed":
        peer.signal(signal.SIGKILL)
    else:
        peer.signal(signal.SIGSTOP)
        if how == "stopped and goes on":
            poll_until(lambda: not runtime.peers(), 20, "the loss")
            peer.signal(signal.SIGCONT)


COUNTING = """
from greencoro.distributed.rci import RCI
path = sys.argv[1]
def count(number):
    with open(path, "a") as file:
        file.write(f"{number}\\n")
def serve(coro=None):
    assert RCI(count).register() == 0
    told("ready")
    coro.receive()
Coro(serve).value()
"""


def test_L4_of_calls_to_a_process_that_is_killed_each_that_returned_ran_once(runtime, tmp_path):
    path = tmp_path / "calls"
    path.touch()
    with peer_process(COUNTING, False, str(path)) as peer:
        assert peer.line() == "ready"
        assert runtime.peer(peer.location) == 0
        count = RCI.locate("count", timeout=10)
        ended, doubtful, refused = [], [], []

        def call_all(first):
            for number in range(first, 500, 10):
                try:
                    started = count(number)
                    started.value(20)
                    ended.append(number)
                except PeerLost as error:
                    (refused if "no coroutine was started" in str(error) else doubtful).append(number)

        calling = [Coro(call_all, first) for first in range(10)]
        poll_until(lambda: len(ended) > 50, 30, "calls")
        peer.signal(signal.SIGKILL)
        for each in calling:
            each.value(30)
    ran = Counter(map(int, path.read_text().split()))
    assert set(ran.values()) == {1}
    assert set(ended) <= set(ran)
    assert not set(refused) & set(ran)
    assert len(ended) + len(doubtful) + len(refused) == 500
