"""Streams inside TLS, over any other transport.

Both sides show a certificate (`credentials`), and nothing is passed on before both are believed. What a stream carries
is the same as without TLS, beginning with the preambles of the handshake that proves the secret; the receiver is told
what ties that to this TLS session (`TlsBinding`).

There is no way back to a stream without TLS. Whoever speaks without it is refused, and told so where it is a greencoro.
"""

from __future__ import annotations

import functools
import ssl
from collections.abc import Callable, Sequence
from enum import Enum, auto

from greencoro.distributed.credentials import Credentials, certificate_hash
from greencoro.distributed.fields import Buffer
from greencoro.distributed.handshake import TlsBinding
from greencoro.distributed.location import Location
from greencoro.distributed.preamble import MAGIC, TLS_FIRST_BYTES
from greencoro.distributed.stream import Listener, Receiver, Stream, Transport
from greencoro.errors import AuthenticationError, NetworkError
from greencoro.hub.tls_session import Session

__all__ = ["Tls", "TlsListener", "TlsStream"]

#: All that one side says before it is believed: two certificate chains of a usual size, several times over.
_MAX_HANDSHAKE_BYTES = 64 * 1024
#: At most so many refused ones are waited for, until they have read why.
_MAX_PARTING = 16
_READ_BYTES = 1 << 20

#: What tells a greencoro without TLS that there is TLS here: a fatal alert, protocol_version (RFC 8446, section 6).
_ALERT = b"\x15\x03\x03\x00\x02\x02\x46"

_REFUSED_BY_PEER = "the other side refuses our certificate, or our TLS"
_SAME_FILE = "both sides need the same certfile, or certificates of one signer"


class Tls:
    """Another transport, with TLS in each of its streams."""

    def __init__(self, carrier: Transport, credentials: Credentials) -> None:
        self._carrier = carrier
        self._credentials = credentials
        self._parting: set[Stream] = set()
        self._listeners: set[TlsListener] = set()

    def listen(self, location: Location) -> TlsListener:
        return self._listens(self._carrier.listen(location))

    def adopt(self, descriptor: int) -> TlsListener:
        return self._listens(self._carrier.adopt(descriptor))

    def _listens(self, carrier: Listener) -> TlsListener:
        made = TlsListener(self, carrier)
        self._listeners.add(made)
        return made

    def dial(
        self, location: Location, timeout: float, on_done: Callable[[Stream | None, OSError | None], None]
    ) -> Callable[[], None]:
        def dialled(stream: Stream | None, error: OSError | None) -> None:
            on_done(None if stream is None else self.wrap(stream, server_side=False), error)

        return self._carrier.dial(location, timeout, dialled)

    def wrap(self, stream: Stream, server_side: bool) -> TlsStream:
        """A stream inside ``stream``; on the reactor's thread."""
        session = self._credentials.session(server_side)
        return TlsStream(stream, session, server_side, self._credentials.certificate_hash, self.part)

    def part(self, stream: Stream) -> None:
        """End a stream, so that the other side can still read why; where too many are ended so, at once."""
        if len(self._parting) >= _MAX_PARTING:
            stream.abort()
            return
        self._parting.add(stream)
        stream.close(functools.partial(self._parting.discard, stream))

    def closed(self, listener: TlsListener) -> None:
        """With the last listener those that are parting end at once."""
        self._listeners.discard(listener)
        if not self._listeners:
            for stream in tuple(self._parting):
                stream.abort()


class TlsListener:
    """Where streams come in, each of which has to begin with TLS."""

    def __init__(self, tls: Tls, carrier: Listener) -> None:
        self.location = carrier.location
        self._tls = tls
        self._carrier = carrier

    def start(self, on_stream: Callable[[Stream], None]) -> None:
        # Handed on before its handshake, so that the limits on those who have not proved themselves hold for it.
        self._carrier.start(lambda stream: on_stream(self._tls.wrap(stream, server_side=True)))

    def stop(self) -> None:
        self._carrier.stop()

    def close(self) -> None:
        self._carrier.close()
        self._tls.closed(self)


class _State(Enum):
    """Where a stream stands."""

    #: Not both sides are believed.
    HANDSHAKE = auto()
    OPEN = auto()
    #: Closed or broken.
    OVER = auto()
    #: The other side is refused, and may be reading why.
    REFUSED = auto()


class TlsStream:
    """One stream inside another, whose receiver it is."""

    def __init__(
        self, carrier: Stream, session: Session, server_side: bool, own_hash: bytes, part: Callable[[Stream], None]
    ) -> None:
        self.peer_address = carrier.peer_address
        self._carrier = carrier
        self._session = session
        self._server_side = server_side
        self._own_hash = own_hash
        self._part = part
        self._receiver: Receiver | None = None
        self._state = _State.HANDSHAKE
        self._handshake_bytes = 0
        # Written before the handshake was over.
        self._early: list[Buffer] = []

    def open(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._carrier.open(self)
        if not self._server_side and self._state is _State.HANDSHAKE:
            self._shake_hands()

    @property
    def blocked(self) -> bool:
        """Is something kept, or the handshake not over?"""
        return self._state is _State.HANDSHAKE or self._carrier.blocked

    @property
    def sent_bytes(self) -> int:
        return self._carrier.sent_bytes

    def flush(self) -> None:
        self._carrier.flush()

    @property
    def shared(self) -> None:
        return None

    def write(self, buffers: Sequence[Buffer]) -> None:
        if self._state is _State.HANDSHAKE:
            self._early.extend(buffers)
        elif self._state is _State.OPEN:
            encrypted = [self._session.encrypt(memoryview(buffer)) for buffer in buffers if len(buffer)]
            if encrypted:
                self._carrier.write(encrypted)

    def close(self, on_sent: Callable[[], None]) -> None:
        """As `Stream.close`; before the handshake is over nothing can be sent, and what is kept is dropped."""
        if self._state is _State.REFUSED:
            on_sent()
            return
        was_open, self._state = self._state is _State.OPEN, _State.OVER
        self._receiver = None
        if was_open:
            self._carrier.write([self._session.goodbye()])
        self._carrier.close(on_sent)

    def abort(self) -> None:
        self._end(self._carrier.abort)

    def reset(self) -> None:
        self._end(self._carrier.reset)

    def _end(self, end_carrier: Callable[[], None]) -> None:
        self._receiver = None
        if self._state is not _State.REFUSED:
            self._state = _State.OVER
            end_carrier()

    # As the receiver of the carrier.

    def on_secured(self, binding: TlsBinding) -> None:
        """The carrier is inside TLS as well; what counts is the TLS here."""

    def on_data(self, data: memoryview) -> None:
        try:
            if self._state is _State.HANDSHAKE:
                data = self._receive_handshake(data)
            if self._state is _State.OPEN:
                if data:
                    self._session.receive_data(bytes(data))
                self._read()
        except ssl.SSLError as error:
            self._refuse(AuthenticationError(_explained(error)), self._session.data_to_send())
        except AuthenticationError as error:
            self._refuse(error, _ALERT if self._server_side and _begins_like_greencoro(data) else b"")

    def on_writable(self) -> None:
        if self._state is _State.OPEN and self._receiver is not None:
            self._receiver.on_writable()

    def on_end(self, error: OSError | None) -> None:
        in_handshake = self._state is _State.HANDSHAKE
        receiver, self._receiver = self._receiver, None
        self._state = _State.OVER
        if receiver is not None:
            receiver.on_end(self._why_no_handshake() if in_handshake and error is None else error)

    def _why_no_handshake(self) -> NetworkError:
        if self._server_side:
            return AuthenticationError("the other side closed the connection before the TLS handshake was over")
        if not self._handshake_bytes:
            return AuthenticationError(
                "the other side closed the connection in answer to our TLS greeting, without a word: "
                "it has no certfile, or is not greencoro"
            )
        return AuthenticationError("the other side closed the connection in the middle of the TLS handshake")

    def _receive_handshake(self, data: memoryview) -> memoryview:
        """Take in what may be part of the handshake; returns what is certainly behind it."""
        if not self._handshake_bytes and data[0] not in TLS_FIRST_BYTES:
            who = "greencoro without TLS" if _begins_like_greencoro(data) else "something without TLS"
            raise AuthenticationError(f"the other side is {who}: give certfile= to both sides, or to neither")
        part = data[: _MAX_HANDSHAKE_BYTES - self._handshake_bytes]
        self._handshake_bytes += len(part)
        self._session.receive_data(bytes(part))
        self._shake_hands()
        if self._state is _State.HANDSHAKE and self._handshake_bytes == _MAX_HANDSHAKE_BYTES:
            raise AuthenticationError(f"the TLS handshake is not over after {_MAX_HANDSHAKE_BYTES} bytes")
        return data[len(part) :]

    def _shake_hands(self) -> None:
        done = self._session.handshake()
        self._send_own()
        if not done:
            return
        self._state = _State.OPEN
        assert self._receiver is not None
        # Named after earlier versions of TLS. In 1.3, too, it is the client's Finished message: a MAC over the whole
        # handshake under its key, which no other session has.
        unique = self._session.describe("get_channel_binding")("tls-unique")
        self._receiver.on_secured(TlsBinding(self._own_hash, certificate_hash(self._session), unique))
        early, self._early = self._early, []
        self.write(early)
        if not self.blocked:
            self.on_writable()

    def _read(self) -> None:
        while self._receiver is not None:
            data = self._session.read(_READ_BYTES)
            if data is None:
                break
            if not data:
                receiver = self._receiver
                self.abort()
                receiver.on_end(None)
                return
            self._receiver.on_data(memoryview(data))
        self._send_own()

    def _send_own(self) -> None:
        """Send what TLS itself has to say."""
        if own := self._session.data_to_send():
            self._carrier.write([own])

    def _refuse(self, error: NetworkError, last_words: bytes) -> None:
        if self._state is _State.OVER:
            return
        receiver, self._receiver = self._receiver, None
        self._state = _State.REFUSED
        if last_words:
            self._carrier.write([last_words])
        self._part(self._carrier)
        if receiver is not None:
            receiver.on_end(error)


def _begins_like_greencoro(data: memoryview) -> bool:
    return MAGIC.startswith(bytes(data[: len(MAGIC)]))


def _explained(error: ssl.SSLError) -> str:
    """What OpenSSL found, for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the other side's certificate is not accepted ({error.verify_message}): {_SAME_FILE}"
    reason = error.reason or ""
    if reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return f"the other side shows no certificate: {_SAME_FILE}"
    words = reason.lower().replace("_", " ")
    _, alert, what = words.partition(" alert ")
    if alert:
        return f"{_REFUSED_BY_PEER} ({what}): {_SAME_FILE}"
    return f"TLS failed ({words or error})"
