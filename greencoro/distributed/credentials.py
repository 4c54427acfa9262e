"""The certificate by which runtimes with TLS know each other.

All of them have the same certificate, or certificates of one signer: each shows its own, and trusts exactly the
certificates in its file. A self-signed one is so its own authority. Names and addresses are not looked at: whoever has
the private key of a trusted certificate is believed, wherever it runs. The secret has to be proved besides.
"""

from __future__ import annotations

import hashlib
import logging
import os
import ssl
import stat
from pathlib import Path
from typing import Any

from greencoro.errors import ConfigError
from greencoro.hub.telling import tell
from greencoro.hub.tls_session import Session

__all__ = ["Credentials", "load"]

_log = logging.getLogger(__name__)

#: More rounds than any handshake takes.
_ROUNDS = 10
# What makes a private key in a PEM file one: the words differ by kind, the last two are always these.
_KEY_MARK = b"PRIVATE KEY-----"

# Of a key of another kind than the certificate's OpenSSL says that there is no certificate for it.
_MISMATCHES = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


class Credentials:
    """What a runtime shows, and whom it believes: TLS 1.3, certificates on both sides.

    Args:
        certfile: Path of a PEM file: this runtime's certificate first; where somebody else signed it, the signer's
            after it. Whoever shows one of them, or one that they signed, is believed.

        keyfile: Path of the private key; None where it is in ``certfile`` as well.

    Raises:
        ConfigError: A file cannot be read, the key does not fit, or others would refuse the certificate: it is not
            valid now, or not for both sides of a connection.
    """

    __slots__ = ("_client", "_server", "certificate_hash")

    def __init__(self, certfile: str | os.PathLike[str], keyfile: str | os.PathLike[str] | None = None) -> None:
        cert_path = Path(certfile)
        key_path = cert_path if keyfile is None else Path(keyfile)
        _read(cert_path)
        if _KEY_MARK not in _read(key_path):
            hint = "give keyfile= as well" if keyfile is None else "is it another file?"
            raise ConfigError(f"there is no private key in {key_path}: {hint}")
        self._server = _context(ssl.PROTOCOL_TLS_SERVER, cert_path, key_path)
        # Nobody resumes a session here: each connection proves everything anew.
        self._server.num_tickets = 0
        self._client = _context(ssl.PROTOCOL_TLS_CLIENT, cert_path, key_path)
        #: SHA-256 of the certificate that is shown.
        self.certificate_hash = self._prove(cert_path)
        if stat.S_IMODE(key_path.stat().st_mode) & 0o077:
            line = f"the private key in {key_path} can be read by others: chmod 600 {key_path}"
            tell(_log, logging.WARNING, line)

    def session(self, server_side: bool) -> Session:
        """The TLS of a new connection."""
        return Session(self._server if server_side else self._client, server_side)

    def _prove(self, path: Path) -> bytes:
        """The hash of our certificate, once the other role of ours has believed it."""
        client, server = self.session(False), self.session(True)
        client_ready = server_ready = False
        try:
            for _ in range(_ROUNDS):
                client_ready = client_ready or client.handshake()
                _carry(client, server)
                server_ready = server_ready or server.handshake()
                _carry(server, client)
                if client_ready and server_ready:
                    return certificate_hash(client)
        except ssl.SSLCertVerificationError as error:
            raise ConfigError(f"others would refuse the certificate in {path}: {error.verify_message}") from None
        except ssl.SSLError as error:
            raise ConfigError(f"the certificate in {path} cannot be used: {_words(error)}") from None
        raise ConfigError(f"the certificate in {path} cannot be used: its handshake does not end")


def load(certfile: str | os.PathLike[str] | None, keyfile: str | os.PathLike[str] | None) -> Credentials | None:
    """The credentials in the files, None without files.

    Raises:
        ConfigError: As `Credentials`; or there is a key and no certificate.
    """
    if certfile is not None:
        return Credentials(certfile, keyfile)
    if keyfile is not None:
        raise ConfigError("keyfile= needs the certificate that the key belongs to: give certfile= as well")
    return None


def certificate_hash(session: Session) -> bytes:
    """SHA-256 of the certificate that the other side of ``session`` has shown, and proved to have the key of."""
    return hashlib.sha256(session.describe("getpeercert")(True)).digest()


def _carry(one: Session, other: Session) -> None:
    if data := one.data_to_send():
        other.receive_data(data)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None


def _context(protocol: Any, cert_path: Path, key_path: Path) -> Any:
    # Looked up at each call: in a patched process gevent's class has to be taken, or setting a version recurses.
    context = ssl.SSLContext(protocol)
    # See the module: the certificate is what is known, not the name in it.
    context.check_hostname = False
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    # A certificate that somebody else signed counts as well, without its signer's.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cert_path)
        context.load_cert_chain(cert_path, key_path, password=_no_password)
    except _EncryptedKeyError:
        raise ConfigError(f"the private key in {key_path} has a password: greencoro has nobody to ask for it") from None
    except ssl.SSLError as error:
        if error.reason in _MISMATCHES:
            raise ConfigError(f"the private key in {key_path} does not fit the certificate in {cert_path}") from None
        raise ConfigError(f"the certificate in {cert_path} cannot be used: {_words(error)}") from None
    return context


def _words(error: ssl.SSLError) -> str:
    return error.reason.lower().replace("_", " ") if error.reason else str(error)


class _EncryptedKeyError(Exception):
    """A key cannot be read without a password."""


def _no_password() -> str:
    # In place of OpenSSL's question at the terminal, which nobody may be at.
    raise _EncryptedKeyError
