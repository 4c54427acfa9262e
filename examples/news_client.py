"""Subscribes two coroutines to the channel of news_server.py, and sends through it.

python examples/news_client.py [HOST:PORT]
"""

import sys

from greencoro import Channel, Coro, Runtime


def reader(news, coro=None):
    news.subscribe(coro, timeout=10)
    # Where the server is lost nothing comes any more.
    return [coro.receive(timeout=20), coro.receive(timeout=20)]


def client(news):
    readers = [Coro(reader, news) for _ in range(2)]
    # deliver() with n waits until there are so many subscribers, and says how many got the message.
    print("delivered to", news.deliver("the channel is open", timeout=10, n=2))
    news.send("this line is longer than it may be")
    for each in readers:
        print(each.finish())


location = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:51348"
Runtime(node="127.0.0.1", peers=[location])
news = Channel.locate("news", timeout=10)
if news is None:
    sys.exit(f"no channel 'news' at {location}; does news_server.py run?")
Coro(client, news).finish()
