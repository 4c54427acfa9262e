"""Waiting for another try: no wake-up is lost, and nobody is called twice."""

from greencoro.distributed.waiters import Waiters


def test_who_waits_for_what_came_meanwhile_has_it_and_is_not_called():
    waiters, called = Waiters(), []
    assert waiters.has_or_wait(lambda: True, lambda: called.append(1))
    outcomes = iter([False, True])
    assert waiters.has_or_wait(lambda: next(outcomes), lambda: called.append(2))
    waiters.wake()
    assert not called and not waiters


def test_one_that_was_taken_out_in_that_moment_was_called_and_has_it_all_the_same():
    waiters, called = Waiters(), []

    def attempt():
        waiters.wake()
        return bool(called)

    assert waiters.has_or_wait(attempt, lambda: called.append(1))
    assert called == [1] and not waiters


def test_who_does_not_wait_is_only_told():
    waiters = Waiters()
    assert not waiters.has_or_wait(lambda: False, None)
    assert not waiters


def test_everybody_who_waits_is_called_once_and_who_is_back_waits_for_the_next_time():
    waiters, woken = Waiters(), []

    def waits_again():
        woken.append("again")
        waiters.has_or_wait(lambda: False, waits_again)

    for waiter in (lambda: woken.append("one"), waits_again):
        assert not waiters.has_or_wait(lambda: False, waiter)
    waiters.wake()
    assert woken == ["one", "again"]
    assert waiters
    waiters.discard(waits_again)
    waiters.discard(waits_again)
    waiters.wake()
    assert woken == ["one", "again"] and not waiters
