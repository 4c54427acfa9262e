"""Feed data to a program and read its output, while another coroutine goes on."""

import hashlib
import subprocess

from greencoro import AsyncPipe, Coro, Popen, sleep


def checksum(data):
    program = Popen(["sha256sum"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    output, _ = AsyncPipe(program).communicate(data)
    return output.split()[0].decode()


def clock():
    while True:
        sleep(0.001)
        ticks.append(1)


ticks = []
Coro(clock).set_daemon()
data = b"all work and no play makes Jack a dull boy\n" * 200_000
found = Coro(checksum, data).finish()
print("sha256sum agrees with hashlib:", found == hashlib.sha256(data).hexdigest())
print("the clock ticked meanwhile:", len(ticks) > 0)
