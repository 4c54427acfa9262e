"""Copies a file through a socket: its name and size as a message, then its content, then a checksum that comes back.

Prints:

    copied data.bin: 300000 bytes
    checksums agree
    cut off: b'' after 10
"""

import hashlib
import os
import pickle
import shutil
import socket
import tempfile

import asyncoro


def receiver(conn, directory, coro=None):
    msg = yield conn.recv_msg()
    name, size = pickle.loads(msg)
    checksum = hashlib.sha256()
    with open(os.path.join(directory, os.path.basename(name)), "wb") as fd:
        left = size
        while left > 0:
            data = yield conn.recvall(min(left, 65536))
            if not data:
                break
            checksum.update(data)
            fd.write(data)
            left -= len(data)
    yield conn.send_msg(checksum.hexdigest().encode())
    print("copied %s: %s bytes" % (name, os.path.getsize(fd.name)))
    conn.close()


def sender(conn, path, coro=None):
    yield conn.send_msg(pickle.dumps((os.path.basename(path), os.path.getsize(path))))
    checksum = hashlib.sha256()
    with open(path, "rb") as fd:
        while True:
            data = fd.read(50000)
            if not data:
                break
            checksum.update(data)
            yield conn.sendall(data)
    answer = yield conn.recv_msg()
    conn.close()
    raise StopIteration(answer.decode() == checksum.hexdigest())


def cut_off(near, far, coro=None):
    yield near.send(b"0123456789")
    near.close()
    first = yield far.recvall(10)
    second = yield far.recvall(10)
    print("cut off: %r after %d" % (bytes(second), len(first)))
    far.close()


if __name__ == "__main__":
    directory = tempfile.mkdtemp()
    path = os.path.join(directory, "data.bin")
    with open(path, "wb") as fd:
        fd.write(bytes(bytearray(range(250))) * 1200)
    target = os.path.join(directory, "copies")
    os.mkdir(target)
    near, far = [asyncoro.AsyncSocket(sock) for sock in socket.socketpair()]
    receiving = asyncoro.Coro(receiver, far, target)
    same = asyncoro.Coro(sender, near, path).value()
    receiving.value()
    print("checksums %s" % ("agree" if same else "differ"))
    near, far = [asyncoro.AsyncSocket(sock) for sock in socket.socketpair()]
    asyncoro.Coro(cut_off, near, far).value()
    shutil.rmtree(directory)
