import subprocess
import sys
import time

import psutil
import pytest

from benchmarks.processes import adopting_orphans, run_to_its_end

# A child in a session of its own, whose parent goes on or ends: nothing of a process group reaches it.
DETACH = """import subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep({})"], start_new_session=True)
"""


def run(code, directory, timeout=20.0):
    with adopting_orphans():
        return run_to_its_end([sys.executable, "-c", code], directory, {}, timeout)


@pytest.fixture
def no_grace(monkeypatch):
    monkeypatch.setattr("benchmarks.processes.GRACE_SECONDS", 0.3)


def test_the_exit_code_and_what_was_written_to_stderr_are_told(tmp_path):
    ending = run("import sys; print('oh dear', file=sys.stderr); sys.exit(3)", tmp_path)
    assert (ending.code, ending.errors, ending.left) == (3, "oh dear\n", ())


@pytest.mark.usefixtures("no_grace")
def test_an_orphan_in_a_session_of_its_own_is_named_and_killed(tmp_path):
    ending = run(DETACH.format(1000), tmp_path)
    assert ending.code == 0
    assert ["time.sleep(1000)" in command for command in ending.left] == [True]
    assert not [each for each in psutil.process_iter(["cmdline"]) if "time.sleep(1000)" in str(each.info["cmdline"])]


def test_an_orphan_that_ends_within_the_grace_is_not_counted(tmp_path):
    assert run(DETACH.format(0.2), tmp_path).left == ()


def test_what_takes_too_long_is_killed_with_its_children(tmp_path):
    begin = time.monotonic()
    ending = run(DETACH.format(1001) + "import time; time.sleep(1001)", tmp_path, timeout=5)
    assert ending.code is None
    assert len(ending.left) == 1
    assert time.monotonic() - begin < 40


def test_children_that_were_there_before_are_left_alone(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as mine:
        assert run("pass", tmp_path).left == ()
        assert mine.poll() is None
        mine.stdin.close()


def test_nothing_is_left_when_the_wait_is_interrupted(tmp_path, monkeypatch):
    def interrupted(self, timeout=None):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("import time; time.sleep(1002)", tmp_path)
    assert not psutil.Process().children(recursive=True)
