"""What a job comes to, whatever becomes of its attempts, in whatever order that is heard."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from greencoro.compute.job_state import JobPhase, JobState, Next
from greencoro.errors import LocalProtocolError


def sent(state):
    number = state.sent()
    assert number is not None
    return number


def test_J1_what_comes_of_the_one_attempt_is_the_outcome():
    job = JobState()
    number = sent(job)
    assert job.over(number) is Next.FINISH
    assert job.phase is JobPhase.OVER
    assert job.over(number) is job.server_lost(number) is job.handed_back(number) is job.cancel() is Next.NOTHING


def test_J2_job_without_retries_is_not_sent_again():
    job = JobState()
    assert job.server_lost(sent(job)) is Next.FINISH
    assert job.sent() is None


def test_J2_job_with_retries_is_sent_so_many_times_more():
    job = JobState(retries=2)
    assert job.server_lost(sent(job)) is Next.AGAIN
    assert job.server_lost(sent(job)) is Next.AGAIN
    assert job.server_lost(sent(job)) is Next.FINISH
    assert (job.attempt, job.lost) == (3, 3)


def test_J2_there_is_no_second_attempt_beside_the_first():
    job = JobState(retries=5)
    sent(job)
    with pytest.raises(LocalProtocolError, match="attempt 1 is under way"):
        job.sent()
    assert job.attempt == 1


def test_J1_news_of_an_earlier_attempt_change_nothing():
    job = JobState(retries=1)
    first = sent(job)
    job.server_lost(first)
    second = sent(job)
    assert job.over(first) is job.server_lost(first) is job.handed_back(first) is Next.NOTHING
    assert job.over(second) is Next.FINISH


def test_job_that_was_handed_back_is_sent_again_without_counting():
    job = JobState()
    for _ in range(3):
        assert job.handed_back(sent(job)) is Next.AGAIN
    assert job.server_lost(sent(job)) is Next.FINISH


def test_cancelled_job_is_withdrawn_and_what_comes_of_it_is_its_outcome():
    job = JobState(retries=3)
    number = sent(job)
    assert job.cancel() is Next.WITHDRAW
    assert job.cancel() is Next.WITHDRAW
    assert job.over(number) is Next.FINISH


def test_cancelled_job_is_not_sent_again():
    lost, handed_back, waiting = JobState(retries=3), JobState(retries=3), JobState(retries=3)
    for job in (lost, handed_back):
        sent(job)
        job.cancel()
    assert lost.server_lost(1) is Next.FINISH
    assert handed_back.handed_back(1) is Next.TERMINATE
    waiting.server_lost(sent(waiting))
    assert waiting.cancel() is Next.TERMINATE
    assert lost.sent() is handed_back.sent() is waiting.sent() is None


def test_job_without_a_server_is_given_up_once():
    job = JobState(retries=1)
    number = sent(job)
    assert not job.give_up()
    job.server_lost(number)
    assert job.give_up()
    assert not job.give_up()
    assert job.sent() is None


class Histories(RuleBasedStateMachine):
    """J1, J2: every order of attempts, losses, hand-backs, cancels and the end of the computation."""

    @initialize(retries=st.integers(0, 3))
    def begin(self, retries):
        self.retries = retries
        self.job = JobState(retries)
        self.numbers = []
        self.outcomes = 0
        self.losses = 0
        self.cancelled = False

    def heard(self, what, number):
        current = bool(self.numbers) and number == self.numbers[-1]
        if what in (Next.FINISH, Next.TERMINATE):
            self.outcomes += 1
        if what is not Next.NOTHING:
            assert current
        return what

    @rule()
    def send(self):
        if self.job.phase is JobPhase.SENT:
            with pytest.raises(LocalProtocolError):
                self.job.sent()
            return
        number = self.job.sent()
        assert (number is None) == bool(self.outcomes)
        if number is not None:
            assert not self.cancelled
            self.numbers.append(number)

    @precondition(lambda self: self.numbers)
    @rule(data=st.data())
    def over(self, data):
        number = data.draw(st.sampled_from(self.numbers))
        assert self.heard(self.job.over(number), number) in (Next.NOTHING, Next.FINISH)

    @precondition(lambda self: self.numbers)
    @rule(data=st.data())
    def lose(self, data):
        number = data.draw(st.sampled_from(self.numbers))
        what = self.heard(self.job.server_lost(number), number)
        if what is not Next.NOTHING:
            self.losses += 1
            assert (what is Next.AGAIN) == (self.losses <= self.retries and not self.cancelled)

    @precondition(lambda self: self.numbers)
    @rule(data=st.data())
    def hand_back(self, data):
        number = data.draw(st.sampled_from(self.numbers))
        what = self.heard(self.job.handed_back(number), number)
        assert what is Next.NOTHING or (what is Next.AGAIN) == (not self.cancelled)

    @rule()
    def cancel(self):
        phase, what = self.job.phase, self.job.cancel()
        if phase is JobPhase.WAITING:
            assert what is Next.TERMINATE
            self.outcomes += 1
        else:
            assert what is (Next.WITHDRAW if phase is JobPhase.SENT else Next.NOTHING)
        self.cancelled = self.cancelled or phase is not JobPhase.OVER

    @rule()
    def give_up(self):
        self.outcomes += self.job.give_up()

    @invariant()
    def there_is_one_outcome_at_most(self):
        if hasattr(self, "job"):
            assert self.outcomes == (self.job.phase is JobPhase.OVER)

    @invariant()
    def no_more_attempts_than_allowed_began(self):
        if hasattr(self, "job"):
            assert self.losses <= self.retries + 1
            assert self.numbers == list(range(1, len(self.numbers) + 1))


Histories.TestCase.settings = settings(max_examples=200, stateful_step_count=25, deadline=None)
TestHistories = Histories.TestCase
