"""A client of chat_chan_server.py, which it finds by the name of its coroutine; the end of input ends it."""

import sys

import asyncoro.disasyncoro as asyncoro


def show(text):
    print(text)
    sys.stdout.flush()


def recv_proc(coro=None):
    coro.set_daemon()
    own = coro.location
    while True:
        msg = yield coro.receive()
        if isinstance(msg, tuple):
            sender, msg = msg
            if sender == own:
                continue
        show(msg)


def send_proc(name, recv, pool, coro=None):
    server = yield asyncoro.Coro.locate("chat_server")
    channel = yield asyncoro.Channel.locate("chat_channel", server.location)
    yield channel.subscribe(recv)
    server.send(("join", recv, name))
    while True:
        try:
            line = yield pool.async_task(input)
            line = line.strip()
            if line.lower() in ("quit", "exit"):
                break
        except EOFError:
            break
        if line:
            channel.send((recv.location, "%s: %s" % (name, line)))
    yield channel.unsubscribe(recv)
    server.send(("leave", recv, name))


if __name__ == "__main__":
    asyncoro.AsynCoro(node="127.0.0.1", udp_port=int(sys.argv[1]))
    recv = asyncoro.Coro(recv_proc)
    asyncoro.Coro(send_proc, sys.argv[2], recv, asyncoro.AsyncThreadPool(1)).value()
