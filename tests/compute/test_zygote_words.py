import pytest

from greencoro.compute.zygote_words import Fork, Kill, NotStarted, Over, read_fate, read_order, to_bytes
from greencoro.errors import RemoteProtocolError


@pytest.mark.parametrize("order", [Fork(3, 1), Fork(3, 1, has_listener=True), Kill(3)])
def test_orders_arrive_as_they_were_sent(order):
    assert read_order(to_bytes(order)) == order


@pytest.mark.parametrize(
    "fate", [Over(-9, 1.5, 4096, (7, 8)), Over(255), Over(None, left=(7,)), NotStarted("no more processes")]
)
def test_fates_arrive_as_they_were_sent(fate):
    assert read_fate(to_bytes(fate)) == fate


def test_nothing_is_no_fate():
    assert read_fate(b"") is None


@pytest.mark.parametrize("data", [b"nonsense", b'{"word": "over", "returncode": "x"}', b'{"word": "over"}'])
def test_what_is_no_word_is_refused(data):
    with pytest.raises(RemoteProtocolError):
        read_fate(data)
