"""Limits in words."""

import pytest

from greencoro.compute.limits import Limits
from greencoro.errors import ConfigError


def test_limits_in_words():
    assert Limits.parse(["as=4GiB", "cpu=60", "nproc=64", "fsize=1GiB"]) == Limits(2**32, 60, 64, 2**30)
    assert Limits.parse([]) == Limits()


@pytest.mark.parametrize(
    ("text", "size"),
    [("5", 5), ("5k", 5 * 2**10), ("5K", 5 * 2**10), ("5MB", 5 * 2**20), ("5MiB", 5 * 2**20), ("5t", 5 * 2**40)],
)
def test_sizes_in_words(text, size):
    assert Limits.parse([f"fsize={text}"]).file_bytes == size


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["memory=1G"], "limit 'memory=1G': is none of as=N, cpu=N, nproc=N, fsize=N"),
        (["as"], "takes a number of bytes"),
        (["as=1.5G"], "takes a number of bytes"),
        (["as=-1"], "takes a number of bytes"),
        (["as=4 GiB"], "takes a number of bytes"),
        (["fsize=4iB"], "takes a number of bytes"),
        (["cpu=60s"], "takes a whole number"),
        (["cpu=1k"], "takes a whole number"),
        (["cpu=\u0665"], "takes a whole number"),
        (["cpu="], "takes a whole number"),
        (["cpu=" + "9" * 5000], "takes a whole number"),
        (["as=" + "9" * 5000], "takes a number of bytes"),
        (["cpu=0"], "is out of range"),
        (["fsize=0"], "is out of range"),
        (["fsize=9999999999T"], "is out of range"),
        (["cpu=1", "cpu=2"], "cpu was given before"),
        (["as=511M"], "a server needs"),
    ],
)
def test_what_is_no_limit_is_refused(texts, says):
    with pytest.raises(ConfigError) as caught:
        Limits.parse(texts)
    assert says in str(caught.value)


def test_limits_are_checked_however_they_are_made():
    with pytest.raises(ConfigError, match="limit cpu=-1: is out of range"):
        Limits(cpu_seconds=-1)


def test_limits_can_be_handed_on_as_texts():
    limits = Limits.parse(["fsize=1M", "cpu=7"])
    assert Limits.parse(limits.to_texts()) == limits
    assert Limits().to_texts() == []
