"""Three programs in a row, each reading what the one before writes; the lines come one by one."""

import subprocess

from greencoro import AsyncPipe, Coro, Popen

TEXT = b"".join(b"line %d is %s\n" % (n, b"odd" if n % 2 else b"even") for n in range(10))


def feed(pipe):
    pipe.write(TEXT, full=True)
    pipe.stdin.close()


def lines():
    first = Popen(["grep", "odd"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    second = Popen(["tr", "a-z", "A-Z"], stdin=first.stdout, stdout=subprocess.PIPE)
    first.stdout.close()  # the second program has it
    with AsyncPipe(first, second) as pipe:
        Coro(feed, pipe)
        for line in pipe:
            print(line.decode().rstrip())


Coro(lines).finish()
