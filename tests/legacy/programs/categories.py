"""Messages sorted by category: urgent ones first, though they come last.

Prints:

    urgent ['urgent: fire', 'urgent: flood']
    even [0, 2, 4]
    odd [1, 3, 5]
    text ['lunch', 'tea']
    others [-7, -8]
    none left
"""

import asyncoro


def by_text(msg):
    if isinstance(msg, str):
        return "urgent" if msg.startswith("urgent") else "text"
    return None


def by_remainder(msg):
    # added first, so asked last: no string comes here
    if msg < 0:
        return None
    return "odd" if msg % 2 else "even"


def reader(coro=None):
    categories = asyncoro.CategorizeMessages(coro)
    categories.add(by_remainder)
    categories.add(by_text)
    for category, count in (("urgent", 2), ("even", 3), ("odd", 3), ("text", 2)):
        found = []
        for i in range(count):
            msg = yield categories.receive(category=category, timeout=5)
            found.append(msg)
        print("%s %s" % (category, found))
    others = []
    while True:
        msg = yield categories.receive(timeout=0.05)
        if msg is None:
            break
        others.append(msg)
    print("others %s" % others)
    categories.remove(by_text)
    msg = yield categories.receive(category="urgent", timeout=0.01, alarm_value="none left")
    print(msg)


def writer(target, coro=None):
    for msg in ("lunch", 0, 1, 2, -7, "urgent: fire", "tea", 3, 4, 5, -8, "urgent: flood"):
        target.send(msg)
        yield coro.sleep(0.001)


if __name__ == "__main__":
    coro = asyncoro.Coro(reader)
    asyncoro.Coro(writer, coro)
    coro.value()
