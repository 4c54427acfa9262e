import sys
from types import SimpleNamespace

import pytest

from benchmarks import rpyc_setup


@pytest.fixture
def under_way(monkeypatch):
    """Calls whose results were not asked for yet, and the most there were of them; in place of rpyc's."""
    seen = SimpleNamespace(now=[], most=0)

    class Result:
        def __init__(self, number):
            self._number = number
            seen.now.append(self)
            seen.most = max(seen.most, len(seen.now))

        @property
        def value(self):
            assert seen.now.pop(0) is self  # the oldest
            return self._number

    def async_(function):
        return lambda number: Result(function(number))

    monkeypatch.setitem(sys.modules, "rpyc", SimpleNamespace(async_=async_))
    return seen


def test_no_more_calls_are_under_way_than_asked_for(under_way):
    results = list(rpyc_setup.call_ahead(lambda number: 2 * number, ((number,) for number in range(10)), 3))
    assert results == [2 * number for number in range(10)]
    assert under_way.most == 3
    assert under_way.now == []


def test_fewer_calls_than_may_be_under_way_all_come_to_a_result(under_way):
    assert list(rpyc_setup.call_ahead(lambda number: number, [(1,), (2,)], 100)) == [1, 2]
    assert under_way.now == []
