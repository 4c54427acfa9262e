"""In place of what is around a connection that the user hub may serve."""

from greencoro.distributed.reactor import Timer
from greencoro.hub import native


class FakeReactor:
    def __init__(self):
        self.turn = native.RLock()
        self.hub_served = 0
        self.posted = []

    def post(self, function, *args):
        self.posted.append((function, args))

    def run_posted(self):
        posted, self.posted = self.posted, []
        for function, args in posted:
            function(*args)

    def call_later(self, seconds, function):
        return Timer(None)


class FakeWire:
    is_urgent = False

    def __init__(self):
        self.ends = []
        self.fail = self.fail_by_bug = self.on_end = self.ends.append
        self.owner = self.connection = self
        self.there, self.handled = [], []

    def on_message(self, wire, message):
        self.there.append(message)

    def receive_data(self, data, now):
        return []

    def handle(self, events):
        self.handled.extend(events)


class Events:
    """In place of a connection."""

    is_urgent = False

    def __init__(self, events):
        self._events = events

    def receive_data(self, data, now):
        return self._events


class FakeQueue:
    def __init__(self, told=False):
        self.told = told
        self.flushed = 0

    def flush(self, records=None):
        self.flushed += 1

    def flush_if_told(self):
        self.flushed += self.told
        return self.told


class FakeShared:
    descriptor = 7

    def __init__(self, took=None):
        self._took = took
        self.has_some = False
        self.read, self.reading = 0, None

    def take(self, limit):
        if isinstance(self._took, BaseException):
            raise self._took
        return self._took and self._took[:limit]

    def read_now(self):
        self.read += 1
        return self.has_some

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True


class FakeDoor:
    def __init__(self):
        self.served = {}

    def add(self, descriptor, io):
        self.served[descriptor] = io

    is_possible = True

    def remove(self, descriptor):
        self.served.pop(descriptor, None)
