"""A chat by a channel, to which each client subscribes; run with a UDP port, ended by "quit"."""

import sys

import asyncoro.disasyncoro as asyncoro


def server_proc(coro=None):
    coro.set_daemon()
    channel = asyncoro.Channel("chat_channel")
    channel.register()
    coro.register("chat_server")
    names = {}
    print("serving")
    sys.stdout.flush()
    while True:
        cmd, who, name = yield coro.receive()
        if cmd == "join":
            names[who] = name
            # only now does it know that it is one of them
            who.send("%s joined" % name)
            for other in names:
                if other != who:
                    other.send("%s joined" % name)
        elif cmd == "leave":
            names.pop(who, None)
            channel.send((None, "%s left" % name))


if __name__ == "__main__":
    asyncoro.MaxConnectionErrors = 3
    scheduler = asyncoro.AsynCoro(node="127.0.0.1", udp_port=int(sys.argv[1]), name="chat")
    asyncoro.Coro(server_proc)
    for line in sys.stdin:
        if line.strip().lower() in ("quit", "exit"):
            break
