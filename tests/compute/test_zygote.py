"""What a zygote refuses; what it does is in test_zygote_link."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_Z6_zygote_with_a_second_thread_forks_nothing_and_says_so():
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from gevent import monkey
monkey.patch_all()
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
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("a process with 2 threads is not forked: ")
