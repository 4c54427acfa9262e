"""The secret that lets runtimes in, from the text a person gave or the file that keeps it.

Three kinds of secret:

- *Generated*, ``gc1-`` with 56 letters and digits (32 random bytes and 3 of checksum in base32). Kept in a file that
  is made on first use; copy it to other machines.
- *Typed*, any other text. People choose short ones, so it is stretched with scrypt. Whoever records a connection can
  still try words offline, each try at the cost of one stretching.
- *Open*, the explicit empty text: a key that everybody knows.

What leaves this module is a `Secret`, which keeps its key out of `repr`, `str` and pickles.
"""

from __future__ import annotations

import base64
import errno
import functools
import hashlib
import hmac
import logging
import os
import secrets
import stat
import unicodedata
from pathlib import Path
from typing import NoReturn

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from greencoro.errors import ConfigError
from greencoro.hub import native
from greencoro.hub.telling import tell

__all__ = ["MIN_TYPED_CHARACTERS", "Secret", "generate", "load"]

log = logging.getLogger(__name__)

#: Typed secrets shorter than this are warned about.
MIN_TYPED_CHARACTERS = 12

KEY_BYTES = 32
_PREFIX = "gc1-"
_CHECKSUM_BYTES = 3
_MAX_FILE_BYTES = 4096

_OPEN_KEY = bytes(KEY_BYTES)

# A salt of its own for each secret would have to reach every machine before two runtimes can talk, and only the
# secret itself does. The fixed one keeps tables made for other programs from being of use.
_SALT = b"greencoro typed secret 1"
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**15, 8, 1
_SCRYPT_MEMORY_BYTES = 2 * 128 * _SCRYPT_N * _SCRYPT_R  # what it needs is half of it; OpenSSL wants some room

# One key for each purpose, so that what one of them gives away tells nothing of the others.
_LABEL_GENERATED = b"greencoro 1 generated secret"
_LABEL_PSK = b"greencoro 1 handshake psk"
_LABEL_DISCOVERY = b"greencoro 1 discovery"
_LABEL_FINGERPRINT = b"greencoro 1 fingerprint"


class Secret:
    """What a runtime must know to be let in.

    `repr` and `str` show the fingerprint only; pickling and copying are refused.

    In open mode the key is 32 zero bytes, which everybody knows. Everything else stays as it is: there is still a
    handshake, records are still encrypted against whoever only listens, yet anybody can connect, or sit in between.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key of a secret has {KEY_BYTES} bytes, not {len(key)}")
        self._key = bytes(key)

    @classmethod
    def from_key(cls, key: bytes) -> Secret:
        """The secret whose `key` was handed on, through a pipe to a child process."""
        return cls(key)

    @property
    def key(self) -> bytes:
        """The 32 bytes all others are derived from. For child processes; never to be printed or logged."""
        return self._key

    @property
    def is_open(self) -> bool:
        """Whether this is the explicit empty secret, which keeps nobody out."""
        return hmac.compare_digest(self._key, _OPEN_KEY)

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits, or ``open``, by which people compare secrets without showing them.

        It opens nothing. Like a recorded connection it lets somebody who guesses a typed secret find out that the
        guess was right.
        """
        if self.is_open:
            return "open"
        digits = self._derive(_LABEL_FINGERPRINT)[:6].hex()
        return "-".join((digits[:4], digits[4:8], digits[8:]))

    def psk(self) -> bytes:
        """The 32 bytes both sides mix into the handshake."""
        return self._derive(_LABEL_PSK)

    def discovery_key(self) -> bytes:
        """The 32 bytes discovery datagrams are authenticated with."""
        return self._derive(_LABEL_DISCOVERY)

    def _derive(self, label: bytes) -> bytes:
        return _hkdf(self._key, label)

    def __repr__(self) -> str:
        return f"<Secret {self.fingerprint}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not pickled or copied; hand its key to a child process through a pipe")


def load(secret: str | None, *, file: str | os.PathLike[str] | None = None) -> Secret:
    """The secret from its text, or from its file where none is given.

    Blocks its thread: for a typed secret about 0.1 s the first time (the result is kept for this process), for a file
    as long as the file system takes. Call it off the hub.

    Args:
        secret: A generated or typed secret; ``''`` for open mode; ``None`` for what is in ``file``.

        file: The user's secret file. Where it does not exist it is made, mode 0600, in a directory made with mode
            0700; processes that do so at once end up with the same secret.

    Raises:
        ConfigError: The file can be read or replaced by others, is not this user's or not a plain file, cannot be
            made, or holds no secret; or ``secret`` is a mistyped generated one. The message says what to do.
    """
    if secret == "":
        return Secret(_OPEN_KEY)
    if secret is not None:
        return Secret(_key_of(secret, "the secret given", "leave it out to use the generated one"))
    if file is None:
        raise ConfigError("there is neither a secret nor a file to keep one in")
    path = Path(file)
    text = _read(path)
    if text is None:
        _create(path)
        text = _read(path)
    if text is None:
        raise ConfigError(f"the secret file {path} was removed while it was being made")
    return Secret(_key_of(text, f"the secret in {path}", f"remove {path}, and a better one is generated"))


def generate() -> str:
    """A new generated secret, as text."""
    random = secrets.token_bytes(KEY_BYTES)
    return _PREFIX + base64.b32encode(random + _checksum(random)).decode("ascii").lower()


def _key_of(text: str, what: str, instead: str) -> bytes:
    if text[: len(_PREFIX)].lower() != _PREFIX:
        if len(text) < MIN_TYPED_CHARACTERS:
            _warn_of_short(text, instead)
        return _stretch(text)
    try:
        decoded = base64.b32decode(text[len(_PREFIX) :], casefold=True)
    except ValueError:
        decoded = b""
    random, checksum = decoded[:KEY_BYTES], decoded[KEY_BYTES:]
    if len(decoded) != KEY_BYTES + _CHECKSUM_BYTES or not hmac.compare_digest(checksum, _checksum(random)):
        # Stretching it as if it were typed would only show later, as a wrong secret.
        raise ConfigError(f"{what} starts with {_PREFIX} but was not copied whole and unchanged: copy it again")
    return _hkdf(random, _LABEL_GENERATED)


@functools.lru_cache(maxsize=8)
def _warn_of_short(text: str, instead: str) -> None:
    """Once for each, however many runtimes use it."""
    line = f"the secret has fewer than {MIN_TYPED_CHARACTERS} characters: whoever records our traffic may guess it"
    tell(log, logging.WARNING, f"{line}; {instead}")


@functools.lru_cache(maxsize=8)
def _stretch(text: str) -> bytes:
    """The key of a typed secret; kept, so that several runtimes in one process pay once."""
    # An accented letter has two spellings, and keyboards of different systems differ in theirs.
    password = unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(
        password,
        salt=_SALT,
        n=_SCRYPT_N,
        r=_SCRYPT_R,
        p=_SCRYPT_P,
        maxmem=_SCRYPT_MEMORY_BYTES,
        dklen=KEY_BYTES,
    )


def _hkdf(key: bytes, label: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=label).derive(key)


def _checksum(random: bytes) -> bytes:
    return hashlib.sha256(b"greencoro checksum" + random).digest()[:_CHECKSUM_BYTES]


def _read(path: Path) -> str | None:
    """The one line in the file; None where there is no such file."""
    try:
        # NONBLOCK: a named pipe put there must not hold us up.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as err:
        if err.errno == errno.ELOOP:
            raise ConfigError(f"the secret file {path} is a symbolic link: name the file itself") from None
        raise ConfigError(f"cannot read the secret file {path}: {err.strerror}") from err
    try:
        # Of what was opened, not of the name: the name may stand for another file a moment later.
        _refuse_unless_private(path, os.fstat(descriptor))
        content = os.read(descriptor, _MAX_FILE_BYTES + 1)
    finally:
        native.close(descriptor)
    try:
        text = content.decode("utf-8").strip()
    except UnicodeDecodeError:
        text = ""
    # An empty file is a mishap, not the wish for open mode.
    if not text or "\n" in text or len(content) > _MAX_FILE_BYTES:
        raise ConfigError(f"the secret file {path} does not hold one line of text: remove it to have a new one made")
    return text


def _refuse_unless_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"the secret file {path} is not a plain file")
    if status.st_uid != os.geteuid():
        raise ConfigError(
            f"the secret file {path} belongs to user {status.st_uid}, not to user {os.geteuid()}: name another file"
        )
    if status.st_mode & 0o077:
        raise ConfigError(f"the secret file {path} is open to other users: run `chmod 600 {path}`, or remove it")
    _refuse_unless_safe(path.parent)


def _refuse_unless_safe(directory: Path) -> None:
    """Whoever can write the directory can put another of this user's files in the place of the secret."""
    status = directory.stat()
    if status.st_uid not in (os.geteuid(), 0):
        raise ConfigError(
            f"the directory of the secret file, {directory}, belongs to user {status.st_uid}: name another"
        )
    # In a sticky directory nobody can remove or rename what belongs to others.
    if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
        raise ConfigError(f"other users can replace the secret file in {directory}: run `chmod go-w {directory}`")


def _create(path: Path) -> None:
    """Make the file with a new secret; leaves what another process has made meanwhile.

    The name appears with all of its content or not at all, so no reader ever sees half a secret.
    """
    try:
        _make_private_directory(path.parent)
        _refuse_unless_safe(path.parent)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            try:
                os.write(descriptor, (generate() + "\n").encode("ascii"))
                os.fsync(descriptor)
            finally:
                native.close(descriptor)
            os.link(temporary, path)
        except FileExistsError:
            log.debug("another process has just made the secret file")
        else:
            log.info("made a new secret in %s", path)
        finally:
            os.unlink(temporary)
    except OSError as err:
        raise ConfigError(f"cannot make the secret file {path}: {err.strerror}; name another place for it") from err


def _make_private_directory(directory: Path) -> None:
    missing = []
    while not directory.exists():
        missing.append(directory)
        directory = directory.parent
    # One by one: os.makedirs gives its mode to the last only, the others would follow the umask.
    for each in reversed(missing):
        try:
            os.mkdir(each, 0o700)
        except FileExistsError:
            continue  # another process was quicker
