"""Writes each line that it reads, with its number; cluster_pipes.py runs it at servers."""

import sys

for number, line in enumerate(sys.stdin, 1):
    print(number, line, end="", flush=True)
