"""One who holds the lease of a node, and is no scheduler."""

from greencoro import Runtime, Settings
from greencoro.compute.node_words import (
    Attach,
    LeaseEnded,
    NodeFacts,
    Pulse,
    Pulsed,
    Release,
    Released,
    Reserve,
    ReserveAnswer,
    ServerDied,
    ServerDraining,
    ServerStarted,
)
from greencoro.errors import NetworkError
from tests.support.polling import poll_until

TOLD = (ServerStarted, ServerDraining, ServerDied, LeaseEnded)


class Holder:
    """One who reserves a node, and keeps what it is told."""

    def __init__(self, location, **runtime_options):
        given = {"settings": Settings.from_env(), **runtime_options}
        self.runtime = Runtime(node="127.0.0.1", discover_peers=False, announce=False, **given)
        self.told = []
        for word in TOLD:
            self.runtime.handle(word.operation, lambda request, word=word: self._hear(word, request))
        self.location = location
        self.node = self.runtime.connect(location)

    def _hear(self, word, request):
        self.told.append(word.from_header(request.header))

    def ask(self, word, timeout=20.0):
        return self.runtime.request(self.node, word.operation, word.to_header(), timeout=timeout).header

    def facts(self):
        return NodeFacts.from_header(self.ask(Attach()))

    def reserve(self, token, attempt=1, **periods):
        return ReserveAnswer.from_header(self.ask(Reserve(token, attempt, "a test", **periods)))

    def pulse(self, token, timeout=20.0):
        return Pulsed.from_header(self.ask(Pulse(token), timeout))

    def keeps_pulsing(self, token):
        """As `pulse`, by a new link if need be; None where the node cannot be reached just now."""
        try:
            self.node = self.runtime.connect(self.location)
            return self.pulse(token)
        except NetworkError:
            return None

    def cut(self):
        """Break the connection to the node."""
        link = self.runtime.peer_table.links.get(self.node.incarnation)
        if link is not None and link.wire is not None:
            self.runtime.reactor.post(link.wire.on_end, ConnectionResetError(104, "Connection reset by peer"))

    def tries(self, token, attempt):
        """As `reserve`; None where the node cannot be reached just now."""
        try:
            self.node = self.runtime.connect(self.location)
            return self.reserve(token, attempt)
        except NetworkError:
            return None

    def release(self, token):
        return Released.from_header(self.ask(Release(token)))

    def hears(self, kind, seconds=20.0, number=1):
        """The last of so many words of a kind."""
        poll_until(lambda: len([word for word in self.told if isinstance(word, kind)]) >= number, seconds)
        return [word for word in self.told if isinstance(word, kind)][number - 1]
