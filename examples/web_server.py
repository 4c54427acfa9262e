"""A small web server: a coroutine for each connection, and one that counts the visits.

python examples/web_server.py [PORT]
"""

import socket
import sys

from greencoro import AsyncFile, AsyncSocket, Coro

ANSWER = "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\r\n{body}"


def counter(coro=None):
    visits = {}
    while True:
        request = coro.receive()
        visits[request.message] = visits.get(request.message, 0) + 1
        request.reply(visits[request.message])


def respond(connection, visits):
    with connection, AsyncFile(connection) as lines:
        while request := lines.readline(timeout=30):
            while lines.readline(timeout=30).strip():
                pass  # the header lines, up to an empty one
            method, path, _ = request.decode("latin-1").split(maxsplit=2)
            if method == "GET":
                status, body = "200 OK", f"visit {visits.call(path)} to {path}\n"
            else:
                status, body = "405 Method Not Allowed", "only GET\n"
            lines.write(ANSWER.format(status=status, length=len(body), body=body).encode(), full=True, timeout=30)


def server(listener):
    visits = Coro(counter)
    while True:
        connection, _ = listener.accept()
        Coro(respond, connection, visits).set_daemon()


listener = AsyncSocket(socket.create_server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8000)))
host, port = listener.getsockname()
print(f"serving at http://{host}:{port}", flush=True)
Coro(server, listener).finish()
