"""Reads words from standard input, and writes each of them backwards."""

import sys

while True:
    line = sys.stdin.readline()
    if not line:
        break
    sys.stdout.write(line.strip()[::-1] + "\n")
    sys.stdout.flush()
