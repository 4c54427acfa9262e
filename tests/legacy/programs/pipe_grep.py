"""Two programs, the output of one of which is the input of the other, and a coroutine that feeds them.

Prints:

    169 lines, the first of which is error 11
    status 0
    nothing else: b''
"""

import subprocess
import sys

import asyncoro
import asyncoro.asyncfile

GREP = "import sys\nfor line in sys.stdin:\n    if %r in line: sys.stdout.write(line)"


def grep(what, stdin):
    return subprocess.Popen([sys.executable, "-S", "-c", GREP % what], stdin=stdin, stdout=subprocess.PIPE)


def feed(pipe, coro=None):
    for i in range(2000):
        word = "error" if i % 8 == 3 else "fine"
        yield pipe.write(("%s %d\n" % (word, i)).encode(), full=True)
    pipe.stdin.close()


def reader(pipe, coro=None):
    lines = []
    while True:
        line = yield pipe.readline()
        if not line:
            break
        lines.append(line.decode().strip())
    rest = yield pipe.read()
    raise StopIteration(lines, rest)


first = grep("error", subprocess.PIPE)
last = grep("1", first.stdout)
first.stdout.close()
pipe = asyncoro.asyncfile.AsyncPipe(first, last)
asyncoro.Coro(feed, pipe)
lines, rest = asyncoro.Coro(reader, pipe).value()
print("%d lines, the first of which is %s" % (len(lines), lines[0]))
first.wait()
print("status %s" % last.wait())
print("nothing else: %r" % rest)
