"""A channel with subscribers, with a transform, and one that passes on to another.

Prints:

    delivered to 3
    nobody hears 0
    ada ['one', 'two', 'with eve', 'for all']
    bob ['one', 'two', 'with eve', 'for all']
    eve ['with eve', 'for all']
    odd numbers [1, 3, 5]
    bob left: 1
    located numbers
"""

import asyncoro


def reader(channel, coro=None):
    yield channel.subscribe(coro)
    heard = []
    while True:
        msg = yield coro.receive()
        if not msg:
            break
        heard.append(msg)
    yield channel.unsubscribe(coro)
    raise StopIteration(heard)


def only_odd(name, message):
    if message and message % 2 == 0:
        return None
    return message


def publisher(coro=None):
    everyone = asyncoro.Channel("everyone")
    team = asyncoro.Channel("team")
    yield everyone.subscribe(team)
    ada, bob = asyncoro.Coro(reader, team), asyncoro.Coro(reader, team)
    # waits until both are there
    yield team.deliver("one", timeout=5, n=2)
    team.send("two")
    eve = asyncoro.Coro(reader, everyone)
    yield everyone.deliver("with eve", timeout=5, n=2)
    n = yield everyone.deliver("for all", timeout=5)
    print("delivered to %s" % n)
    empty = asyncoro.Channel("empty")
    n = yield empty.deliver("hello?")
    print("nobody hears %s" % n)
    everyone.send("")
    heard = yield ada.finish()
    print("ada %s" % heard)
    heard = yield bob.finish()
    print("bob %s" % heard)
    heard = yield eve.finish()
    print("eve %s" % heard)
    numbers = asyncoro.Channel("numbers", transform=only_odd)
    counting = asyncoro.Coro(reader, numbers)
    yield numbers.deliver(1, timeout=5, n=1)
    for i in range(2, 7):
        numbers.send(i)
    numbers.set_transform(lambda name, message: message)
    numbers.send(0)
    heard = yield counting.finish()
    print("odd numbers %s" % heard)
    ada, bob = asyncoro.Coro(reader, team), asyncoro.Coro(reader, team)
    yield team.deliver("begin", timeout=5, n=2)
    yield team.unsubscribe(bob)
    n = yield team.deliver("who is there?", timeout=5)
    print("bob left: %s" % n)
    bob.terminate()
    team.send(None)
    yield ada.finish()
    numbers.register()
    found = yield asyncoro.Channel.locate("numbers", timeout=5)
    print("located %s" % found.name)
    for channel in (everyone, team, empty, numbers):
        channel.close()


if __name__ == "__main__":
    asyncoro.Coro(publisher).value()
