import pytest

from greencoro.cli.ports import expand_ports


@pytest.mark.parametrize(
    ("listed", "count", "ports"),
    [
        ([], 3, ()),
        (["51347"], 1, (51347,)),
        (["51347"], 8, tuple(range(51347, 51355))),
        (["2345-2347", "3799"], 8, (2345, 2346, 2347, 3799, 3800, 3801, 3802, 3803)),
        (["3799", "2345-2347"], 6, (3799, 2345, 2346, 2347, 3800, 3801)),
        (["2345-2399"], 2, (2345, 2346)),
        (["65535"], 1, (65535,)),
    ],
)
def test_listed_ports_come_first_then_those_beyond_the_highest(listed, count, ports):
    assert expand_ports(listed, count) == ports


@pytest.mark.parametrize(
    ("listed", "complaint"),
    [
        (["x"], "no port or range"),
        ([""], "no port or range"),
        (["0"], "no port or range"),
        (["65536"], "no port or range"),
        (["1-"], "no port or range"),
        (["-1"], "no port or range"),
        ([" 80"], "no port or range"),
        (["20-10"], "ends below its start"),
        (["10-12", "12"], "twice"),
        (["65535"], "not 2 ports"),
    ],
)
def test_what_is_no_list_of_ports_is_refused(listed, complaint):
    with pytest.raises(ValueError, match=complaint):
        expand_ports(listed, 2)
