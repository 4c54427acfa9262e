"""Datagrams: a server that counts the words of each, and its clients.

Prints:

    words ['1', '2', '3']
    timeout
    served 3
"""

import socket

import asyncoro


def server_proc(sock, count, coro=None):
    served = 0
    while served < count:
        data, address = yield sock.recvfrom(1024)
        yield sock.sendto(str(len(data.split())).encode(), address)
        served += 1
    raise StopIteration(served)


def client_proc(address, text, coro=None):
    sock = asyncoro.AsyncSocket(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sock.settimeout(5)
    yield sock.sendto(text.encode(), address)
    data, server = yield sock.recvfrom(1024)
    sock.close()
    raise StopIteration(data.decode())


def unheard(coro=None):
    sock = asyncoro.AsyncSocket(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(0.1)
    try:
        yield sock.recvfrom(1024)
    except socket.timeout:
        print("timeout")
    sock.close()


if __name__ == "__main__":
    sock = asyncoro.AsyncSocket(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sock.bind(("127.0.0.1", 0))
    serving = asyncoro.Coro(server_proc, sock, 3)
    clients = [asyncoro.Coro(client_proc, sock.getsockname(), text) for text in ("one", "one two", "one two three")]
    print("words %s" % [client.value() for client in clients])
    asyncoro.Coro(unheard).value()
    print("served %s" % serving.value())
    sock.close()
