import gc
import weakref
from types import SimpleNamespace

import pytest

from greencoro.compute.job import Outcome
from greencoro.compute.server_pool import Server
from greencoro.compute.submission import Submission
from greencoro.distributed.location import Location
from greencoro.errors import BusyResource, ComputationClosed, MonitorException, PeerLost, ServerDied
from greencoro.hub.completion import Completion
from tests.compute.client_stand_ins import watch
from tests.support.polling import poll_until

LOST = MonitorException(None, "lost", None, PeerLost("connection reset"))
FINISHED = MonitorException(None, "finished", 42)
AT = Location("1.2.3.4", 5)
SERVER = Server("ab" * 16, "cd" * 16, "1.2.3.4", AT, "server", "token")
JOB = SimpleNamespace(name="job")


class FakeRuntime:
    def __init__(self, reachable=True):
        self.reachable = reachable
        self.outcome = watch(7)

    def open_watch(self, peer):
        if not self.reachable:
            raise PeerLost("gone")
        return self.outcome


@pytest.fixture
def over():
    return []


@pytest.fixture
def runtime():
    return FakeRuntime()


@pytest.fixture
def submission(runtime, over):
    # The user hub, which takes notices, starts with the first coroutine.
    from greencoro import Coro

    Coro(lambda: None).value(5)
    return Submission(runtime, SERVER, JOB, over.append)


def test_notice_becomes_the_outcome(runtime, submission, over):
    runtime.outcome.set(FINISHED)
    assert submission.outcome.wait(5)
    assert submission.notice().value == 42
    poll_until(lambda: over == [submission])


def test_submission_that_is_over_is_gone_with_its_last_reference(runtime, submission):
    """Whoever is told of its end keeps it: a job keeps its attempts, a launcher its jobs."""

    told = Completion()

    class Keeper:
        def over(self, submission):
            told.set()

    keeper = Keeper()
    keeper.submission = Submission(runtime, SERVER, JOB, keeper.over)
    runtime.outcome.set(FINISHED)
    assert told.wait(5)
    gone = weakref.ref(keeper)
    gc.disable()
    try:
        del keeper
        poll_until(lambda: gone() is None, 5)
    finally:
        gc.enable()


def test_loss_waits_for_its_explanation(runtime, submission, over):
    runtime.outcome.set(LOST)
    assert not submission.outcome.wait(0.05)
    submission.server_gone("was killed by SIGSEGV")
    notice = submission.notice()
    assert notice.kind == "lost"
    assert isinstance(notice.error, ServerDied)
    assert str(notice.error) == "the server process that ran job (1.2.3.4:5) was killed by SIGSEGV"
    assert over == [submission]


def test_explanation_before_the_loss_is_enough(submission):
    submission.server_gone("was killed")
    assert isinstance(submission.notice().error, ServerDied)


def test_result_that_came_before_the_death_stands(runtime, submission, over):
    runtime.outcome.set(FINISHED)
    submission.server_gone("was killed")
    assert submission.outcome.wait(5)
    assert submission.notice().value == 42
    poll_until(lambda: over == [submission])


def test_there_is_one_outcome(runtime, submission, over):
    submission.computation_closed()
    submission.server_gone("was killed")
    runtime.outcome.set(FINISHED)
    assert not Completion().wait(0.05)
    assert isinstance(submission.notice().error, ComputationClosed)
    assert over == [submission]


def test_server_lost_before_the_job_was_sent_is_explained_too(over):
    submission = Submission(FakeRuntime(reachable=False), SERVER, JOB, over.append)
    submission.server_gone("was killed")
    assert isinstance(submission.notice().error, ServerDied)


def test_server_that_takes_no_more_jobs_says_so(runtime, over):
    def refuse(peer):
        raise BusyResource("too many")

    runtime.open_watch = refuse
    with pytest.raises(BusyResource):
        Submission(runtime, SERVER, JOB, over.append)


@pytest.mark.parametrize(
    ("kind", "outcome", "ran"),
    [
        ("finished", Outcome.VALUE, True),
        ("exception", Outcome.EXCEPTION, True),
        ("terminated", Outcome.TERMINATED, False),
    ],
)
def test_what_a_job_came_to_is_known_without_decoding(runtime, submission, kind, outcome, ran):
    runtime.outcome.set(SimpleNamespace(kind=kind))
    assert submission.outcome.wait(5)
    assert submission.ended() is outcome
    assert outcome.ran_to_its_end is ran


def test_job_of_a_lost_server_is_lost(submission):
    submission.server_gone("was killed")
    assert submission.ended() is Outcome.LOST
    assert not submission.ended().ran_to_its_end


def test_reason_of_the_end_of_a_computation_is_passed_on(submission):
    submission.computation_closed("the scheduler was lost")
    assert str(submission.notice().error) == "the computation was closed before job was over: the scheduler was lost"
