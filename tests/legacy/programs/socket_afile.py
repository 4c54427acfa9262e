"""Files over sockets: lines that are read from a connection as from a file.

Prints:

    client read 300 lines, the last of which is line 300
    server read 5000 bytes, then 'rest\\n', then ''
    a line that never ends: timedout
"""

import socket

import asyncoro
import asyncoro.asyncfile


def server_proc(conn, coro=None):
    afile = asyncoro.asyncfile.AsyncFile(asyncoro.AsyncSocket(conn))
    for i in range(1, 301):
        yield afile.write(("line %d\n" % i).encode(), full=True)
    yield afile.write(b"end\n", full=True)
    data = yield afile.read(5000, full=True)
    line = yield afile.readline()
    end = yield afile.read(10)
    afile.close()
    raise StopIteration("server read %s bytes, then %r, then %r" % (len(data), line.decode(), end.decode()))


def client_proc(address, coro=None):
    sock = asyncoro.AsyncSocket(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    yield sock.connect(address)
    afile = asyncoro.asyncfile.AsyncFile(sock)
    count, last = 0, None
    while True:
        line = yield afile.readline()
        if line == b"end\n":
            break
        count += 1
        last = line
    print("client read %s lines, the last of which is %s" % (count, last.decode().strip()))
    yield afile.write(b"x" * 5000 + b"rest\n", full=True)
    afile.close()


def impatient(coro=None):
    near, far = socket.socketpair()
    afile = asyncoro.asyncfile.AsyncFile(near)
    try:
        yield afile.readline(timeout=0.05)
    except IOError as exc:
        print("a line that never ends: %s" % exc.args[0])
    afile.close()
    far.close()


if __name__ == "__main__":
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.bind(("127.0.0.1", 0))
    sock.listen(1)
    client = asyncoro.Coro(client_proc, sock.getsockname())
    # blocks this thread while the client connects
    conn, addr = sock.accept()
    serving = asyncoro.Coro(server_proc, conn)
    client.value()
    print(serving.value())
    sock.close()
    asyncoro.Coro(impatient).value()
