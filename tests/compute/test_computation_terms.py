"""On which terms a computation runs, which nodes it uses, and how it is over, with a scheduler that a test makes up."""

import pytest

import greencoro.compute
from greencoro import Computation, Coro, NodeFilter
from greencoro.compute import client_words as words
from greencoro.compute import computation as computations
from greencoro.compute.node_words import Free, NodeFacts
from greencoro.distributed.location import Location
from greencoro.errors import ComputationClosed, ComputeError, DeadlineExceeded, ServerDied
from greencoro.hub.completion import Completion
from tests.compute.client_stand_ins import AT, N, S, T, queue
from tests.support.polling import poll_until


def test_scheduler_is_told_the_terms(link, monkeypatch):
    asked = []
    submit = link.submit
    monkeypatch.setattr(link, "submit", lambda ask, *others: asked.append(ask) or submit(ask, *others))
    Computation(pulse_interval=30, ping_interval=50, zombie_period=200).schedule()
    [ask] = asked
    assert (ask.pulse_interval, ask.ping_interval, ask.zombie_period) == (30.0, 50.0, 200.0)


def test_pulse_interval_is_twice_the_shortest_which_is_read_when_a_computation_is_made(monkeypatch):
    assert Computation()._jobs.client.terms.pulse_interval == 20.0
    monkeypatch.setattr(greencoro.compute, "MinPulseInterval", 0.5)
    monkeypatch.setattr(greencoro.compute, "MaxPulseInterval", 2.0)
    assert Computation()._jobs.client.terms.pulse_interval == 1.0
    assert Computation(pulse_interval=2, zombie_period=2)._jobs.client.terms.zombie_period == 2.0
    with pytest.raises(ValueError, match="MaxPulseInterval, 2 s"):
        Computation(pulse_interval=2.5)


def test_node_filters_decide_and_see_what_the_node_says_of_itself(link):
    seen = []

    def judge(facts):
        seen.append(facts)
        return facts.address != "10.0.0.2"

    with Computation(timeout=0.2, node_filters=[NodeFilter(r"10\.0\.0\.3", cpus=5), judge]):
        poll_until(lambda: words.Verdict(1, N, True) in link.said)
        free = Free(50.0, 2**30, 2**40, 100.0)
        for node, address in (("dd" * 16, "10.0.0.2"), ("ee" * 16, "10.0.0.3")):
            facts = NodeFacts(address, "m", servers=2, ready=2, platform="", cpus=2, tags={"gpu": "no"}, free=free)
            link.notice(words.NodeOffered, node=node, facts=facts)
        poll_until(lambda: len([each for each in link.said if isinstance(each, words.Verdict)]) == 3)
    second, third = (each for each in link.said if isinstance(each, words.Verdict) and not each.accepted)
    assert "returned False" in second.reason
    assert "5 servers wanted, it has 2" in third.reason
    assert [each.address for each in seen] == ["10.0.0.1", "10.0.0.2"]
    assert seen[1].tags == {"gpu": "no"}
    assert seen[1].avail == free.at("10.0.0.2")


def test_a_filter_that_does_not_return_holds_up_nothing_but_its_node(link):
    go_on = Completion()

    def judge(facts):
        return go_on.wait(10) if facts.address == AT.addr else None

    with Computation(timeout=0.2, node_filters=[judge]):
        facts = NodeFacts("10.0.0.2", "m", servers=2, ready=2, platform="", cpus=2)
        link.notice(words.NodeOffered, node=T, facts=facts)
        poll_until(lambda: words.Verdict(1, T, True) in link.said)
        assert words.Verdict(1, N, True) not in link.said
        go_on.set()
        poll_until(lambda: words.Verdict(1, N, True) in link.said)


def test_status_coroutine_is_set_before_the_computation_is_scheduled(link):
    computation = Computation()
    with pytest.raises(TypeError, match="status_coro is a coroutine"):
        computation.status_coro = print
    coro = computation.status_coro = Coro(lambda: None)
    assert computation.status_coro is coro
    computation.schedule()
    with pytest.raises(ComputeError, match="scheduled already"):
        computation.status_coro = coro
    computation.close()


def test_wait_for_servers_returns_when_there_are_enough_and_says_why_where_there_are_not(link):
    with Computation(timeout=0.2) as computation:
        with pytest.raises(DeadlineExceeded, match=r"0 of 1 servers were ready after 0\.01 s: nobody is there"):
            computation.wait_for_servers(timeout=0.01)
        waiting = Coro(computation.wait_for_servers, 2, 10)
        link.start()
        link.start(T, Location("10.0.0.1", 7))
        assert waiting.value(10) == 2
        assert computation.wait_for_servers() == 2


def test_wait_for_servers_ends_with_the_computation(link):
    computation = Computation(timeout=0.2)
    with pytest.raises(ComputationClosed, match="not scheduled"):
        computation.wait_for_servers()
    computation.schedule()
    raised = []

    def wait():
        try:
            computation.wait_for_servers(5, None)
        except ComputationClosed as error:
            raised.append(error)

    waiting = Coro(wait)
    poll_until(lambda: computation._jobs.on_servers)
    computation.close()
    waiting.value(5)
    assert raised


def test_jobs_are_over_at_the_close_though_no_node_says_so(link, monkeypatch):
    monkeypatch.setattr(computations, "_CLOSE_SECONDS", 0.01)
    link.ends = False
    computation = Computation(timeout=0.2)
    computation.schedule()
    link.start()
    poll_until(computation.servers)
    job = queue(computation)
    computation.close()
    assert job.outcome.wait(5)
    assert isinstance(job.notice().error, ComputationClosed)


def test_J7_jobs_are_lost_with_their_scheduler(link):
    computation = Computation(timeout=0.2)
    computation.schedule()
    link.start()
    poll_until(computation.servers)
    job = queue(computation)
    link.notice(words.Ended, reason="the scheduler was lost", lost=True)
    assert job.outcome.wait(5)
    assert isinstance(job.notice().error, ServerDied)
    assert job.notice().kind == "lost"
    assert "its scheduler is lost: the scheduler was lost" in str(job.notice().error)
    with pytest.raises(ComputationClosed):
        computation.run(len, "abc")


def test_J4_server_that_is_silent_for_five_pulses_is_reported_as_unreachable(computation, link):
    computation._jobs.client._on_silent(S)
    poll_until(lambda: isinstance(link.said[-1], words.Unreachable))
    assert link.said[-1].reason == "it was silent for 100 s, 5 pulse intervals"
    assert computation.servers() == []
