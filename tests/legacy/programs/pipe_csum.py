"""Checksums by a program that reads from a pipe: of data, of a file, and of many at the same time.

Prints:

    data 5d41402abc4b2a76b9719d911017c592
    file 900150983cd24fb0d6963f7d28e17f72
    many 20 different
"""

import subprocess
import sys
import tempfile

import asyncoro
import asyncoro.asyncfile

PROGRAM = "import hashlib, sys; print(hashlib.md5(sys.stdin.buffer.read()).hexdigest())"


def start():
    return subprocess.Popen(
        [sys.executable, "-S", "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def csum(data, coro=None):
    pipe = asyncoro.asyncfile.AsyncPipe(start())
    stdout, stderr = yield pipe.communicate(input=data)
    raise StopIteration(stdout.decode().strip())


def csum_lines(lines, coro=None):
    popen = start()
    pipe = asyncoro.asyncfile.AsyncPipe(popen)
    for line in lines:
        yield pipe.write(line, full=True)
    pipe.stdin.close()
    result = yield pipe.readline()
    yield pipe.read_stderr()
    popen.wait()
    raise StopIteration(result.decode().strip())


coro = asyncoro.Coro(csum, b"hello")
print("data %s" % coro.value())
with tempfile.NamedTemporaryFile("w+") as file:
    file.write("abc")
    file.flush()
    file.seek(0)
    print("file %s" % asyncoro.Coro(csum, file).value())
coros = [asyncoro.Coro(csum_lines, [b"%d\n" % n] * 100) for n in range(20)]
print("many %d different" % len(set(coro.value() for coro in coros)))
