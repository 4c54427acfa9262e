"""Contents too large for one message, on their way to a server in pieces.

A piece is sent when the one before it has been taken, so that what else goes to the server waits for one piece at most,
and each has a time limit of its own. A server gathers one content at a time.
"""

from __future__ import annotations

import hashlib

from greencoro.compute.job_words import MAX_CONTENT_BYTES, Piece, Purpose
from greencoro.compute.parts import digest_of
from greencoro.compute.terminal import say
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.runtime import Runtime
from greencoro.errors import DeadlineExceeded, PackagingError, RemoteProtocolError
from greencoro.hub import native

__all__ = ["Gathering", "check_size", "largest_whole", "send_in_pieces"]

_PIECE_BYTES = 1 << 20
#: After this long it is said how far it has come, and again each time.
_SAY_EVERY_SECONDS = 5.0
_MIB = 1 << 20


def largest_whole(runtime: Runtime) -> int:
    """How many bytes of content may go in one message."""
    return max(1, runtime.settings.max_message_bytes // 4)


def check_size(what: str, size: int) -> None:
    """Raise PackagingError where there is more of something than a server takes."""
    if size > MAX_CONTENT_BYTES:
        raise PackagingError(f"{what}: {size} bytes; {MAX_CONTENT_BYTES} may be sent to a server at once")


def send_in_pieces(
    runtime: Runtime,
    server: PeerInfo,
    token: str,
    content: bytes,
    purpose: Purpose,
    what: str,
    timeout: float,
    *,
    digest: str = "",
    watch: int = 0,
) -> None:
    """Send a content; when this returns, the server has it.

    Args:
        what (str): What it is, in words.

        timeout (float): Longest wait for a piece to be taken, in seconds.

        digest (str): SHA-256 of the content, where it is known.

        watch (int): Of the job that it is for.

    Raises:
        DeadlineExceeded: A piece was not taken in time.

        PeerLost, BusyResource, GreencoroError: As `Runtime.request`.
    """
    length = min(_PIECE_BYTES, largest_whole(runtime))
    digest, size, view = digest or digest_of(content), len(content), memoryview(content)
    said = native.monotonic()
    for offset in range(0, size, length):
        header = Piece(token, digest, size, offset, purpose, watch).to_header()
        try:
            # The runtime takes any buffer, and copies none.
            runtime.request(server, Piece.operation, header, [view[offset : offset + length]], timeout)  # type: ignore[list-item]
        except DeadlineExceeded as error:
            raise DeadlineExceeded(
                f"{what}, {size} bytes: {server} has taken {offset} of them, and no more within {timeout:g} s"
            ) from error
        if native.monotonic() - said > _SAY_EVERY_SECONDS:
            said = native.monotonic()
            say(f"sending {what} to {server}: {offset // _MIB} of {size // _MIB} MiB")


class Gathering:
    """A content that comes in pieces; where another one begins before it is whole, it is forgotten."""

    def __init__(self) -> None:
        self._begin(None)

    def _begin(self, announced: tuple[str, int] | None) -> None:
        self._announced = announced
        self._content = bytearray()
        self._hash = hashlib.sha256()

    def add(self, piece: Piece, data: bytes) -> bytearray | None:
        """Take a piece; the content, once that is whole.

        Memory is taken for what has come, not for what is announced.

        Raises:
            RemoteProtocolError: It does not belong to the pieces before it, or the whole is not what was announced.
        """
        if piece.offset == 0:
            self._begin((piece.digest, piece.size))
        content = self._content
        if (
            self._announced != (piece.digest, piece.size)
            or piece.offset != len(content)
            or not 0 < len(data) <= piece.size - len(content)
        ):
            raise RemoteProtocolError("a piece of a content does not follow the one before it")
        content += data
        self._hash.update(data)
        if len(content) < piece.size:
            return None
        digest = self._hash.hexdigest()
        self._begin(None)
        if digest != piece.digest:
            raise RemoteProtocolError("what came in pieces does not have the announced digest")
        return content
