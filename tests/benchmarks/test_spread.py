import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.spread import percentile, spread

FIGURES = st.lists(st.floats(0, 1e9), min_size=1, max_size=50)


def test_the_spread_has_the_quartiles_of_the_figures_in_any_order():
    each = spread([5, 1, 4, 2, 3])
    assert (each.lowest, each.lower_quartile, each.median, each.upper_quartile, each.highest) == (1, 2, 3, 4, 5)
    assert each.rounds == 5


def test_a_single_figure_is_all_five_numbers():
    each = spread([7.0])
    assert {each.lowest, each.lower_quartile, each.median, each.upper_quartile, each.highest} == {7.0}


def test_no_figures_have_neither_spread_nor_percentile():
    with pytest.raises(ValueError, match="no figures"):
        spread([])
    with pytest.raises(ValueError, match="no figures"):
        percentile([], 50)


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (1, 1), (50, 50), (99, 99), (99.5, 100), (100, 100)])
def test_a_percentile_is_one_of_the_figures_by_nearest_rank(percent, expected):
    assert percentile(list(range(100, 0, -1)), percent) == expected


@settings(deadline=None)
@given(FIGURES, st.floats(0, 100))
def test_a_percentile_lies_between_the_ends_and_is_not_exceeded_by_so_many(figures, percent):
    found = percentile(figures, percent)
    assert found in figures
    assert sum(figure <= found for figure in figures) >= len(figures) * percent / 100 - 1e-9


@settings(deadline=None)
@given(FIGURES)
def test_the_numbers_of_a_spread_are_in_order(figures):
    each = spread(figures)
    numbers = [each.lowest, each.lower_quartile, each.median, each.upper_quartile, each.highest]
    assert all(a <= b * (1 + 1e-9) for a, b in itertools.pairwise(numbers))
