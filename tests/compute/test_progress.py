"""The line that says how far the jobs have come."""

from greencoro.compute.progress import Progress


def test_line_counts_jobs_failures_and_speed():
    progress = Progress(every=1.0)
    for _ in range(4):
        progress.wanted(10.0)
    progress.over(failed=False)
    progress.over(failed=True)
    assert progress.line(12.0) == "2 of 4 jobs, 1 failed, 1.0 a second"


def test_line_is_due_once_in_its_interval_but_the_last_one_always():
    progress = Progress(every=1.0)
    progress.wanted(0.0)
    assert progress.line(0.0) == "0 of 1 jobs"
    progress.over(failed=False)
    assert progress.line(0.5) is None
    assert progress.last_line(0.5) == "1 of 1 jobs, 2.0 a second"
    assert progress.line(1.6) is not None


def test_cancelled_jobs_are_not_wanted_any_more():
    progress = Progress(every=1.0)
    for _ in range(3):
        progress.wanted(0.0)
    progress.cancelled()
    assert progress.last_line(0.0) == "0 of 2 jobs"
