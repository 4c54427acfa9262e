"""The TLS of one connection as bytes in, bytes out: it reads from no socket.

Because it waits for nothing, one session serves coroutines, threads and greenlets of any hub alike, whether the `ssl`
module is patched or not. OpenSSL lets one thread at a time work on a session: a lock sees to that.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from typing import Any

from greencoro.hub import native

__all__ = ["Certificates", "Session"]

_ANY_VERSION = (None, ssl.PROTOCOL_TLS, ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER)


class Certificates:
    """The files by which both sides of a connection know the server, and the contexts made of them.

    All peers have the same files. A server shows the certificate in ``certfile``; a client trusts exactly the
    certificates in it. So whatever name or address a server is called by, it is known by its certificate: the client
    does not check the name beside it, and certificates of self-signed pairs need none.

    Args:
        certfile: Path of a PEM file.

        keyfile: Path of the private key; None where it is in ``certfile`` as well. Only a server needs one.

        ssl_version: None or a ``ssl.PROTOCOL_*`` constant. Those that mean "whatever both sides know" give TLS 1.2 or
            later; ``PROTOCOL_TLSv1_2`` gives that and no other.

    Raises:
        ValueError: ``ssl_version`` means a version older than 1.2, which is not safe any more.

        OSError: A file cannot be read.
    """

    __slots__ = ("_client", "_only_1_2", "_server", "certfile", "keyfile")

    def __init__(self, certfile: Any, keyfile: Any = None, ssl_version: Any = None) -> None:
        if ssl_version not in (*_ANY_VERSION, ssl.PROTOCOL_TLSv1_2):
            raise ValueError(
                f"ssl_version {ssl_version!r} is not offered: leave it out, or take ssl.PROTOCOL_TLSv1_2 "
                "(versions before TLS 1.2 are not safe)"
            )
        self.certfile = os.fspath(certfile)
        self.keyfile = None if keyfile is None else os.fspath(keyfile)
        for path in (self.certfile, self.keyfile):
            if path is not None:
                # Now, where whoever named it sees it, instead of at the first connection.
                with open(path, "rb"):
                    pass
        self._only_1_2 = ssl_version == ssl.PROTOCOL_TLSv1_2
        self._server: Any = None
        self._client: Any = None

    def server_session(self) -> Session:
        """A session for the side that shows the certificate."""
        if self._server is None:
            context = self._context(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certfile, self.keyfile)
            # No session is resumed here; and a client that only sends would close with tickets unread, on which its
            # system resets the connection: what it had sent last would be lost.
            context.num_tickets = 0
            self._server = context
        return Session(self._server, server_side=True)

    def client_session(self) -> Session:
        """A session for the side that verifies the other's certificate."""
        if self._client is None:
            context = self._context(ssl.PROTOCOL_TLS_CLIENT)
            # What is in the file is trusted, whatever name stands in it: see the docstring.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_REQUIRED
            # A certificate that somebody else signed counts as well, without its signer's.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            context.load_verify_locations(self.certfile)
            self._client = context
        return Session(self._client, server_side=False)

    def _context(self, protocol: Any) -> Any:
        # Looked up at each call: in a patched process gevent's class has to be taken, or setting a version recurses.
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._only_1_2:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        # Without it a write could have to wait for a read, which may be under way in another coroutine.
        context.options |= ssl.OP_NO_RENEGOTIATION
        return context


class Session:
    """One connection's TLS. What its methods raise is `ssl.SSLError`."""

    __slots__ = ("_incoming", "_lock", "_object", "_outgoing")

    def __init__(self, context: Any, server_side: bool) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)
        self._lock = native.RLock()

    def handshake(self) -> bool:
        """Go on with the handshake; is it done? Before and after, `data_to_send` may have something."""
        with self._lock:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                return False
            return True

    def receive_data(self, data: bytes) -> None:
        """Take what came from the network; ``b""`` is its end."""
        with self._lock:
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    def read(self, size: int) -> bytes | None:
        """At most ``size`` bytes of what the other side wrote; ``b""`` at its end, None where more has to come first.

        An end without goodbye counts as the end too, as it does for the standard library's sockets: whoever sends
        messages says their length.
        """
        with self._lock:
            try:
                data: bytes = self._object.read(size)
                return data
            except ssl.SSLWantReadError:
                return None
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    def encrypt(self, data: bytes | memoryview) -> bytes:
        """What has to be sent so that the other side reads ``data``."""
        with self._lock, memoryview(data) as view:
            written = 0
            # OpenSSL takes one record at a time.
            while written < len(view):
                written += self._object.write(view[written:])
            return self._outgoing.read()

    def data_to_send(self) -> bytes:
        """What the session itself has to say: parts of the handshake, or why it failed."""
        with self._lock:
            return self._outgoing.read()

    def goodbye(self) -> bytes:
        """What tells the other side that nothing will follow."""
        with self._lock:
            # It asks to wait for the other side's goodbye, or finds the session broken: nothing to be done either way.
            with contextlib.suppress(ssl.SSLError):
                self._object.unwrap()
            return self._outgoing.read()

    def describe(self, name: str) -> Any:
        """A method of `ssl.SSLObject` that asks about the session and changes nothing, such as ``cipher``."""
        return getattr(self._object, name)
