"""What a zygote refuses, and how it is forked from a daemon to be; what it does is in test_zygote_link."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

PATCHED = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from gevent import monkey
monkey.patch_all()
"""


def run(code):
    return subprocess.run(
        [sys.executable, "-c", PATCHED + code, "an argument"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )


def test_Z6_zygote_with_a_second_thread_forks_nothing_and_says_so():
    done = run("""
import _socket, array, os
from greencoro.compute.zygote import Zygote
from greencoro.compute.zygote_words import Fork, read_fate, to_bytes
from greencoro.hub import native

daemon, control = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
reading, fate = os.pipe()
descriptors = array.array("i", [fate, os.open(os.devnull, os.O_RDWR), os.dup(2)])
daemon.sendmsg([to_bytes(Fork(1, 1))], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)])
daemon.close()
os.close(fate)
native.Thread(lambda: native.sleep(600), "of this test").start()
if Zygote(control.detach()).run() is not None:
    os._exit(1)
print(read_fate(os.read(reading, 65536)).reason, flush=True)
os._exit(0)
""")
    assert done.stdout.startswith("a process with 2 threads is not forked: ")


def test_Z6_process_with_a_second_thread_or_a_hub_forks_no_zygote_off_and_leaves_nothing_open():
    done = run("""
import os
import gevent
from greencoro.compute.zygote import fork_off
from greencoro.errors import LocalProtocolError
from greencoro.hub import native

def refusal():
    try:
        fork_off()
    except LocalProtocolError as error:
        return error

gevent.get_hub()
print(refusal())
native.forget_thread_hub()
native.Thread(lambda: native.sleep(600), "of this test").start()
before = os.listdir("/proc/self/fd")
print(refusal())
print(os.listdir("/proc/self/fd") == before, flush=True)
os._exit(0)
""")
    hub, thread, nothing_left = done.stdout.splitlines()
    assert hub == "a process with a hub is not forked"
    assert thread.startswith("a process with 2 threads is not forked: ")
    assert nothing_left == "True"


def test_Z6_zygote_that_was_forked_off_has_one_thread_a_session_and_nothing_of_the_daemon_open_but_its_streams():
    done = run("""
import _socket, os
import psutil
from greencoro.compute.launching import LaunchOrder
from greencoro.compute.zygote import fork_off
from greencoro.compute.zygote_link import ForkingLauncher
from tests.support.polling import poll_until

listening = _socket.socket()
file = open("/proc/self/status")
launcher = ForkingLauncher(fork_off())
zygote = psutil.Process(launcher.pid)
poll_until(lambda: zygote.name() == "greencoro-fork" and zygote.children(), 20)
files = {int(fd): os.readlink(f"/proc/{launcher.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{launcher.pid}/fd")}
assert {number: files.pop(number) for number in (0, 1, 2)} == {n: os.readlink(f"/proc/self/fd/{n}") for n in (0, 1, 2)}
assert not set(files.values()) & {os.readlink(f"/proc/self/fd/{each.fileno()}") for each in (listening, file)}
# To the daemon, and to its guard.
assert sorted(name.partition(":")[0] for name in files.values()) == ["pipe", "socket"], files
assert zygote.num_threads() == 1 and os.getsid(zygote.pid) == zygote.pid and zygote.ppid() == os.getpid()
launched = launcher.launch(LaunchOrder(1))
launched.channel.close()
launched_ended = os.read(launched.ended, 65536)
launcher.close()
assert not psutil.pid_exists(zygote.pid)
print("fine", flush=True)
os._exit(0)
""")
    assert done.stdout == "fine\n"


def test_jobs_do_not_see_the_arguments_of_the_daemon_from_which_their_server_was_forked_off():
    done = run("""
import os
from greencoro.compute import zygote
zygote._serve = lambda control: (print(len(sys.argv), flush=True), os._exit(0))
process, control = zygote.fork_off()
process.wait()
print(len(sys.argv), flush=True)
os._exit(0)
""")
    assert done.stdout.split() == ["1", "2"]
