"""A channel that passes every message on to two coroutines, after its transform has rounded it."""

from greencoro import Channel, Coro


def round_off(name, number):
    return None if number < 0 else round(number)  # None: the message is dropped


def total(channel, coro=None):
    channel.subscribe(coro)
    numbers = iter(coro.receive, None)
    return sum(numbers)


def largest(channel, coro=None):
    channel.subscribe(coro)
    return max(iter(coro.receive, None))


def sender(channel):
    # deliver() with n waits until there are so many subscribers, and says how many got the message.
    print("delivered to", channel.deliver(1.2, timeout=5, n=2))
    for number in (3.9, -5, 2.4):
        channel.send(number)


numbers = Channel("numbers", transform=round_off)
readers = [Coro(total, numbers), Coro(largest, numbers)]
Coro(sender, numbers).finish()
numbers.set_transform(None)
numbers.send(None)
print("total", readers[0].finish())
print("largest", readers[1].finish())
