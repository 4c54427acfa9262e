"""What a client shows of what its jobs print."""

import io
import sys

import pytest

from greencoro.compute import output_display
from greencoro.compute.output_book import Batch, OutputLine
from greencoro.compute.output_display import OutputDisplay


@pytest.fixture
def posted(monkeypatch):
    posted = []
    monkeypatch.setattr(output_display.userhub, "post", posted.append)
    return posted


def batch(*texts, stream="stdout", left_out=0):
    return Batch(tuple(OutputLine(stream, "f/1", text) for text in texts), left_out)


def test_lines_go_to_the_stream_they_came_from(posted, capsys):
    display = OutputDisplay()
    display.take("host-1", batch("one", "two"))
    display.take("host-1", batch("err", stream="stderr", left_out=3))
    assert capsys.readouterr() == ("", "")  # that is for the hub, not for the reactor
    for show in posted:
        show()
    out, err = capsys.readouterr()
    assert out == "[host-1 f/1] one\n[host-1 f/1] two\n"
    assert err == "[host-1 f/1] err\n[host-1] … 3 lines left out\n"


def test_servers_that_tell_more_than_is_shown_fill_no_memory(posted, capsys):
    display = OutputDisplay()
    for _ in range(10_000):
        display.take("host-1", batch("line"))
    assert len(display._waiting) <= 128
    for show in posted:
        show()
    out, err = capsys.readouterr()
    assert out.count("line\n") == 64
    assert err == "[host-1] … 9936 lines left out\n"


def test_streams_that_cannot_show_it_end_nothing(posted, monkeypatch):
    class Narrow(io.StringIO):
        encoding = "ascii"

    closed = io.StringIO()
    closed.close()
    for stream, shown in ((None, None), (closed, None), (Narrow(), "[host-1 f/1] \\xe9\n")):
        monkeypatch.setattr(sys, "stdout", stream)
        OutputDisplay().take("host-1", batch("é"))
        posted.pop()()
        assert shown is None or stream.getvalue() == shown
