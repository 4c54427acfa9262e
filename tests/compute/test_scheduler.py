"""The one scheduler of a process, where no node answers."""

import threading

import pytest

from greencoro import Computation, ConfigError, Location, Runtime, Scheduler
from greencoro.compute import client_words, node_client
from greencoro.compute import scheduler as schedulers
from greencoro.compute import scheduler_vocabulary as vocabulary
from greencoro.compute.node_words import (
    Attach,
    LeaseEnded,
    NodeFacts,
    Refusal,
    Release,
    Replace,
    Reserve,
    ReserveAnswer,
    ServerStarted,
    lease_token,
)
from greencoro.hub.completion import Completion
from tests.support.polling import poll_until

ABSENT = Location("127.0.0.1", 9)
TOKEN = bytes(range(16))


@pytest.fixture
def runtime():
    with Runtime(node="127.0.0.1", discover_peers=False, secret="a secret of this test's own") as runtime:
        yield runtime
        if schedulers.current_scheduler() is not None:
            schedulers.current_scheduler().close()


@pytest.mark.parametrize("nodes", ["127.0.0.1:9", ABSENT, ["127.0.0.1:9"], iter([ABSENT])])
def test_nodes_are_one_or_several(runtime, nodes):
    with Scheduler(nodes=nodes) as scheduler:
        assert scheduler._finder.places == [ABSENT]


def test_a_scheduler_says_what_it_is_at(runtime):
    with Scheduler(nodes=ABSENT) as scheduler:
        assert repr(scheduler) == (
            f"<Scheduler at {runtime.location}: 0 nodes, 0 servers, 0 computations open, 0 waiting>"
        )
        computations = [Computation(timeout=0.1) for _ in range(2)]
        computations[0].schedule()
        waiting = threading.Thread(target=computations[1].schedule)
        waiting.start()
        poll_until(lambda: "1 computation open, 1 waiting>" in repr(scheduler))
        assert repr(computations[1]) == "<Computation: waits for its turn>"
        computations[0].close()
        waiting.join(10)
        computations[1].close()
    assert repr(scheduler) == "<Scheduler: closed>"


def test_where_no_node_is_named_those_of_this_machine_are_looked_for_at_all_its_addresses(runtime, monkeypatch):
    monkeypatch.setattr(schedulers, "listening_addresses", lambda: ["127.0.0.1", "127.0.0.2"])
    monkeypatch.setattr(schedulers.runtimes, "DEFAULT_PORT", ABSENT.port)
    with Scheduler() as scheduler:
        assert scheduler._finder.places == [ABSENT, Location("127.0.0.2", ABSENT.port)]


def test_nodes_are_given_by_name(runtime):
    with pytest.raises(TypeError):
        Scheduler("127.0.0.1:9")
    assert schedulers.current_scheduler() is None


@pytest.mark.parametrize("nodes", [5, [5]])
def test_what_is_no_node_is_refused_by_a_sentence(runtime, nodes):
    with pytest.raises(TypeError, match=r"takes .*Location.*, not 5"):
        Scheduler(nodes=nodes)


@pytest.mark.parametrize("zombie_period", [-3, float("nan"), float("inf"), "1", True])
def test_a_zombie_period_that_is_none_makes_no_scheduler(runtime, zombie_period):
    with pytest.raises((TypeError, ValueError), match="zombie_period"):
        Scheduler(nodes=ABSENT, zombie_period=zombie_period)
    assert schedulers.current_scheduler() is None


def test_a_zombie_period_is_turned_off_again(daemon, heard):
    where = daemon.runtime.location
    for period in (300.0, None, 0):
        scheduler = Scheduler(nodes=where, zombie_period=period)
        number = submit(scheduler, heard, zombie_period=0.0)
        poll_until(lambda number=number: len(daemon.of(Reserve)) == number)
        scheduler.tell(client_words.Close(number))
        poll_until(lambda number=number: number in [each.computation for each in notices(heard, client_words.Ended)])
    assert [each.zombie_period for each in daemon.of(Reserve)] == [300.0, 300.0, 0.0]


def test_second_call_gives_the_first_ones_object_and_adds_nodes(runtime):
    with Scheduler(nodes=ABSENT) as first:
        assert Scheduler() is first
        assert first._finder.places == [ABSENT]
        assert Scheduler(nodes="127.0.0.1:10") is first
        assert len(first._finder.places) == 2


def test_threads_that_make_the_first_scheduler_at_once_get_the_same(runtime, monkeypatch):
    begin = Scheduler._begin
    both = threading.Barrier(2)

    def slow_begin(scheduler, *options):
        second.start()
        both.wait(5)
        begin(scheduler, *options)

    def make_another():
        both.wait(5)
        made.append(Scheduler(nodes=ABSENT))

    monkeypatch.setattr(Scheduler, "_begin", slow_begin)
    made = []
    second = threading.Thread(target=make_another)
    made.append(Scheduler(nodes=ABSENT))
    second.join(5)
    assert len(made) == 2
    assert made[0] is made[1]


def test_scheduler_that_could_not_be_made_is_in_nobodys_way(runtime):
    with pytest.raises(ConfigError, match="has a Runtime already"):
        Scheduler(nodes=ABSENT, node="127.0.0.1")
    with Scheduler(nodes=ABSENT) as scheduler:
        assert schedulers.current_scheduler() is scheduler
        with pytest.raises(ConfigError, match="has a Runtime already"):
            Scheduler(nodes=ABSENT, node="127.0.0.1")


def test_S15_runtime_whose_peers_run_nothing_here_is_no_schedulers():
    with pytest.raises(ConfigError, match=r"need a Runtime\(serializer='pickle'\)"):
        Scheduler(nodes=ABSENT, node="127.0.0.1", serializer="json")
    with Runtime("127.0.0.1", discover_peers=False, serializer="json"):
        with pytest.raises(ConfigError, match="with 'json' runtimes exchange messages"):
            Scheduler(nodes=ABSENT)
        with pytest.raises(ConfigError, match="with 'json' runtimes exchange messages"):
            Computation().schedule(ABSENT)


def test_node_that_is_not_to_be_used_is_looked_for_no_more(runtime):
    with Scheduler(nodes=[ABSENT, "127.0.0.1:10"]) as scheduler:
        poll_until(lambda: "refused" in scheduler.why_no_server(), 5)
        scheduler.remove_node(ABSENT)
        assert "127.0.0.1:9 " not in scheduler.why_no_server()
        assert "127.0.0.1:10 " in scheduler.why_no_server()


# What it asks of nodes, and believes of them.


class Daemon:
    """A node daemon's answers, in a runtime of its own."""

    def __init__(self, monkeypatch, runtime):
        self.runtime = Runtime(node="127.0.0.1", discover_peers=False, name="daemon", secret_key=runtime.secret.key)
        self.asked = []
        #: What a reservation waits for before it is answered.
        self.reserve = Completion()
        self.reserve.set()
        self.refusal = None
        facts = NodeFacts("127.0.0.1", "daemon", servers=1, ready=1, platform="", cpus=1)
        self.runtime.handle(Attach.operation, lambda request: request.reply(facts.to_header()))
        self.runtime.handle(Reserve.operation, self._on_reserve)
        self.runtime.handle(Release.operation, self._on_release)
        self.runtime.handle(Replace.operation, lambda request: self.asked.append(Replace.from_header(request.header)))

    def _on_reserve(self, request):
        self.asked.append(Reserve.from_header(request.header))
        self.reserve.wait(20)
        reason = "" if self.refusal is None else "the reason"
        request.reply(ReserveAnswer(self.refusal, reason).to_header())

    def _on_release(self, request):
        self.asked.append(Release.from_header(request.header))
        request.reply()

    def tell(self, to, word):
        self.runtime.post(to, word.operation, word.to_header())

    def of(self, kind):
        return [each for each in self.asked if isinstance(each, kind)]


@pytest.fixture
def daemon(runtime, monkeypatch):
    made = Daemon(monkeypatch, runtime)
    with made.runtime:
        yield made
        if schedulers.current_scheduler() is not None:
            schedulers.current_scheduler().close()


@pytest.fixture
def heard():
    return []


@pytest.fixture
def reserved(daemon, heard):
    """A scheduler with a computation that has reserved the daemon; the reservation as that was asked for it."""
    scheduler = Scheduler(nodes=daemon.runtime.location)
    submit(scheduler, heard)
    return scheduler, poll_until(lambda: daemon.of(Reserve))[0]


def submit(scheduler, heard, zombie_period=100.0):
    def listen(notice):
        heard.append(notice)
        if isinstance(notice, client_words.NodeOffered):
            scheduler.tell(client_words.Verdict(notice.computation, notice.node, True))

    return scheduler.submit(client_words.Ask(TOKEN.hex(), "client", 20.0, zombie_period), listen)


def notices(heard, kind):
    return [each for each in heard if isinstance(each, kind)]


def server_started(reservation, **other):
    told = {"token": reservation.token, "attempt": reservation.attempt, "incarnation": "ab" * 16}
    return ServerStarted(**{**told, "location": ABSENT, "name": "server", "pid": 1, **other})


def test_reservation_has_a_token_of_its_own_and_the_computations_intervals(reserved):
    _, reservation = reserved
    assert reservation.token == lease_token(TOKEN, 1)
    assert (reservation.attempt, reservation.pulse_interval, reservation.zombie_period) == (1, 20.0, 100.0)
    assert reservation.name == f"client, computation {1}"


def test_S16_nothing_counts_without_the_token_of_the_lease(reserved, daemon, runtime, heard):
    _, reservation = reserved
    forged = [
        server_started(reservation, token="00" * 32),
        server_started(reservation, token=lease_token(TOKEN, 2)),
        server_started(reservation, token=lease_token(TOKEN, 2), attempt=2),
    ]
    for word in [*forged, server_started(reservation, incarnation="cd" * 16)]:
        daemon.tell(runtime.location, word)
    [started] = poll_until(lambda: notices(heard, client_words.ServerStarted))
    assert started.server == "cd" * 16


def test_S10_malformed_news_of_a_node_disturb_nobody(reserved, daemon, runtime, heard):
    _, reservation = reserved
    header = server_started(reservation).to_header()
    for name in header:
        daemon.runtime.post(runtime.location, ServerStarted.operation, {**header, name: [1]})
    daemon.runtime.post(runtime.location, ServerStarted.operation, {})
    daemon.tell(runtime.location, server_started(reservation, incarnation="cd" * 16))
    [started] = poll_until(lambda: notices(heard, client_words.ServerStarted))
    assert started.server == "cd" * 16


def test_node_in_use_and_one_that_refuses_are_told_apart(daemon, heard):
    daemon.refusal = Refusal.BUSY
    scheduler = Scheduler(nodes=daemon.runtime.location)
    submit(scheduler, heard)
    poll_until(lambda: "is in use by another computation" in scheduler.why_no_server())
    daemon.refusal = Refusal.CLOSED
    poll_until(lambda: "does not take the computation: the reason" in scheduler.why_no_server())
    assert len({each.token for each in daemon.of(Reserve)}) == len(daemon.of(Reserve)) >= 2


def test_reservation_that_is_not_answered_is_released_and_tried_again(daemon, heard, monkeypatch):
    monkeypatch.setattr(node_client, "_ANSWER_SECONDS", 0.2)
    daemon.reserve = Completion()
    scheduler = Scheduler(nodes=daemon.runtime.location)
    submit(scheduler, heard)
    [released] = poll_until(lambda: daemon.of(Release))
    assert released.token == lease_token(TOKEN, 1)
    poll_until(lambda: "node 127.0.0.1 could not be reserved: " in scheduler.why_no_server())
    daemon.reserve.set()
    poll_until(lambda: len(daemon.of(Reserve)) == 2)
    assert daemon.of(Reserve)[1].token == lease_token(TOKEN, 2)


def test_computation_that_ends_while_its_node_is_lost_leaves_no_errors(reserved, daemon, heard, caplog):
    # What is still to be asked of the node must not look for the computation any more.
    scheduler, _ = reserved
    poll_until(lambda: scheduler.look(lambda state: state.lease_of(daemon.runtime.incarnation.hex())))
    number = heard[0].computation
    scheduler.tell(client_words.Close(number))
    scheduler._feed(vocabulary.NodeLost(daemon.runtime.incarnation.hex(), "x"))
    poll_until(lambda: notices(heard, client_words.Ended))
    poll_until(lambda: daemon.of(Release))
    assert "KeyError" not in caplog.text


def test_server_that_the_client_cannot_reach_is_replaced(reserved, daemon, runtime, heard, monkeypatch):
    monkeypatch.setattr(schedulers, "_EXPLANATION_SECONDS", 0.1)
    scheduler, reservation = reserved
    daemon.tell(runtime.location, server_started(reservation))
    [started] = poll_until(lambda: notices(heard, client_words.ServerStarted))
    scheduler.tell(client_words.Unreachable(started.computation, started.server, "reset"))
    [gone] = poll_until(lambda: notices(heard, client_words.ServerGone))
    assert "reset" in gone.explanation
    assert poll_until(lambda: daemon.of(Replace)) == [Replace(reservation.token, started.server)]


def test_node_that_ends_the_lease_is_told(reserved, daemon, runtime, heard):
    _, reservation = reserved
    daemon.tell(runtime.location, server_started(reservation))
    poll_until(lambda: notices(heard, client_words.ServerStarted))
    daemon.tell(runtime.location, LeaseEnded(reservation.token, reservation.attempt, "was closed"))
    [gone] = poll_until(lambda: notices(heard, client_words.ServerGone))
    assert gone.closed
    assert poll_until(lambda: notices(heard, client_words.NodeChanged))[0].change is client_words.NodeChange.CLOSED


def test_close_ends_the_computations_and_waits_for_the_nodes(reserved, daemon, heard):
    scheduler, reservation = reserved
    submit(scheduler, heard)
    scheduler.close()
    assert len(notices(heard, client_words.Ended)) == 2
    assert daemon.of(Release)[0].token == reservation.token
