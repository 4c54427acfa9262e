"""What notebooks show."""

import pytest

from greencoro.compute.shown import sized, table


def test_S18_what_others_have_named_cannot_become_markup():
    html = table("<b>", [("<script>", "a & b</table>")])
    assert "<script>" not in html
    assert "<b>" not in html
    assert html.count("</table>") == 1
    assert "a &amp; b" in html


def test_it_is_bounded():
    html = table("t", [("n" * 10_000, "v" * 10_000)] * 1000)
    assert len(html) < 50 * 800
    assert "950 more" in html


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (20_000, "19.5 KiB"),
        (64 * 1024 * 1024, "64 MiB"),
        (20_000_000, "19.1 MiB"),
    ],
)
def test_sizes_are_in_a_unit_that_fits(size, text):
    assert sized(size) == text
