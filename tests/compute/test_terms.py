"""What a client may ask for, and what it may not."""

import pytest

from greencoro.compute.filters import NodeFilter
from greencoro.compute.terms import Terms, checked_terms

USUAL = {"timeout": 10, "pulse_interval": 20, "ping_interval": None, "zombie_period": 0, "node_filters": []}


def checked(**changed):
    return checked_terms(**{**USUAL, **changed}, shortest=10.0, longest=100.0)


def test_the_defaults_of_the_terms_are_those_of_the_manual():
    assert checked() == Terms()


def test_limits_themselves_are_allowed():
    terms = checked(pulse_interval=100, ping_interval=10, zombie_period=100, node_filters=[NodeFilter(cpus=2)])
    assert (terms.pulse_interval, terms.ping_interval, terms.zombie_period) == (100.0, 10.0, 100.0)
    assert terms.node_filters == (NodeFilter(cpus=2),)
    assert checked(pulse_interval=10).pulse_interval == 10.0


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("timeout", 0, "positive"),
        ("timeout", -1, "positive"),
        ("pulse_interval", 9.9, "MinPulseInterval, 10 s"),
        ("pulse_interval", 100.1, "MaxPulseInterval, 100 s"),
        ("pulse_interval", float("nan"), "number of seconds"),
        ("ping_interval", 9.9, "at least MinPulseInterval, 10 s"),
        ("ping_interval", 0, "at least MinPulseInterval, 10 s"),
        ("zombie_period", 99, "at least MaxPulseInterval, 100 s"),
        ("zombie_period", -1, "at least MaxPulseInterval, 100 s"),
        ("zombie_period", float("inf"), "number of seconds"),
    ],
)
def test_what_is_too_short_or_too_long_is_refused_with_its_limit(name, value, says):
    with pytest.raises(ValueError, match=f"{name}.*{says}"):
        checked(**{name: value})


@pytest.mark.parametrize("name", ["timeout", "pulse_interval", "ping_interval", "zombie_period"])
@pytest.mark.parametrize("value", ["10", True, [10]])
def test_what_is_no_number_is_refused(name, value):
    with pytest.raises(TypeError, match=name):
        checked(**{name: value})


@pytest.mark.parametrize("filters", [NodeFilter(), ["10.0.0.1"], 5])
def test_filters_are_a_list_of_filters(filters):
    with pytest.raises(TypeError, match="node_filters"):
        checked(node_filters=filters)
