"""What notebooks show."""

from greencoro.compute.shown import table


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
