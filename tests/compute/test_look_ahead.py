"""How far an input is read ahead."""

import pytest

from greencoro.compute.look_ahead import check_window, look_ahead


def test_a_window_of_ones_own_is_kept_to():
    assert look_ahead(3, room=1000) == 3


def test_without_one_it_follows_what_the_servers_have_room_for():
    assert look_ahead(None, room=0) > 0
    assert look_ahead(None, room=128) > 128


@pytest.mark.parametrize(("window", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_what_is_no_window_is_refused(window, error):
    with pytest.raises(error, match="buffersize"):
        check_window(window, "buffersize")
