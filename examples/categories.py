"""A coroutine that sorts its messages and takes those of one category first."""

from greencoro import CategorizeMessages, Coro


def by_urgency(message):
    return "urgent" if message.endswith("!") else None  # None: ask the next function


def by_length(message):
    return "long" if len(message) > 10 else "short"


def desk(coro=None):
    letters = CategorizeMessages(coro)
    letters.add(by_length)
    letters.add(by_urgency)  # the function added last is asked first
    print(letters.receive("urgent", timeout=5))
    print(letters.receive("long", timeout=5))
    print(letters.receive("short", timeout=5))
    print(letters.receive("urgent", timeout=0.1, alarm_value="nothing else is urgent"))


reader = Coro(desk)
for letter in ("a note", "the yearly report", "fire!"):
    reader.send(letter)
reader.finish()
