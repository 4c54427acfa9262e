import pytest

from tests.support.polling import poll_until


def test_it_returns_the_first_true_value():
    values = iter([0, None, 7, 8])
    assert poll_until(lambda: next(values), interval=0) == 7


def test_it_says_what_was_not_reached_and_the_last_value():
    with pytest.raises(AssertionError, match=r"not within 0 s: three peers \(last: \[\]\)"):
        poll_until(list, seconds=0, what="three peers")
