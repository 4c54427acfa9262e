"""What was said already is not said again for a while."""

from greencoro.distributed.reports import Reports


def test_the_same_of_the_same_is_news_once_within_the_time():
    reports = Reports(60.0)
    assert reports.is_new("a", "wrong", 0.0)
    assert not reports.is_new("a", "wrong", 59.9)
    assert reports.is_new("a", "wrong", 60.0)
    assert not reports.is_new("a", "wrong", 119.0)


def test_another_cause_or_another_subject_is_news():
    reports = Reports(60.0)
    assert [reports.is_new(*report, 0.0) for report in (("a", "x"), ("a", "y"), ("b", "x"))] == [True] * 3


def test_after_all_went_well_it_is_news_again():
    reports = Reports(60.0)
    for subject in "ab":
        reports.is_new(subject, "x", 0.0)
    reports.forget("a")
    assert reports.is_new("a", "x", 1.0)
    assert not reports.is_new("b", "x", 1.0)


def test_who_invents_subjects_fills_no_memory():
    reports = Reports(60.0)
    for number in range(5000):
        assert reports.is_new(number, "x", 0.0)
    assert len(reports._made) == 1000
    assert not reports.is_new(4999, "x", 1.0)
