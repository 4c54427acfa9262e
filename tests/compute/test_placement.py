import pytest

from greencoro.compute.placement import Candidate, lane_depth, least_loaded


def test_no_candidates_give_no_server():
    assert least_loaded([]) is None


def test_least_loaded_server_of_a_node_wins():
    assert least_loaded([Candidate("a", "n", 2), Candidate("b", "n", 1), Candidate("c", "n", 3)]) == "b"


def test_node_with_fewest_jobs_for_each_server_wins_over_a_less_loaded_server_elsewhere():
    busy = [Candidate("a", "n1", 0), Candidate("b", "n1", 8)]
    quiet = [Candidate("c", "n2", 2), Candidate("d", "n2", 1)]
    assert least_loaded([*busy, *quiet]) == "d"


def test_a_node_with_many_servers_is_not_loaded_by_as_many_jobs():
    big = [Candidate(f"b{i}", "big", 1) for i in range(4)]
    small = [Candidate("s", "small", 2)]
    assert least_loaded([*small, *big]) == "b0"


def test_first_of_equals_wins():
    assert least_loaded([Candidate("a", "n", 1), Candidate("b", "n", 1)]) == "a"


def test_jobs_of_unknown_length_go_one_by_one():
    assert lane_depth(None) == 1


def test_long_jobs_go_one_by_one():
    assert lane_depth(0.5) == 1


@pytest.mark.parametrize("seconds", [0.02, 0.005, 0.001])
def test_queued_work_covers_a_round_trip_and_stays_short(seconds):
    queued = (lane_depth(seconds) - 1) * seconds
    assert 0.01 <= queued <= 0.04


def test_depth_has_a_limit():
    assert lane_depth(0.0) == lane_depth(1e-9) == 64
