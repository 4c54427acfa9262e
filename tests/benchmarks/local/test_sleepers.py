from benchmarks.local.sleepers import SLEEPERS, _plan


def test_few_sleeps_are_for_as_many_sleepers_and_many_for_all_of_them():
    assert (len(_plan(100)[0]), _plan(100)[1]) == (100, 1)
    assert (len(_plan(3 * SLEEPERS)[0]), _plan(3 * SLEEPERS)[1]) == (SLEEPERS, 3)


def test_each_sleeps_for_a_time_of_its_own_within_the_second():
    times, _ = _plan(SLEEPERS)
    assert len(set(times)) == SLEEPERS
    assert (min(times), max(times) < 1.5) == (0.5, True)
