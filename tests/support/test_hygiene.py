import socket
import subprocess
import sys
import threading

from tests.support.hygiene import end_children, leftovers, snapshot


def test_nothing_is_reported_where_nothing_was_left():
    assert leftovers(snapshot()) == []


def test_a_child_process_is_reported_and_ended():
    before = snapshot()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert [f"child process {child.pid}" in phrase for phrase in leftovers(before)] == [True]
        end_children(before)
        assert leftovers(before) == []
        child.stdin.close()


FAMILY = """
import subprocess, sys
input()
# By way of another one, as a daemon's servers are.
starter = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(flush=True); input()'])"
subprocess.run([sys.executable, "-c", starter])
"""


def test_what_a_child_that_was_there_before_starts_is_its_own():
    outside = snapshot()
    with subprocess.Popen([sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        before = snapshot()
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        assert len(snapshot().children - before.children) == 2
        assert leftovers(before) == []
        end_children(before)
        # Where the child itself is new, all of them are.
        assert len(leftovers(outside)) == 3
        child.stdin.close()
    assert leftovers(outside) == []


def test_a_listening_socket_is_reported_until_it_is_closed():
    before = snapshot()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert leftovers(before) == [f"open socket SOCK_STREAM 127.0.0.1:{listener.getsockname()[1]}"]
    assert leftovers(before) == []


def test_a_bound_datagram_socket_is_reported():
    before = snapshot()
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        assert leftovers(before) == [f"open socket SOCK_DGRAM 127.0.0.1:{udp.getsockname()[1]}"]


def test_a_thread_that_would_hold_up_the_exit_is_reported():
    before = snapshot()
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait, name="stuck")
    thread.start()
    assert leftovers(before) == ["non-daemon thread stuck"]
    go_on.set()
    thread.join()
    assert leftovers(before) == []
