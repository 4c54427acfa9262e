"""Whether a peer that proved the secret is let in as the one it says to be.

Whoever knows the secret can say to be anybody (S14). What a peer says is therefore bound to its connection: as long as
another one is online that has its incarnation, its location or its name, that one is asked. If it answers it stays, and
the newcomer is refused; if not, its connection is dead and the newcomer is let in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greencoro.distributed.dial import OnDone
from greencoro.distributed.handshake import Hello, Role
from greencoro.distributed.link import Link, LinkState, PeerInfo
from greencoro.distributed.messages import Bye, Message, Reply, Request
from greencoro.distributed.reactor import Reactor
from greencoro.distributed.wire import Wire
from greencoro.errors import NetworkError, PeerLost, PeerUnreachable, RemoteProtocolError

__all__ = ["REFUSED", "Admission"]

#: Who is online and disputed has so long to answer, and is lost otherwise.
_ANSWER_SECONDS = 2.0
#: What a newcomer may say before it is decided.
_MAX_MESSAGES = 10_000
#: How the goodbye to a peer begins that is not let in.
REFUSED = "refused: "


class Claim:
    """A newcomer about which it is not decided; the owner of its connection meanwhile. What it says is kept.

    Args:
        on_over: Called once, with the error, where it ends before it is decided.

        has_room: Says whether so many bytes more may be kept.
    """

    def __init__(
        self, wire: Wire, hello: Hello, on_over: Callable[[NetworkError], None], has_room: Callable[[int], bool]
    ) -> None:
        self.wire = wire
        self.hello = hello
        self.messages: list[Message] = []
        self.kept_bytes = 0
        self._on_over = on_over
        self._has_room = has_room

    def on_introduced(self, wire: Wire, hello: Hello) -> bool:
        return True

    def on_established(self, wire: Wire, hello: Hello) -> None:
        raise RemoteProtocolError("a connection cannot begin twice")

    def on_message(self, wire: Wire, message: Message) -> None:
        if isinstance(message, Bye):
            raise PeerLost("the peer left before it was known who it is")
        size = _size(message)
        if len(self.messages) >= _MAX_MESSAGES or not self._has_room(size):
            raise RemoteProtocolError("the peer said too much before it was known who it is")
        self.messages.append(message)
        self.kept_bytes += size

    def on_closed(self, wire: Wire, error: NetworkError) -> None:
        self._on_over(error)


class Admission:
    """See the module; on the reactor's thread.

    Args:
        peers: The table of peers: says who is online, makes links, gives them up.

        hello: What this runtime says of itself.
    """

    def __init__(self, peers: Any, reactor: Reactor, hello: Hello) -> None:
        self._peers = peers
        self._reactor = reactor
        self._own = PeerInfo(hello.location, hello.name, hello.incarnation)
        # All together may keep as much as may wait for one mailbox.
        self._max_kept_bytes = hello.max_queue_bytes
        self._claims: set[Claim] = set()

    def let_in(self, wire: Wire, hello: Hello, on_done: OnDone) -> None:
        """Make an established connection the one of its peer's link, or refuse it; ``on_done`` hears of it."""
        rival = self._rival_of(hello)
        if _shared(self._own, hello):
            self._refuse(wire, hello, self._own, on_done)
        elif rival is None:
            on_done(self._peers.adopt(wire, hello), None)
        elif rival.info.incarnation == hello.incarnation and wire.connection.role is Role.INITIATOR:
            # Dialled under another name. The other side has heard nothing on this connection, so it was none yet.
            wire.abort()
            on_done(rival, None)
        else:
            self._ask(rival, wire, hello, on_done)

    def _rival_of(self, hello: Hello) -> Link | None:
        """Somebody online who is the one, or where, or called as ``hello`` says; the same one comes first."""
        same: Link | None = self._peers.links.get(hello.incarnation)
        if same is not None and same.state is LinkState.UP:
            return same
        rivals: list[Link] = [link for link in self._peers.online() if _shared(link.info, hello)]
        return rivals[0] if rivals else None

    def _ask(self, rival: Link, wire: Wire, hello: Hello, on_done: OnDone) -> None:
        undecided = [True]

        def is_first() -> bool:
            timer.cancel()
            self._claims.discard(claim)
            return bool(undecided and undecided.pop())

        def on_answer(answer: Any, error: NetworkError | None) -> None:
            if is_first():
                # Later: that the rival is lost is not told of yet, and is to be told of first.
                self._reactor.post(self._decide, claim, rival.info if error is None else None, on_done)

        def on_over(error: NetworkError) -> None:
            if is_first():
                on_done(None, PeerUnreachable(f"cannot connect to {hello.location}: {error}"))

        def no_answer() -> None:
            reason = f"{rival.info} does not answer, and another connection says to be it, or where or called as it is"
            self._peers.lose(rival, PeerLost(reason))

        claim = wire.owner = Claim(wire, hello, on_over, self._has_room)
        self._claims.add(claim)
        timer = self._reactor.call_later(_ANSWER_SECONDS, no_answer)
        number = rival.expect(on_answer, Reply)
        rival.send_urgent(Request(number, "greencoro.ping", {}, ()).encode())

    def _has_room(self, size: int) -> bool:
        return sum(claim.kept_bytes for claim in self._claims) + size <= self._max_kept_bytes

    def close(self) -> None:
        """Let nobody in any more."""
        for claim in list(self._claims):
            claim.wire.fail(PeerLost("this runtime is finished"))

    def _decide(self, claim: Claim, rival: PeerInfo | None, on_done: OnDone) -> None:
        """``rival``: it answered; None: it is lost."""
        wire, hello = claim.wire, claim.hello
        if wire.is_closed:
            on_done(None, PeerUnreachable(f"cannot connect to {hello.location}: the connection is over"))
            return
        if rival is not None:
            self._refuse(wire, hello, rival, on_done)
            return
        # There may be another one, who shares another thing with it.
        self.let_in(wire, hello, on_done)
        try:
            for message in claim.messages:
                if not wire.is_closed:
                    wire.owner.on_message(wire, message)
        except NetworkError as error:
            wire.fail(error)

    def _refuse(self, wire: Wire, hello: Hello, rival: PeerInfo, on_done: OnDone) -> None:
        reason = f"{rival} is there already, with the same {_shared(rival, hello)}"
        error = PeerUnreachable(f"{hello.name!r} at {hello.location} is refused: {reason}")
        self._peers.report("a peer at %s: %s", wire.stream.peer_address, error)
        wire.close(REFUSED + reason, lambda: None)
        on_done(None, error)


def _shared(info: PeerInfo, hello: Hello) -> str:
    """What two have in common that only one may have; empty: nothing."""
    if info.incarnation == hello.incarnation:
        return "incarnation"
    if info.location == hello.location:
        return f"location {info.location}"
    return f"name {info.name!r}" if info.name == hello.name else ""


def _size(message: Message) -> int:
    """About how many bytes a message holds."""
    size = 0
    for field in message:
        for part in field if isinstance(field, list) else (field,):
            size += len(part) if isinstance(part, bytes | bytearray | memoryview) else len(str(part))
    return size
