"""What a computation does with a scheduler and servers that do what a test says."""

import logging
import math
import threading
from types import SimpleNamespace

import pytest

import greencoro.compute
from greencoro import Computation, Coro, MonitorException, NoMatchingServer, RemoteCoroScheduler
from greencoro.compute import client as clients
from greencoro.compute import client_words as words
from greencoro.compute import computation as computations
from greencoro.compute.client_phase import Phase
from greencoro.compute.job_journal import journal
from greencoro.errors import (
    BusyResource,
    ComputationClosed,
    ComputeError,
    DeadlineExceeded,
    PeerLost,
    ServerDied,
)
from greencoro.hub.completion import Completion
from tests.compute.client_stand_ins import AT, HERE, OTHER, S, T, queue
from tests.support.polling import poll_until

LOST = MonitorException(None, "lost", None, PeerLost("reset"))


def test_default_timeout_is_read_when_a_computation_is_made(monkeypatch):
    before = Computation()
    monkeypatch.setattr(greencoro.compute, "MsgTimeout", 2.5)
    assert (before.timeout, Computation().timeout, Computation(timeout=3).timeout) == (10.0, 2.5, 3.0)


def load(computation):
    [server] = computation._jobs.client.ready()
    return server.load


def test_it_is_scheduled_once_and_closed_once(link):
    computation = Computation()
    assert computation.close() is None
    assert computation.schedule() == 0
    with pytest.raises(ComputeError, match="a computation is scheduled once"):
        computation.schedule()
    computation.close()
    computation.close()
    assert link.said.count(words.Close(1)) == 1
    assert link.runtime.observers == []


def test_it_may_be_scheduled_when_there_is_a_scheduler_at_last(link, monkeypatch):
    computation = Computation()
    with monkeypatch.context() as patch:
        patch.setattr(link, "submit", lambda *args: (_ for _ in ()).throw(PeerLost("gone")))
        with pytest.raises(PeerLost):
            computation.schedule()
    assert link.runtime.observers == []
    assert computation.schedule() == 0
    computation.close()


def test_close_says_so_where_nodes_do_not_answer(link, monkeypatch, caplog):
    link.ends = False
    monkeypatch.setattr(computations, "_CLOSE_SECONDS", 0.01)
    computation = Computation()
    computation.schedule()
    with caplog.at_level(logging.WARNING):
        computation.close()
    assert "not every node has said within 0.01 s" in caplog.text


def test_a_computation_that_waits_for_its_turn_says_so(link, monkeypatch, caplog):
    link.begins = False
    monkeypatch.setattr(clients, "_SAY_AFTER_SECONDS", 0.01)
    computation = Computation()
    waiting = threading.Thread(target=computation.schedule)
    waiting.start()
    try:
        poll_until(lambda: "waits for its turn" in caplog.text, what="it is said")
        assert waiting.is_alive()
    finally:
        link.notice(words.Begun, location=HERE)
        waiting.join()
    computation.close()


def test_a_computation_that_waits_for_its_turn_says_so_again_when_that_has_changed(link, monkeypatch, caplog):
    link.begins = False
    before = ["one and 2 more", "one and 2 more", "one and 2 more", "one and 1 more"]
    monkeypatch.setattr(link, "why_no_turn", lambda: before.pop(0) if len(before) > 1 else before[0], raising=False)
    monkeypatch.setattr(clients, "_SAY_AFTER_SECONDS", 0.01)
    monkeypatch.setattr(clients, "_SAY_EVERY_SECONDS", 0.01)
    computation = Computation()
    waiting = threading.Thread(target=computation.schedule)
    waiting.start()
    try:
        poll_until(lambda: "one and 1 more" in caplog.text)
        said = [text for text in caplog.messages if text.startswith("a computation waits for ")]
        assert said == [f"a computation waits for one and {number} more" for number in (2, 1)]
    finally:
        link.notice(words.Begun, location=HERE)
        waiting.join()
    computation.close()


def test_computation_without_servers_says_why(link, monkeypatch, caplog):
    monkeypatch.setattr(clients, "_SAY_EVERY_SECONDS", 0.01)
    with Computation():
        poll_until(lambda: "no servers: nobody is there" in caplog.text)


def test_computation_that_its_scheduler_ends_says_why(link):
    computation = Computation(timeout=0.2)
    computation.schedule()
    link.start()
    poll_until(computation.servers)
    job = queue(computation)
    link.notice(words.Ended, reason="the scheduler was closed")
    assert job.outcome.wait(5)
    assert isinstance(job.notice().error, ComputationClosed)
    assert "the scheduler was closed" in str(job.notice().error)
    with pytest.raises(ComputationClosed):
        computation.run(len, "abc")
    assert computation._jobs.client.phase is Phase.OVER


def test_server_that_cannot_be_set_up_is_not_used(computation, link, caplog):
    link.start(T, OTHER)
    poll_until(lambda: words.SetUpFailed(1, T, "no module named x") in link.said)
    assert computation.servers() == [AT]
    assert "could not be set up: no module named x" in caplog.text
    with pytest.raises(NoMatchingServer, match=r"no server at 10\.0\.0\.1:6 within 0\.2 s: there are 10\.0\.0\.1:5"):
        computation.run_at(OTHER, len, "abc")


# Jobs and the servers that they are lost with.


def test_J1_job_at_a_server_that_died_gets_the_nodes_explanation(computation, link):
    job, other = queue(computation), queue(computation)
    link.runtime.watches[0].set(LOST)
    link.notice(words.ServerGone, server=S, explanation="was killed by SIGKILL")
    for each in (job, other):
        assert each.outcome.wait(5)
        assert "was killed by SIGKILL" in str(each.notice().error)
    poll_until(lambda: computation._jobs.client.transport.forgotten == [S])
    assert computation._jobs._submissions == {}


def test_what_a_server_sent_before_it_died_is_waited_for(computation, link):
    job = queue(computation)
    link.runtime.online = [SimpleNamespace(incarnation=bytes.fromhex(S))]
    link.notice(words.ServerGone, server=S, explanation="was killed")
    poll_until(lambda: not computation.servers())
    assert not job.outcome.wait(0.2)
    link.runtime.watches[0].set(MonitorException(None, "finished", 3))
    link.runtime.online = []
    link.runtime.lose(S)
    assert job.outcome.wait(5)
    assert job.notice().value == 3


def closes(link):
    """The node has said that it has ended its servers, and nobody has heard yet what these said before."""
    link.runtime.online = [SimpleNamespace(incarnation=bytes.fromhex(S))]
    link.notice(words.ServerGone, server=S, explanation="was ended with its node", closed=True)
    link.notice(words.Ended, reason="the last of its nodes has closed its servers")


def test_J1_outcomes_on_their_way_are_waited_for_where_the_nodes_have_ended_the_computation(computation, link):
    finished, terminated, under_way = [queue(computation) for _ in range(3)]
    closes(link)
    poll_until(lambda: computation._jobs.client.phase is not Phase.CURRENT)
    with pytest.raises(ComputationClosed, match="the last of its nodes"):
        computation.run(len, "abc")
    assert not finished.outcome.wait(0.2)
    link.runtime.watches[0].set(MonitorException(None, "finished", 3))
    # What is ended with its server is no outcome of its own.
    link.runtime.watches[1].set(MonitorException(None, "terminated"))
    link.runtime.watches[2].set(LOST)
    link.runtime.online = []
    link.runtime.lose(S)
    assert finished.outcome.wait(5)
    assert finished.notice().value == 3
    for job in (terminated, under_way):
        assert job.outcome.wait(5)
        with pytest.raises(ComputationClosed, match="the last of its nodes has closed its servers"):
            raise job.notice().error


def test_J1_outcomes_that_do_not_come_are_not_waited_for_longer_than_a_moment(computation, link, monkeypatch):
    monkeypatch.setattr(clients, "_LAST_WORDS_SECONDS", 0.05)
    job = queue(computation)
    closes(link)
    assert job.outcome.wait(5)
    assert isinstance(job.notice().error, ComputationClosed)
    computation.close()
    assert computation._jobs.client.phase is Phase.OVER


def test_computation_whose_nodes_have_ended_it_is_over_though_its_runtime_finishes_meanwhile(
    computation, link, monkeypatch
):
    """With a runtime end the coroutines that it has spawned."""
    monkeypatch.setattr(clients, "_LAST_WORDS_SECONDS", 0.5)
    spawned = []
    spawn = link.runtime.spawn
    monkeypatch.setattr(link.runtime, "spawn", lambda *args: spawned.append(spawn(*args)) or spawned[-1])
    closes(link)
    client = computation._jobs.client
    poll_until(lambda: client.phase is Phase.ENDING)
    Coro(lambda: None).value(5)  # by then the hub has carried out what follows from that
    for coro in spawned:
        coro.terminate()
    assert client.over.wait(5)
    assert client.phase is Phase.OVER


def test_who_is_online_is_looked_up_once_for_a_server_that_is_gone(computation, link, monkeypatch):
    """At the end of a computation all of its servers go at once."""
    looks = []
    peer_infos = link.runtime.peer_infos
    monkeypatch.setattr(link.runtime, "peer_infos", lambda: looks.append(None) or peer_infos())
    job = queue(computation)
    closes(link)
    assert not job.outcome.wait(0.2)
    link.runtime.lose(S)
    assert job.outcome.wait(5)
    assert len(looks) == 1


def test_J1_lost_connection_that_the_scheduler_does_not_explain_ends_the_jobs_all_the_same(computation, link):
    job = queue(computation)
    link.runtime.lose(S)
    poll_until(lambda: link.said[-1] == words.Unreachable(1, S, "reset"))
    assert computation.servers() == []
    link.runtime.watches[0].set(LOST)
    assert job.outcome.wait(5)
    assert isinstance(job.notice().error, ServerDied)
    assert "its node does not say why: reset" in str(job.notice().error)


def test_J1_job_that_did_not_reach_its_server_ends_though_nobody_says_what_became_of_that(computation):
    computation._jobs.client.transport.fails = PeerLost("reset")
    with pytest.raises(ServerDied, match="cannot be reached any more: reset"):
        computation.run(len, "abc")
    poll_until(lambda: load(computation) == 0)


def test_J1_job_for_which_there_is_no_room_is_over_with_that(computation):
    job = queue(computation)
    computation._jobs.client.transport.fails = BusyResource("no room")
    with pytest.raises(BusyResource):
        computation._jobs.queue(job)
    assert job.outcome.wait(5)
    assert isinstance(job.notice().error, BusyResource)
    poll_until(lambda: load(computation) == 0)


def test_job_that_its_server_does_not_answer_in_time_is_withdrawn(computation):
    transport = computation._jobs.client.transport
    transport.fails = DeadlineExceeded("no answer")
    with pytest.raises(DeadlineExceeded):
        computation.run(len, "abc")
    assert len(transport.withdrawn) == 1
    poll_until(lambda: load(computation) == 0)


def test_job_that_a_server_takes_no_more_is_not_counted_for_it(computation, link):
    link.runtime.refuses_watches = BusyResource("too many")
    with pytest.raises(BusyResource):
        computation.run(len, "abc")
    assert load(computation) == 0


def test_job_for_a_server_that_went_meanwhile_hears_of_it(computation, link):
    jobs = computation._jobs
    number = journal.submitted("len")
    server = jobs.claim(number, None, 0.0)
    link.notice(words.ServerGone, server=S, explanation="was killed")
    poll_until(lambda: server.is_gone)
    job = jobs.submit(server, jobs.shipping.prepare(len, ("abc",), {}), number=number)
    assert job.outcome.wait(5)
    assert "was killed" in str(job.notice().error)
    poll_until(lambda: jobs._submissions == {})


# Its status coroutine.


def test_status_coroutine_with_a_full_mailbox_is_told_all_in_order(link):
    heard, go_on = [], Completion()

    def status(coro=None):
        coro.max_mailbox = 1
        go_on.wait(10)
        while True:
            heard.append(coro.receive())

    coro = Coro(status)
    coro.set_daemon()
    with Computation(status_coro=coro, timeout=0.2) as computation:
        link.start()
        poll_until(computation.servers)
        job = computation._jobs.run_at(None, len, ("abc",), {})
        link.runtime.watches[0].set(MonitorException(None, "finished", 3))
        assert job.outcome.wait(5)
    go_on.set()
    poll_until(lambda: len(heard) >= 9)
    names = [each.kind if isinstance(each, MonitorException) else each.name for each in heard]
    assert names[:5] == [
        "ComputationScheduled",
        "NodeDiscovered",
        "ServerDiscovered",
        "NodeInitialized",
        "ServerInitialized",
    ]
    assert names[5:7] == ["CoroCreated", "finished"]
    assert names[7:] == ["ServerClosed", "ComputationClosed"]
    coro.terminate()


def test_the_wait_for_a_schedulers_answer_may_be_another_than_that_for_servers(link, monkeypatch):
    given = []
    submit = link.submit
    monkeypatch.setattr(clients, "find_scheduler", lambda location, timeout: given.append(timeout) or link)
    monkeypatch.setattr(
        link, "submit", lambda ask, listener, timeout: given.append(timeout) or submit(ask, listener, 0)
    )
    computation = Computation(timeout=2)
    computation.schedule(timeout=0.5)
    assert given == [0.5, 0.5]
    computation.close()
    with pytest.raises(TypeError, match=r"schedule\(\)"):
        Computation().schedule(timeout="soon")


@pytest.mark.parametrize(("patience", "waits"), [(None, False), (0.05, False), (math.inf, True)])
def test_how_long_a_job_waits_for_a_first_server_is_for_its_scheduler_to_say(link, patience, waits):
    computation = Computation(timeout=0.1)
    scheduler = RemoteCoroScheduler(computation, patience=patience)
    computation.schedule()
    waiting = Coro(scheduler.schedule, len, "abc")
    if waits:
        with pytest.raises(DeadlineExceeded):
            waiting.value(0.5)
        link.start()
        assert waiting.value(5).name == "job"
    else:
        with pytest.raises(NoMatchingServer):
            waiting.value(5)
    computation.close()
