"""Finds files_server.py by its place, sends it files and deletes them again.

Prints:

    online: files
    peers True
    sent 0: first
    once more 1
    another of that name is there, of 5 bytes
    overwritten 0: second
    deleted 0: None
    nothing there -1
    no such file -1
    out of its directory -1
    offline: files
"""

import os
import shutil
import sys
import tempfile

import asyncoro.disasyncoro as asyncoro


def peer_status(client, coro=None):
    coro.set_daemon()
    while True:
        msg = yield coro.receive()
        if isinstance(msg, asyncoro.PeerStatus):
            status = "online" if msg.status == asyncoro.PeerStatus.Online else "offline"
            print("%s: %s" % (status, msg.name))
            client.send(msg.location)


def client_proc(port, directory, coro=None):
    scheduler = asyncoro.AsynCoro()
    scheduler.peer_status(asyncoro.Coro(peer_status, coro))
    server = asyncoro.Location("127.0.0.1", port)
    if (yield scheduler.peer(server)) != 0:
        raise Exception("no peer at %s" % server)
    location = yield coro.receive()
    print("peers %s" % (location == server and scheduler.peers() == [server]))
    reader = yield asyncoro.Coro.locate("reader", server, timeout=5)

    def content(name):
        reader.send((coro, name))
        yield coro.receive()

    path = os.path.join(directory, "notes.txt")
    with open(path, "w") as fd:
        fd.write("first")
    stored = os.path.join("incoming", "notes.txt")
    status = yield scheduler.send_file(server, path, dir="incoming")
    print("sent %s: %s" % (status, (yield content(stored))))
    status = yield scheduler.send_file(server, path, dir="incoming", timeout=5)
    print("once more %s" % status)
    with open(path, "w") as fd:
        fd.write("second")
    os.utime(path, (1, 1))
    status = yield scheduler.send_file(server, path, dir="incoming")
    print("another of that name is there, of %s bytes" % status.st_size)
    status = yield scheduler.send_file(server, path, dir="incoming", overwrite=True)
    print("overwritten %s: %s" % (status, (yield content(stored))))
    status = yield scheduler.del_file(server, path, dir="incoming", timeout=5)
    print("deleted %s: %s" % (status, (yield content(stored))))
    status = yield scheduler.del_file(server, path, dir="incoming", timeout=5)
    print("nothing there %s" % status)
    status = yield scheduler.send_file(server, path + ".old")
    print("no such file %s" % status)
    status = yield scheduler.send_file(server, path, dir="../..")
    print("out of its directory %s" % status)
    yield scheduler.close_peer(server)
    yield coro.receive()


if __name__ == "__main__":
    directory = tempfile.mkdtemp()
    asyncoro.logger.setLevel(asyncoro.logger.CRITICAL)
    asyncoro.AsynCoro(node="127.0.0.1", discover_peers=False)
    asyncoro.Coro(client_proc, int(sys.argv[1]), directory).value()
    shutil.rmtree(directory)
