"""A network, a scheduler and servers that do what a test says, for one computation's client."""

from types import SimpleNamespace

from greencoro import Coro
from greencoro.compute import client_words as words
from greencoro.compute.job_journal import journal
from greencoro.compute.node_words import NodeFacts
from greencoro.compute.submission import Submission
from greencoro.distributed.location import Location
from greencoro.distributed.outcomes import Watch
from greencoro.errors import PackagingError

HERE, AT, OTHER = Location("10.0.0.9", 1), Location("10.0.0.1", 5), Location("10.0.0.1", 6)
S, T, N = "aa" * 16, "bb" * 16, "cc" * 16


def watch(number):
    """A watch with that number; it is set by the test."""
    made = Watch()
    made.id = number
    return made


class Runtime:
    """A network on which peers come and go as a test says."""

    name = "client"
    reactor = SimpleNamespace(post=lambda function, *args: function(*args))

    def __init__(self):
        self.observers = []
        self.online = []
        self.watches = []
        self.refuses_watches = None

    def spawn(self, function, *args):
        return Coro(function, *args)

    def every(self, seconds, callback):
        return SimpleNamespace(stop=lambda: None)

    def last_heard(self, peer):
        return None  # no connection, so nobody is pulsed

    def watch_peers(self, callback):
        self.observers.append(callback)

    def unwatch_peers(self, callback):
        if callback in self.observers:
            self.observers.remove(callback)

    def peer_infos(self):
        return self.online

    def open_watch(self, peer):
        if self.refuses_watches is not None:
            raise self.refuses_watches
        self.watches.append(watch(len(self.watches) + 1))
        return self.watches[-1]

    def lose(self, server, reason="reset"):
        event = SimpleNamespace(online=False, peer=SimpleNamespace(incarnation=bytes.fromhex(server)), reason=reason)
        for callback in list(self.observers):
            Coro(callback, event).value(5)


class Link:
    """A scheduler that says what a test says."""

    location = HERE

    def __init__(self, begins=True, ends=True):
        self.runtime = Runtime()
        self.begins, self.ends = begins, ends
        self.said = []
        self.number = 0

    def submit(self, ask, listener, timeout):
        self.listener = listener
        if self.begins:
            self.notice(words.Begun, location=HERE)
            self.notice(
                words.NodeOffered, node=N, facts=NodeFacts(AT.addr, "n", servers=2, ready=2, platform="", cpus=2)
            )
        return 1

    def notice(self, kind, **about):
        self.number += 1
        self.listener(kind(1, self.number, **about))

    def tell(self, request):
        self.said.append(request)
        if isinstance(request, words.Close) and self.ends:
            self.notice(words.Ended)

    def why_no_turn(self):
        return "its turn"

    def why_no_server(self):
        return "nobody is there"

    def start(self, server=S, location=AT):
        self.notice(words.ServerStarted, node=N, attempt=1, server=server, location=location, name="server")


class Transport:
    """Servers that take jobs, or do not."""

    def __init__(self, runtime):
        self.runtime = runtime
        self.forgotten, self.withdrawn, self.sent_ahead = [], [], []
        self.fails = None

    def send_ahead(self, server):
        self.sent_ahead.append(server)

    def set_up(self, server, timeout):
        if server.location == OTHER:
            raise PackagingError("no module named x")

    def forget(self, server):
        self.forgotten.append(server.id)

    def open(self, server, call, on_over, lane=None):
        return Submission(self.runtime, server, call, on_over, lane)

    def start(self, submission, deadline):
        self.queue(submission)
        return SimpleNamespace(name="job")

    def queue(self, submission):
        if self.fails is not None:
            raise self.fails

    def withdraw(self, submission):
        self.withdrawn.append(submission)


def queue(computation):
    """A job on its way to the server."""
    jobs = computation._jobs
    prepared = jobs.shipping.prepare(len, ("abc",), {})
    number = journal.submitted(prepared.name)
    return jobs.submit(jobs.claim(number, None, 0.0), prepared, "lane", number=number)
