"""Subscribes two coroutines to the channel of news_server.py, and sends through it.

python examples/news_client.py [HOST:PORT]
"""

import sys

from greencoro import Channel, Coro, Runtime


def reader(news, coro=None):
    news.subscribe(coro, timeout=10)
    return [coro.receive(), coro.receive()]


def client():
    news = Channel.locate("news", timeout=10)
    readers = [Coro(reader, news) for _ in range(2)]
    # deliver() with n waits until there are so many subscribers, and says how many got the message.
    print("delivered to", news.deliver("the channel is open", timeout=10, n=2))
    news.send("this line is longer than it may be")
    for each in readers:
        print(each.finish())


location = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:51348"
Runtime(node="127.0.0.1", peers=[location])
Coro(client).finish()
