"""Answers whoever sends it a message; run with nothing, ended by "quit"."""

import sys

import asyncoro.disasyncoro as asyncoro


def server_proc(coro=None):
    coro.set_daemon()
    coro.register("server_coro")
    while True:
        msg = yield coro.receive()
        msg["client"].send(msg["n"] * 2)


if __name__ == "__main__":
    asyncoro.Coro(server_proc)
    print("serving")
    sys.stdout.flush()
    while True:
        line = sys.stdin.readline()
        if not line or line.strip().lower() in ("quit", "exit"):
            break
