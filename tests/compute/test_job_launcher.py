"""What becomes of jobs whose servers are lost, hand them back, or that nobody wants any more."""

from types import SimpleNamespace

import pytest

from greencoro import Coro, Job
from greencoro.compute import job_launcher as launchers
from greencoro.compute.client_phase import Phase
from greencoro.compute.job import Outcome
from greencoro.compute.job_journal import journal
from greencoro.compute.job_launcher import JobLauncher
from greencoro.compute.server_pool import Server, ServerPool
from greencoro.compute.shipping import Shipping
from greencoro.compute.submission import Submission
from greencoro.distributed.location import Location
from greencoro.errors import (
    BusyResource,
    ComputationClosed,
    CoroTerminated,
    MonitorException,
    NoMatchingServer,
    PackagingError,
    PeerLost,
    ServerDied,
)
from greencoro.hub import native
from tests.compute.client_stand_ins import watch
from tests.support.polling import poll_until

FINISHED = MonitorException(None, "finished", 42)
TERMINATED = MonitorException(None, "terminated")
LOST = MonitorException(None, "lost", None, PeerLost("reset"))
HANDED_BACK = SimpleNamespace(kind="exception", error_type="HandedBack")


class Transport:
    """Keeps what it is to do."""

    def __init__(self):
        self.attempts = []
        self.queued, self.withdrawn = [], []
        self.refuses = None
        #: Does the server answer what it is told?
        self.is_obeyed = True

    def open_watch(self, peer):
        return watch(len(self.attempts) + 1)

    def open(self, server, call, on_over, lane=None):
        if self.refuses is not None:
            raise self.refuses
        self.attempts.append(Submission(self, server, call, on_over, lane))
        return self.attempts[-1]

    def queue(self, attempt):
        self.queued.append(attempt)

    def withdraw(self, attempt):
        self.withdrawn.append(attempt)
        if self.is_obeyed:
            attempt._watch.set(TERMINATED)


class Client:
    """A computation that has its turn."""

    def __init__(self, *callbacks):
        self.lock = native.Lock()
        self.pool = ServerPool()
        self.phase = Phase.CURRENT
        self.transport = Transport()
        self.runtime = SimpleNamespace(spawn=Coro)
        self.link = SimpleNamespace(why_no_server=lambda: "nobody is there")
        self.feed = SimpleNamespace(is_heard=False, tell=lambda message: None)
        self.ended = None
        self.reason = ""
        self.changed, self.gone, self.end = callbacks[2:5]

    def ready(self):
        return list(self.pool.ready())

    def add(self, number):
        server = Server(f"{number:032x}", "cd" * 16, "10.0.0.1", Location("10.0.0.1", number), f"s{number}", "token")
        self.pool.add(server)
        server.advance("set_up")
        Coro(self.changed).value(5)
        return server

    def lose(self, server, explanation="was killed"):
        def lose():
            self.pool.gone(server, explanation)
            self.gone(server)
            self.changed()

        Coro(lose).value(5)

    def close(self):
        def close():
            self.phase = Phase.CLOSING
            self.end()
            self.changed()

        Coro(close).value(5)


@pytest.fixture
def launcher(monkeypatch):
    monkeypatch.setattr(launchers, "Client", Client)
    return JobLauncher(Shipping([]), SimpleNamespace(timeout=0.5))


@pytest.fixture
def client(launcher):
    return launcher.client


def call(launcher, retries=0):
    return launcher.call_at(None, Job(len, retries=retries), ("abc",), {})


def attempts(client, count):
    poll_until(lambda: len(client.transport.queued) == count, 5)
    return client.transport.queued


def comes(attempt, notice):
    attempt._watch.set(notice)


def test_J2_job_whose_server_is_lost_goes_to_another_and_comes_to_one_outcome(launcher, client):
    first, second = client.add(1), client.add(2)
    job = call(launcher, retries=1)
    comes(client.transport.queued[0], LOST)
    client.lose(first)
    _, again = attempts(client, 2)
    assert again.server is second
    assert not job.outcome.done
    comes(again, FINISHED)
    assert job.outcome.wait(5)
    assert (job.notice().value, job.attempts, job.ended()) == (42, 2, Outcome.VALUE)
    poll_until(lambda: second.load == 0, 5)
    assert launcher._waiting == {}


def test_J1_late_news_of_a_lost_attempt_are_nobodys_outcome(launcher, client):
    first, _ = client.add(1), client.add(2)
    client.transport.is_obeyed = False
    job = call(launcher, retries=1)
    client.lose(first)
    comes(client.transport.queued[0], MonitorException(None, "finished", "of the first"))
    _, again = attempts(client, 2)
    comes(again, FINISHED)
    assert job.outcome.wait(5)
    assert job.notice().value == 42


def test_J2_attempt_that_may_still_run_is_withdrawn_and_there_is_no_other(launcher, client):
    first, _ = client.add(1), client.add(2)
    client.transport.is_obeyed = False
    job = call(launcher, retries=1)
    client.lose(first)
    assert job.outcome.wait(10)
    assert client.transport.withdrawn == client.transport.queued == client.transport.attempts
    error = job.notice().error
    assert isinstance(error, ServerDied)
    assert error.__notes__ == ["It was not run again: it may still run at 10.0.0.1:1"]


def test_J2_job_without_retries_is_lost_with_its_server(launcher, client):
    first, _ = client.add(1), client.add(2)
    job = call(launcher)
    client.lose(first)
    assert job.outcome.wait(5)
    assert isinstance(job.notice().error, ServerDied)
    assert len(client.transport.attempts) == 1


def test_job_that_was_handed_back_runs_elsewhere_without_retries(launcher, client):
    first, second = client.add(1), client.add(2)
    job = call(launcher)
    first.advance("drain")
    comes(client.transport.queued[0], HANDED_BACK)
    _, again = attempts(client, 2)
    assert again.server is second
    comes(again, FINISHED)
    assert job.outcome.wait(5)
    assert client.transport.withdrawn == []


def test_server_that_has_handed_a_job_back_is_not_sent_it_again(launcher, client):
    client.add(1)
    job = call(launcher)
    comes(client.transport.queued[0], HANDED_BACK)
    poll_until(lambda: job in launcher._waiting, 5)
    second = client.add(2)
    _, again = attempts(client, 2)
    assert again.server is second
    comes(again, FINISHED)
    assert job.outcome.wait(5)


def test_late_word_of_a_server_that_is_gone_changes_nothing(launcher, client):
    server = client.add(1)
    job = call(launcher)
    client.pool.gone(server, "was killed")
    comes(client.transport.queued[0], HANDED_BACK)
    assert job.outcome.wait(5)


def test_what_became_of_a_job_is_told(launcher, client):
    first, second = client.add(1), client.add(2)
    job = call(launcher, retries=1)
    assert job.explain()[-1].startswith("attempt 1 at 10.0.0.1:1 for ")
    comes(client.transport.queued[0], LOST)
    client.lose(first)
    _, again = attempts(client, 2)
    comes(again, FINISHED)
    assert again.server is second
    assert job.outcome.wait(5)
    poll_until(lambda: job.explain()[-1].startswith("finished after"), 5)
    lines = job.explain()
    assert lines[0].startswith(f"job {job.number} len: submitted ")
    assert lines[1].endswith("for a server")
    assert lines[2].endswith("the server process that ran len (10.0.0.1:1) was killed")
    assert lines[3].endswith("for another server")
    assert lines[4].startswith("attempt 2 at 10.0.0.1:2 for ")
    assert lines[5].startswith("finished after")


@pytest.mark.parametrize("phase", [Phase.CLOSING, Phase.ENDING, Phase.OVER])
def test_nothing_is_scattered_once_the_computation_is_about_to_be_over(launcher, client, phase):
    client.phase = phase
    with pytest.raises(ComputationClosed, match="the computation is closed"):
        launcher.scatter("abc")


def test_job_that_finds_no_server_is_told_of_too(launcher, client):
    with pytest.raises(NoMatchingServer):
        call(launcher)
    [line], _ = journal.last(1)
    assert "len: not sent after" in line


def test_job_that_could_not_be_sent_is_told_of_too(launcher, client):
    client.add(1)
    client.transport.refuses = BusyResource("too many")
    with pytest.raises(BusyResource):
        call(launcher)
    [report] = journal.last(1)[1]
    assert (report["outcome"], report["explanation"]) == ("lost", "BusyResource: too many")


def test_jobs_wait_for_capacity_where_there_is_no_server_for_them(launcher, client):
    assert launcher.shortage() == (0, "")
    launcher.on_shortage.append(lambda: 2)
    assert launcher.shortage() == (2, "nobody is there")
    launcher.timeout = 20
    waiting = Coro(lambda: call(launcher))
    poll_until(lambda: launcher.shortage() == (3, "nobody is there"), 5)
    assert journal.last(1)[0][0].endswith(": nobody is there")
    elsewhere = Coro(lambda: launcher.call_at("10.0.0.2", len, ("abc",), {}))
    poll_until(lambda: launcher.shortage()[0] == 4, 5)
    client.add(1)
    comes(attempts(client, 1)[0], FINISHED)
    assert waiting.value(5).outcome.wait(5)
    # Those that wait for their turn at a server that is there have what they need.
    poll_until(lambda: launcher.shortage() == (1, "there are 10.0.0.1:1"), 5)
    elsewhere.terminate()
    poll_until(lambda: launcher.shortage() == (0, ""), 5)


def test_job_that_was_handed_back_and_finds_no_server_says_so(launcher, client):
    first = client.add(1)
    job = call(launcher)
    first.advance("drain")
    comes(client.transport.queued[0], HANDED_BACK)
    assert job.outcome.wait(10)
    with pytest.raises(NoMatchingServer, match="nobody is there"):
        job.result()


def test_job_that_waits_for_a_server_gets_the_next_one(launcher, client):
    first = client.add(1)
    job = call(launcher, retries=1)
    comes(client.transport.queued[0], LOST)
    client.lose(first)
    poll_until(lambda: job in launcher._waiting, 5)
    client.add(2)
    _, again = attempts(client, 2)
    comes(again, FINISHED)
    assert job.outcome.wait(5)


def test_J1_job_that_waits_for_a_server_when_the_computation_is_closed_hears_that(launcher, client):
    first = client.add(1)
    job = call(launcher, retries=1)
    comes(client.transport.queued[0], LOST)
    client.lose(first)
    poll_until(lambda: job in launcher._waiting, 5)
    client.close()
    assert job.outcome.wait(5)
    with pytest.raises(ComputationClosed):
        job.result()
    poll_until(lambda: launcher._waiting == {}, 5)
    assert len(client.transport.attempts) == 1


def test_J7_jobs_are_lost_with_their_server_where_the_scheduler_is_lost(launcher, client):
    client.add(1)
    jobs = [call(launcher), call(launcher, retries=3)]
    client.ended = SimpleNamespace(lost=True, reason="no pulse")
    client.close()
    for job in jobs:
        assert job.outcome.wait(5)
        with pytest.raises(ServerDied, match="its scheduler is lost: no pulse"):
            raise job.notice().error
    assert len(client.transport.attempts) == 2


def test_J1_job_that_the_next_server_does_not_take_is_over_with_that(launcher, client):
    first, second = client.add(1), client.add(2)
    job = call(launcher, retries=5)
    client.transport.refuses = BusyResource("too many")
    comes(client.transport.queued[0], LOST)
    client.lose(first)
    assert job.outcome.wait(5)
    with pytest.raises(BusyResource):
        job.result()
    assert second.load == 0


def test_job_that_cannot_be_sent_is_not_tried_again(launcher, client, monkeypatch):
    client.add(1), client.add(2)

    def refuse(attempt):
        raise PackagingError("too large")

    monkeypatch.setattr(client.transport, "queue", refuse)
    with pytest.raises(PackagingError):
        call(launcher, retries=3)
    poll_until(lambda: launcher._submissions.get(client.transport.attempts[0].server.id) == {}, 5)
    assert launcher._waiting == {}
    assert len(client.transport.attempts) == 1


def test_job_that_an_ending_server_does_not_take_is_started_at_another(launcher, client, monkeypatch):
    ending, other = client.add(1), client.add(2)

    def start(attempt, deadline):
        if attempt.server is ending:
            raise ComputationClosed("takes no more jobs")
        return SimpleNamespace(name="len")

    monkeypatch.setattr(client.transport, "start", start, raising=False)
    job = launcher.run_at(None, len, ("abc",), {})
    assert job.server is other
    poll_until(lambda: (ending.load, other.load) == (0, 1), 5)
    client.phase = Phase.CLOSING
    with pytest.raises(ComputationClosed, match="the computation is closed"):
        launcher.run_at(ending.location, len, ("abc",), {})
    comes(client.transport.attempts[-1], FINISHED)


@pytest.mark.parametrize("end", ["with its server", "cancelled"])
def test_job_that_is_over_before_it_is_started_is_not_sent(launcher, client, monkeypatch, end):
    """Of its arguments nothing is left by then."""
    server = client.add(1)
    submit = launcher.submit

    def submit_slowly(*args, **options):
        job = submit(*args, **options)
        if end == "cancelled":
            job.cancel()
        else:
            client.lose(server)
        assert job.outcome.wait(5)
        return job

    monkeypatch.setattr(launcher, "submit", submit_slowly)
    monkeypatch.setattr(client.transport, "start", lambda *args: pytest.fail("it was sent"), raising=False)
    with pytest.raises(CoroTerminated if end == "cancelled" else ServerDied):
        launcher.run_at(None, len, ("abc",), {})


# Cancelling.


def test_cancelled_job_is_withdrawn_and_is_what_its_server_says(launcher, client):
    client.add(1)
    job = call(launcher, retries=3)
    assert job.cancel()
    assert client.transport.withdrawn == [client.transport.queued[0]]
    assert job.outcome.wait(5)
    assert job.ended() is Outcome.TERMINATED
    assert not job.cancel()


def test_cancelled_job_whose_server_is_lost_is_not_run_again(launcher, client):
    first, _ = client.add(1), client.add(2)
    client.transport.is_obeyed = False
    job = call(launcher, retries=3)
    job.cancel()
    client.lose(first)
    assert job.outcome.wait(5)
    assert job.ended() is Outcome.LOST
    assert len(client.transport.attempts) == 1


def test_cancelled_job_that_waits_for_a_server_is_terminated_at_once(launcher, client):
    first = client.add(1)
    job = call(launcher, retries=1)
    comes(client.transport.queued[0], LOST)
    client.lose(first)
    poll_until(lambda: job in launcher._waiting, 5)
    assert launcher.cancel() == 1
    assert job.outcome.wait(5)
    with pytest.raises(CoroTerminated, match="cancelled"):
        job.result()
    second = client.add(2)
    poll_until(lambda: launcher._waiting == {}, 5)
    assert second.load == 0
    assert len(client.transport.attempts) == 1


def test_cancelled_job_that_was_handed_back_is_terminated(launcher, client):
    client.add(1)
    client.transport.is_obeyed = False
    job = call(launcher)
    job.cancel()
    comes(client.transport.queued[0], HANDED_BACK)
    assert job.outcome.wait(5)
    assert job.ended() is Outcome.TERMINATED


def test_job_that_is_cancelled_while_it_is_sent_is_withdrawn_when_it_is(launcher, client, monkeypatch):
    client.add(1)
    client.transport.is_obeyed = False
    queue = client.transport.queue

    def cancel_and_queue(attempt):
        assert launcher.cancel() == 1
        client.transport.withdrawn.clear()
        queue(attempt)

    monkeypatch.setattr(client.transport, "queue", cancel_and_queue)
    call(launcher)
    assert client.transport.withdrawn == client.transport.queued
    comes(client.transport.queued[0], TERMINATED)


def test_jobs_are_cancelled_by_handle_and_others_go_on(launcher, client):
    client.add(1)
    jobs = [call(launcher) for _ in range(3)]
    assert launcher.cancel(jobs[0]) == 1
    assert jobs[0].outcome.wait(5)
    assert launcher.cancel(iter(jobs[:2])) == 1
    assert jobs[1].outcome.wait(5)
    assert not jobs[2].outcome.done
    comes(client.transport.queued[2], FINISHED)
    assert jobs[2].outcome.wait(5)
