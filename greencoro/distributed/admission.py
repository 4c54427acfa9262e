"""Whether a peer that proved the secret is let in as the one it says to be.

Whoever knows the secret can say to be anybody (S14). What a peer says is therefore bound to its connection: as long as
another one is online that has its incarnation, its location or its name, that one is asked. If it lives it stays, and
the newcomer is refused; if not, its connection is dead and the newcomer is let in.

An incarnation is proved. So who comes with that of a link, which it had known and does not go on with, has given that
link up: it is let in at once, in place of itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greencoro.distributed.dial import take_heartbeat
from greencoro.distributed.hello import Hello
from greencoro.distributed.link import Link
from greencoro.distributed.link_states import LinkState
from greencoro.distributed.messages import Bye, Message, Reply, Request
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.reactor import Reactor, Timer
from greencoro.distributed.wire import Wire
from greencoro.errors import NetworkError, PeerLost, PeerUnreachable, RemoteProtocolError
from greencoro.hub import native
from greencoro.log import escape

__all__ = ["MAX_REASON", "REFUSED", "Admission"]

#: Whoever is online and has its place claimed by another connection of its own incarnation is lost when nothing was
#: heard of it for so long: two dials of one peer may both have been on their way. Where its connection broke, before or
#: after that, and is not gone on with, that goes for a claim from the address at its other end as well: a process that
#: died and was started again. Else that takes the whole peer time-out, for who merely has its name may be anybody.
_SILENT_SECONDS = 2.0
#: So many messages may a newcomer say before it is decided; more where one mailbox takes more.
_MAX_MESSAGES = 10_000
#: A text of a peer's goes this far into messages of ours.
MAX_REASON = 200
#: How the goodbye to a peer begins that is not let in.
REFUSED = "refused: "

#: Called with None where a newcomer is let in, with why where it is refused or its connection is over.
OnVerdict = Callable[["NetworkError | None"], None]


class Claim:
    """A newcomer about which it is not decided; the owner of its connection meanwhile. What it says is kept.

    Args:
        on_over: Called once, with the error, where its connection ends before it is decided.

        has_room: Says whether, after so many messages, one of so many bytes more may be kept.
    """

    def __init__(
        self,
        wire: Wire,
        hello: Hello,
        on_over: Callable[[Claim, NetworkError], None],
        has_room: Callable[[int, int], bool],
    ) -> None:
        self.wire = wire
        self.hello = hello
        self.messages: list[Message] = []
        self.kept_bytes = 0
        #: Who is asked, and since when.
        self.rival: Link | None = None
        self.asked_at = 0.0
        self.timer: Timer | None = None
        self._on_over = on_over
        self._has_room = has_room

    def on_introduced(self, wire: Wire, hello: Hello) -> None:
        raise RemoteProtocolError("a connection cannot begin twice")

    def on_established(self, wire: Wire, hello: Hello) -> None:
        raise RemoteProtocolError("a connection cannot begin twice")

    def on_message(self, wire: Wire, message: Message) -> None:
        if isinstance(message, Bye):
            raise PeerLost(escape(message.reason, MAX_REASON))
        if take_heartbeat(wire, message):
            return
        size = _size(message)
        if not self._has_room(len(self.messages), size):
            raise RemoteProtocolError("the peer said too much before it was known who it is")
        self.messages.append(message)
        self.kept_bytes += size

    def on_closed(self, wire: Wire, error: NetworkError) -> None:
        self._on_over(self, error)


class Admission:
    """See the module; on the reactor's thread.

    Args:
        peers: The table of peers: says who is online, gives them up, reports.

        hello: What this runtime says of itself.

        peer_timeout_seconds (float): Silence after which any peer is lost.
    """

    def __init__(self, peers: Any, reactor: Reactor, hello: Hello, peer_timeout_seconds: float) -> None:
        self._peers = peers
        self._reactor = reactor
        self._own = PeerInfo(hello.location, hello.name, hello.incarnation)
        self._peer_timeout_seconds = peer_timeout_seconds
        # All together may keep as much as may wait for one mailbox.
        self._max_kept_messages = max(_MAX_MESSAGES, hello.max_queue_messages)
        self._max_kept_bytes = hello.max_queue_bytes
        self._claims: dict[Claim, OnVerdict] = {}

    def judge(self, wire: Wire, hello: Hello, on_verdict: OnVerdict) -> None:
        """Decide, soon, about the other side of an established connection.

        Where it is let in, ``on_verdict(None)`` is to give the connection to another owner, who gets what was said
        meanwhile. Where it is refused, the connection has been closed with a goodbye that says why.
        """
        claim = wire.owner = Claim(wire, hello, self._over, self._has_room)
        self._claims[claim] = on_verdict
        # Later: who does not take us as a peer says so right behind its proof.
        self._reactor.post(self._decide, claim)

    def _has_room(self, kept: int, size: int) -> bool:
        kept_bytes = sum(claim.kept_bytes for claim in self._claims)
        return kept < self._max_kept_messages and kept_bytes + size <= self._max_kept_bytes

    def _settle(self, claim: Claim) -> OnVerdict:
        _stop_looking(claim)
        return self._claims.pop(claim)

    def _over(self, claim: Claim, error: NetworkError) -> None:
        reason = str(error)
        if reason.startswith(REFUSED):
            self._peers.report_refusal(claim.hello.location, reason)
        self._settle(claim)(PeerUnreachable(f"cannot connect to {claim.hello.location}: {reason}"))

    def _decide(self, claim: Claim) -> None:
        if claim not in self._claims:
            return
        _stop_looking(claim)
        rival = self._rival_of(claim.hello)
        if claim.wire.is_closed:
            self._over(claim, PeerLost("the connection is over"))
        elif _shared(self._own, claim.hello):
            self._refuse(claim, self._own)
        elif rival is None or self._peers.resumption.link_of(claim.wire) is not None:
            # Nobody has what it claims, or it has proved to be the very one that is online.
            self._let_in(claim)
        elif claim.wire.known_link is rival:
            claim.wire.known_link = None
            self._peers.lose(rival, PeerLost(f"{rival.info} has given this link up, and come again"), may_live=True)
            # Later: that the rival is lost is not told of yet, and is to be told of first.
            self._reactor.post(self._decide, claim)
        else:
            self._ask(rival, claim)

    def _rival_of(self, hello: Hello) -> Link | None:
        """Somebody online who is the one, or where, or called as ``hello`` says; the same one comes first."""
        same: Link | None = self._peers.links.get(hello.incarnation)
        if same is not None and same.is_online:
            return same
        rivals: list[Link] = [link for link in self._peers.online() if _shared(link.info, hello)]
        return rivals[0] if rivals else None

    def _ask(self, rival: Link, claim: Claim) -> None:
        claim.rival, claim.asked_at = rival, native.monotonic()

        def on_answer(answer: Any, error: NetworkError | None) -> None:
            if claim not in self._claims:
                return
            if error is None:
                self._refuse(claim, rival.info)
            else:
                # Later, as above.
                self._reactor.post(self._decide, claim)

        self._look_in(claim, self._patience(claim, rival))
        number = rival.answers.expect(on_answer, Reply)
        rival.send_urgent(Request(number, "greencoro.ping", {}, ()).encode())

    def _patience(self, claim: Claim, rival: Link) -> float:
        is_same = rival.info.incarnation == claim.hello.incarnation
        return _SILENT_SECONDS if is_same or _may_have_restarted(rival, claim) else self._peer_timeout_seconds

    def _look_in(self, claim: Claim, seconds: float) -> None:
        _stop_looking(claim)
        claim.timer = self._reactor.call_later(seconds, self._look, claim, native.monotonic() + seconds)

    def _look(self, claim: Claim, due: float) -> None:
        rival = claim.rival
        assert rival is not None
        seconds = self._patience(claim, rival)
        now = native.monotonic()
        heard = rival.wire.connection.heard_at if rival.wire is not None else None
        silent = now - (claim.asked_at if heard is None else heard)
        if now - due > seconds / 2:
            # This thread stood still: what the rival has said meanwhile lies unread.
            self._look_in(claim, seconds)
        elif silent >= seconds:
            reason = "does not answer, and another connection says to be it, or where or called as it is"
            self._peers.lose(rival, PeerLost(f"{rival.info} {reason}"), may_live=True)
        elif heard is not None and heard > claim.asked_at + seconds / 2:
            # Anything but the answer is life as well. What comes right behind the question may be old.
            self._refuse(claim, rival.info)
        else:
            self._look_in(claim, seconds - silent)

    def broke(self, link: Link) -> None:
        """The connection of somebody online broke, who may be asked: from now on less silence is enough."""
        for claim in self._claims:
            if claim.rival is link:
                self._look_in(claim, self._patience(claim, link))

    def _let_in(self, claim: Claim) -> None:
        wire = claim.wire
        self._settle(claim)(None)
        try:
            for message in claim.messages:
                if not wire.is_over:
                    wire.owner.on_message(wire, message)
        except NetworkError as error:
            wire.fail(error)

    def _refuse(self, claim: Claim, rival: PeerInfo) -> None:
        wire, hello = claim.wire, claim.hello
        on_verdict = self._settle(claim)
        reason = f"{rival} is there already, with the same {_shared(rival, hello)}"
        error = PeerUnreachable(f"{hello.name!r} at {hello.location} is refused: {reason}")
        self._peers.report("a peer at %s: %s", wire.stream.peer_address, error)
        wire.close(REFUSED + reason, lambda: None)
        on_verdict(error)

    def close(self) -> None:
        """Let nobody in any more."""
        for claim in list(self._claims):
            claim.wire.fail(PeerLost("this runtime is finished"))


def _stop_looking(claim: Claim) -> None:
    if claim.timer is not None:
        claim.timer.cancel()
        claim.timer = None


def _may_have_restarted(rival: Link, claim: Claim) -> bool:
    """Did the connection of one that was where the newcomer is break?"""
    if rival.state is not LinkState.SUSPENDED or rival.wire is None:
        return False
    return bool(rival.wire.stream.peer_address == claim.wire.stream.peer_address)


def _shared(info: PeerInfo, hello: Hello) -> str:
    """What two have in common that only one may have; empty: nothing."""
    if info.incarnation == hello.incarnation:
        return "incarnation"
    if info.location == hello.location:
        return f"location {info.location}"
    return f"name {info.name!r}" if info.name == hello.name else ""


def _size(message: Message) -> int:
    """About how many bytes a message holds."""
    size = message.header_bytes if isinstance(message, Request | Reply) else 0
    for field in message:
        if isinstance(field, dict):
            continue
        for part in field if isinstance(field, list) else (field,):
            size += len(part) if isinstance(part, bytes | bytearray | memoryview) else len(str(part))
    return size
