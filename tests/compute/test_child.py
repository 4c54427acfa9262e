import os
import subprocess
import sys
import threading

import pytest

import greencoro
from greencoro.compute.child import UNKNOWN_EXIT, Channel, ChildProcess, child_environment, settings_as_json, spawn
from greencoro.config import Settings

ECHO = """
import sys
from greencoro.compute.child import Channel

channel = Channel.from_standard_input()
rest = sys.stdin.read()
while (message := channel.receive()) is not None:
    channel.send({"got": message, "stdin": rest, "argv": sys.argv[1:]})
"""


@pytest.fixture
def echo(tmp_path, monkeypatch):
    """A child that sends back what it is sent, and the channel to it."""
    (tmp_path / "echo_child.py").write_text(ECHO)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return spawn(["echo_child", "argument"], child_environment())


def test_lines_go_both_ways_and_standard_input_is_empty_for_others(echo):
    process, channel = echo
    for n in range(3):
        assert channel.send({"n": n})
        assert channel.receive() == {"got": {"n": n}, "stdin": "", "argv": ["argument"]}
    channel.close()
    assert process.wait() == 0


def test_child_has_a_session_of_its_own(echo):
    process, channel = echo
    channel.send({})
    channel.receive()
    assert os.getsid(process.pid) == process.pid
    channel.close()
    process.wait()


def test_exit_code_stays_known(echo):
    process, channel = echo
    assert process.poll() is None
    process.kill()
    assert process.wait() == -9
    process.kill()
    assert process.poll() == process.wait() == -9
    channel.close()


def test_modules_in_the_working_directory_are_not_imported(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    process, channel = spawn(["greencoro", "node", "--handshake"], child_environment())
    channel.close()
    assert process.wait() == 0


def test_end_of_the_other_side_is_seen(echo):
    process, channel = echo
    process.kill()
    process.wait()
    assert channel.receive() is None
    assert not channel.send({"late": True})
    channel.close()
    assert not channel.send({"later": True})


def test_long_lines_of_several_threads_stay_whole(echo):
    process, channel = echo
    text = "x" * 50_000
    threads = [threading.Thread(target=channel.send, args=[{"text": text}]) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert [channel.receive()["got"]["text"] == text for _ in range(5)] == [True] * 5
    for thread in threads:
        thread.join()
    channel.close()
    process.wait()


def test_lines_are_taken_after_a_single_read():
    ours, theirs = os.pipe()
    channel = Channel(ours)
    os.write(theirs, b'{"a": 1}\n{"b": 2}\n{"c"')
    assert channel.fill()
    assert channel.lines() == [{"a": 1}, {"b": 2}]
    os.write(theirs, b": 3}\n")
    assert channel.fill()
    assert channel.lines() == [{"c": 3}]
    os.close(theirs)
    assert not channel.fill()
    channel.close()


def test_exit_that_somebody_else_waited_for_is_not_known():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert ChildProcess(process.pid).wait() == UNKNOWN_EXIT


def test_child_finds_the_same_greencoro(tmp_path):
    code = "import greencoro; print(greencoro.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=child_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == os.path.abspath(greencoro.__file__)


def test_settings_survive_the_way_to_a_child(tmp_path):
    settings = Settings(tick_seconds=0.5, secret_file=tmp_path)
    assert Settings(**settings_as_json(settings)) == settings
