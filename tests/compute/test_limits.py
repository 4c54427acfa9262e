import pytest

from greencoro.compute.limits import Limits
from greencoro.errors import ConfigError


@pytest.mark.parametrize("name", ["address_space_bytes", "cpu_seconds", "processes", "file_bytes"])
def test_Z4_a_limit_is_positive_where_there_is_one(name):
    for value in (0, -1):
        with pytest.raises(ConfigError, match=f"the limit {name} is {value}"):
            Limits(**{name: value})
    assert getattr(Limits(**{name: 1}), name) == 1
    assert getattr(Limits(), name) is None
