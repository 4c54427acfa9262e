"""What a runtime tells of itself, in one byte."""

import pytest

from greencoro.distributed.presence import NOTHING_SPECIAL, ROLES, Presence

EVERY = [Presence(role, only) for role in ROLES for only in (False, True)]


@pytest.mark.parametrize("presence", EVERY, ids=str)
def test_a_presence_is_read_as_it_was_written_and_has_a_byte_of_its_own(presence):
    assert Presence.decode(presence.encode()) == presence
    assert [each.encode() for each in EVERY].count(presence.encode()) == 1


def test_the_numbers_on_the_wire_stay_as_they_are():
    assert [Presence(role).encode() for role in ("", "node", "server", "scheduler")] == [0, 1, 2, 3]
    assert Presence("node", schedulers_only=True).encode() == 0x81
    assert NOTHING_SPECIAL.encode() == 0


def test_no_other_number_is_a_presence():
    known = {each.encode() for each in EVERY}
    for number in set(range(1 << 16)) - known:
        with pytest.raises(ValueError, match="stands for no role"):
            Presence.decode(number)


@pytest.mark.parametrize("role", ["Node", "nodes", None, 1])
def test_a_role_that_is_none_is_refused(role):
    with pytest.raises(ValueError, match="role is one of '', 'node', 'server', 'scheduler', not"):
        Presence(role)
