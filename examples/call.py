"""A server that answers calls, and clients in coroutines, in the main thread and in another thread."""

import threading

from greencoro import Coro, DeadlineExceeded


def server(coro=None):
    stock = {"apples": 3, "pears": 1}
    while True:
        request = coro.receive()
        if request.message in stock:
            request.reply(stock[request.message])
        elif request.message != "silence":
            request.fail(KeyError(request.message))


def client(store, fruit):
    print(fruit, store.call(fruit, timeout=5))


store = Coro(server)
store.set_daemon()
Coro(client, store, "apples").finish()
thread = threading.Thread(target=client, args=(store, "pears"))
thread.start()
thread.join()
try:
    store.call("plums")
except KeyError as error:
    print("there are no", error)
try:
    store.call("silence", timeout=0.1)
except DeadlineExceeded:
    print("no answer in time")
